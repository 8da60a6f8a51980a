//! `config.json`: of the whole model, with `thinker_config` in it, or of the thinker alone.

use super::super::qwen2::{Generation, TextConfig, divides, token_ids};
use super::super::qwen2_5_vl::VisionConfig;
use crate::checkpoint::{FieldError, Fields};

/// The audio tower, by Hugging Face's field names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AudioConfig {
    pub(super) num_mel_bins: usize,
    pub(super) d_model: usize,
    pub(super) encoder_layers: usize,
    pub(super) encoder_attention_heads: usize,
    pub(super) encoder_ffn_dim: usize,
    /// Half the frames of a chunk.
    pub(super) n_window: usize,
}

/// The ids that stand for rows of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OmniTokens {
    pub(super) image: u32,
    pub(super) video: u32,
    pub(super) audio: u32,
}

/// Everything `config.json` settles.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) text: TextConfig,
    pub(super) vision: VisionConfig,
    pub(super) audio: AudioConfig,
    pub(super) tokens: OmniTokens,
    /// Positions in a second.
    pub(super) position_id_per_seconds: f32,
    /// Seconds of a video, and of its sound, at a turn.
    pub(super) seconds_per_chunk: f32,
    /// The tokens before and after a sound.
    pub(super) marks: [u32; 2],
    /// Whether the thinker is a part of the folder's model.
    pub(super) is_nested: bool,
}

impl AudioConfig {
    fn read(c: &Fields, text: &TextConfig) -> Result<Self, FieldError> {
        c.opt_choice("activation_function", &[("gelu", ())])?;
        if c.bool_or("scale_embedding", false)? {
            return Err(c.unsupported("scale_embedding", "embeddings as they are"));
        }
        let audio = Self {
            num_mel_bins: c.usize_or("num_mel_bins", 128, 1..=4_096)?,
            d_model: c.usize("d_model", 4..=65_536)?,
            encoder_layers: c.usize("encoder_layers", 1..=1_024)?,
            encoder_attention_heads: c.usize("encoder_attention_heads", 1..=1_024)?,
            encoder_ffn_dim: c.usize("encoder_ffn_dim", 1..=1_048_576)?,
            n_window: c.usize_or("n_window", 100, 1..=65_536)?,
        };
        divides(c, "d_model", audio.d_model, 2 * audio.encoder_attention_heads, "twice encoder_attention_heads")?;
        let most = c.usize_or("max_source_positions", 1_500, 1..=1_048_576)?;
        if audio.n_window > most {
            return Err(c.conflict("n_window", format!("no more than max_source_positions {most}")));
        }
        if let Some(out) = c.opt_usize("output_dim", 1..=65_536)?
            && out != text.hidden_size
        {
            return Err(c.conflict("output_dim", format!("the decoder's hidden_size {}", text.hidden_size)));
        }
        Ok(audio)
    }
}

impl Config {
    pub(super) fn read(root: &Fields) -> Result<Self, FieldError> {
        let nested = root.opt_object("thinker_config")?;
        let c = nested.as_ref().unwrap_or(root);
        let text = TextConfig::read(c, Generation::Qwen2)?;
        let vision = VisionConfig::read(&c.object("vision_config")?, text.hidden_size)?;
        let audio = AudioConfig::read(&c.object("audio_config")?, &text)?;
        // transformers has had both names.
        let name = |index: &'static str, id: &'static str| if c.has(id) { id } else { index };
        let fields = [
            (name("image_token_index", "image_token_id"), 151_655),
            (name("video_token_index", "video_token_id"), 151_656),
            (name("audio_token_index", "audio_token_id"), 151_646),
        ];
        let [image, video, audio_token] = token_ids(c, &text, fields)?;
        let mark = |key, default| c.usize_or(key, default, 0..=4_194_304).map(|id| id as u32);
        Ok(Self {
            text,
            vision,
            audio,
            tokens: OmniTokens { image, video, audio: audio_token },
            seconds_per_chunk: c.f64_or("seconds_per_chunk", 2.0, 1e-3..=1e6)? as f32,
            marks: [mark("audio_start_token_id", 151_647)?, mark("audio_end_token_id", 151_648)?],
            position_id_per_seconds: c.f64_or("position_id_per_seconds", 25.0, 0.0..=1e6)? as f32,
            is_nested: nested.is_some(),
        })
    }
}
