//! The decoder's part of `config.json`, in the flat form that checkpoints are published with and in the nested form that
//! transformers 5 saves.

use crate::checkpoint::{FieldError, Fields};
use crate::input::MediaKind;

/// Which decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::models) enum Generation {
    /// Biases on query, key and value; M-RoPE whose axes take turns section by section.
    Qwen2,
    /// No biases, norms of the heads of queries and keys, a head width of its own; interleaved M-RoPE.
    Qwen3,
}

/// The decoder, by Hugging Face's field names.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::models) struct TextConfig {
    pub(in crate::models) generation: Generation,
    pub(in crate::models) hidden_size: usize,
    pub(in crate::models) intermediate_size: usize,
    pub(in crate::models) num_hidden_layers: usize,
    pub(in crate::models) num_attention_heads: usize,
    pub(in crate::models) num_key_value_heads: usize,
    pub(in crate::models) head_dim: usize,
    pub(in crate::models) vocab_size: usize,
    pub(in crate::models) max_position_embeddings: usize,
    pub(in crate::models) rms_norm_eps: f32,
    pub(in crate::models) rope_theta: f32,
    pub(in crate::models) mrope_section: Vec<usize>,
    pub(in crate::models) tie_word_embeddings: bool,
}

impl Generation {
    /// What the reference takes where a configuration says nothing.
    fn rope_theta(self) -> f64 {
        match self {
            Self::Qwen2 => 1e6,
            Self::Qwen3 => 5e5,
        }
    }
}

impl TextConfig {
    pub(in crate::models) fn read(root: &Fields, generation: Generation) -> Result<Self, FieldError> {
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
            None => c.f64_or("rope_theta", generation.rope_theta(), theta)?,
        };
        if generation == Generation::Qwen3 {
            if c.bool_or("attention_bias", false)? {
                return Err(c.unsupported("attention_bias", "query, key and value without biases"));
            }
            if !rope.bool_or("mrope_interleaved", true)? {
                return Err(rope.unsupported("mrope_interleaved", "axes that take turns pair by pair"));
            }
        }
        let hidden_size = c.usize("hidden_size", 2..=65_536)?;
        let num_attention_heads = c.usize("num_attention_heads", 1..=1_024)?;
        let head_dim = c.opt_usize("head_dim", 2..=65_536)?;
        let text = Self {
            generation,
            hidden_size,
            intermediate_size: c.usize("intermediate_size", 1..=1_048_576)?,
            num_hidden_layers: c.usize("num_hidden_layers", 1..=1_024)?,
            num_attention_heads,
            num_key_value_heads: c.usize("num_key_value_heads", 1..=1_024)?,
            head_dim: head_dim.unwrap_or(hidden_size / num_attention_heads),
            vocab_size: c.usize("vocab_size", 1..=4_194_304)?,
            max_position_embeddings: c.usize("max_position_embeddings", 1..=16_777_216)?,
            rms_norm_eps: c.f64_or("rms_norm_eps", 1e-6, 0.0..=1.0)? as f32,
            rope_theta: rope_theta as f32,
            mrope_section: rope.usize_list("mrope_section", 3..=3, 0..=32_768)?,
            tie_word_embeddings: root.bool_or("tie_word_embeddings", c.bool_or("tie_word_embeddings", false)?)?,
        };
        match generation {
            Generation::Qwen2 => {
                divides(c, "hidden_size", hidden_size, 2 * num_attention_heads, "twice num_attention_heads")?;
            }
            Generation::Qwen3 => divides(c, "head_dim", text.head_dim, 2, "two")?,
        }
        divides(c, "num_attention_heads", text.num_attention_heads, text.num_key_value_heads, "num_key_value_heads")?;
        if generation == Generation::Qwen2 && text.head_dim != hidden_size / num_attention_heads {
            let expected = hidden_size / num_attention_heads;
            return Err(c.conflict("head_dim", format!("hidden_size / num_attention_heads = {expected}")));
        }
        if text.mrope_section.iter().sum::<usize>() != text.head_dim / 2 {
            let half = text.head_dim / 2;
            return Err(rope.conflict("mrope_section", format!("three sections that sum to head_dim / 2 = {half}")));
        }
        Ok(text)
    }
}

/// The ids that stand for rows of images and of videos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::models) struct MediaTokens {
    pub(in crate::models) image: u32,
    pub(in crate::models) video: u32,
}

impl MediaTokens {
    pub(in crate::models) fn placeholder(&self, kind: MediaKind) -> Option<u32> {
        match kind {
            MediaKind::Image => Some(self.image),
            MediaKind::Video => Some(self.video),
            MediaKind::Audio => None,
        }
    }

    pub(in crate::models) fn read(root: &Fields, text: &TextConfig) -> Result<Self, FieldError> {
        // The ids that every published model has; older configurations leave them out.
        let token = |key, default| root.usize_or(key, default, 0..=text.vocab_size - 1).map(|id| id as u32);
        let (image, video) = (token("image_token_id", 151_655)?, token("video_token_id", 151_656)?);
        for (key, id) in [("image_token_id", image), ("video_token_id", video)] {
            if id as usize >= text.vocab_size {
                return Err(root.conflict(key, format!("a token id below vocab_size {}", text.vocab_size)));
            }
        }
        if image == video {
            return Err(root.conflict("video_token_id", "another id than image_token_id"));
        }
        Ok(Self { image, video })
    }
}

/// Refuses a value that is not a multiple of another.
pub(in crate::models) fn divides(c: &Fields, key: &str, value: usize, by: usize, of: &str) -> Result<(), FieldError> {
    if value.is_multiple_of(by) { Ok(()) } else { Err(c.conflict(key, format!("a multiple of {of} ({by})"))) }
}
