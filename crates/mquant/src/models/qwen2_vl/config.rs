//! `config.json`, in the flat form the models were published with and in the nested form that transformers 5 saves.

use crate::checkpoint::{FieldError, Fields};

/// The decoder, by Hugging Face's field names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TextConfig {
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) num_key_value_heads: usize,
    pub(super) vocab_size: usize,
    pub(super) max_position_embeddings: usize,
    pub(super) rms_norm_eps: f32,
    pub(super) rope_theta: f32,
    pub(super) mrope_section: Vec<usize>,
    pub(super) tie_word_embeddings: bool,
}

/// The vision tower, by Hugging Face's field names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct VisionConfig {
    pub(super) depth: usize,
    pub(super) embed_dim: usize,
    pub(super) num_heads: usize,
    pub(super) mlp_width: usize,
    pub(super) in_channels: usize,
    pub(super) patch_size: usize,
    pub(super) temporal_patch_size: usize,
    pub(super) spatial_merge_size: usize,
    pub(super) rope_theta: f32,
}

/// Everything `config.json` settles.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) text: TextConfig,
    pub(super) vision: VisionConfig,
    pub(super) image_token_id: u32,
    pub(super) video_token_id: u32,
}

impl TextConfig {
    pub(super) fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    fn read(root: &Fields) -> Result<Self, FieldError> {
        // Published checkpoints are flat; transformers 5 nests the decoder.
        let nested = root.opt_object("text_config")?;
        let c = nested.as_ref().unwrap_or(root);
        c.opt_choice("hidden_act", &[("silu", ())])?;
        if c.bool_or("use_sliding_window", false)? {
            return Err(c.unsupported("use_sliding_window", "attention over the whole context"));
        }
        let rope = match c.opt_object("rope_parameters")? {
            Some(rope) => Some(rope),
            None => c.opt_object("rope_scaling")?,
        };
        let rope = rope.ok_or_else(|| c.conflict("rope_parameters", "rotary parameters with an mrope_section"))?;
        for key in ["rope_type", "type"] {
            rope.opt_choice(key, &[("default", ()), ("mrope", ())])?;
        }
        let theta = 1.0..=1e12;
        let rope_theta = match rope.opt_f64_in("rope_theta", theta.clone())? {
            Some(found) => found,
            None => c.f64_or("rope_theta", 1e6, theta)?,
        };
        let text = Self {
            hidden_size: c.usize("hidden_size", 2..=65_536)?,
            intermediate_size: c.usize("intermediate_size", 1..=1_048_576)?,
            num_hidden_layers: c.usize("num_hidden_layers", 1..=1_024)?,
            num_attention_heads: c.usize("num_attention_heads", 1..=1_024)?,
            num_key_value_heads: c.usize("num_key_value_heads", 1..=1_024)?,
            vocab_size: c.usize("vocab_size", 1..=4_194_304)?,
            max_position_embeddings: c.usize("max_position_embeddings", 1..=16_777_216)?,
            rms_norm_eps: c.f64_or("rms_norm_eps", 1e-6, 0.0..=1.0)? as f32,
            rope_theta: rope_theta as f32,
            mrope_section: rope.usize_list("mrope_section", 3..=3, 0..=32_768)?,
            tie_word_embeddings: root.bool_or("tie_word_embeddings", c.bool_or("tie_word_embeddings", false)?)?,
        };
        divides(c, "hidden_size", text.hidden_size, 2 * text.num_attention_heads, "twice num_attention_heads")?;
        divides(c, "num_attention_heads", text.num_attention_heads, text.num_key_value_heads, "num_key_value_heads")?;
        if let Some(head_dim) = c.opt_usize("head_dim", 1..=65_536)?
            && head_dim != text.head_dim()
        {
            return Err(c.conflict("head_dim", format!("hidden_size / num_attention_heads = {}", text.head_dim())));
        }
        if text.mrope_section.iter().sum::<usize>() != text.head_dim() / 2 {
            let half = text.head_dim() / 2;
            return Err(rope.conflict("mrope_section", format!("three sections that sum to head_dim / 2 = {half}")));
        }
        Ok(text)
    }
}

impl VisionConfig {
    pub(super) fn head_dim(&self) -> usize {
        self.embed_dim / self.num_heads
    }

    fn read(c: &Fields, hidden_size: usize) -> Result<Self, FieldError> {
        c.opt_choice("hidden_act", &[("quick_gelu", ())])?;
        let embed_dim = c.usize("embed_dim", 4..=65_536)?;
        let channels = if c.has("in_channels") { "in_channels" } else { "in_chans" };
        let rope_theta = match c.opt_object("rope_parameters")? {
            Some(rope) => rope.f64_or("rope_theta", 1e4, 1.0..=1e12)?,
            None => 1e4,
        };
        let vision = Self {
            depth: c.usize("depth", 1..=1_024)?,
            embed_dim,
            num_heads: c.usize("num_heads", 1..=1_024)?,
            mlp_width: (embed_dim as f64 * c.f64_or("mlp_ratio", 4.0, 0.01..=64.0)?) as usize,
            in_channels: c.usize_or(channels, 3, 3..=3)?,
            patch_size: c.usize_or("patch_size", 14, 1..=256)?,
            temporal_patch_size: c.usize_or("temporal_patch_size", 2, 1..=64)?,
            spatial_merge_size: c.usize_or("spatial_merge_size", 2, 1..=16)?,
            rope_theta: rope_theta as f32,
        };
        if let Some(out) = c.opt_usize("hidden_size", 1..=65_536)?
            && out != hidden_size
        {
            return Err(c.conflict("hidden_size", format!("the decoder's hidden_size {hidden_size}")));
        }
        divides(c, "embed_dim", embed_dim, 4 * vision.num_heads, "four times num_heads")?;
        if vision.mlp_width == 0 {
            return Err(c.conflict("mlp_ratio", "at least one feature in the MLP"));
        }
        Ok(vision)
    }
}

impl Config {
    pub(super) fn read(root: &Fields) -> Result<Self, FieldError> {
        let text = TextConfig::read(root)?;
        let vision = VisionConfig::read(&root.object("vision_config")?, text.hidden_size)?;
        // The ids every published Qwen2-VL has; older configurations leave them out.
        let token = |key, default| root.usize_or(key, default, 0..=text.vocab_size - 1).map(|id| id as u32);
        let (image_token_id, video_token_id) = (token("image_token_id", 151_655)?, token("video_token_id", 151_656)?);
        for (key, id) in [("image_token_id", image_token_id), ("video_token_id", video_token_id)] {
            if id as usize >= text.vocab_size {
                return Err(root.conflict(key, format!("a token id below vocab_size {}", text.vocab_size)));
            }
        }
        if image_token_id == video_token_id {
            return Err(root.conflict("video_token_id", "another id than image_token_id"));
        }
        Ok(Self { text, vision, image_token_id, video_token_id })
    }
}

fn divides(c: &Fields, key: &str, value: usize, by: usize, of: &str) -> Result<(), FieldError> {
    if value.is_multiple_of(by) { Ok(()) } else { Err(c.conflict(key, format!("a multiple of {of} ({by})"))) }
}
