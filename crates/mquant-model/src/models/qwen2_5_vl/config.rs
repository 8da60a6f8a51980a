//! `config.json`, in the flat form the models were published with and in the nested form that transformers 5 saves.

use super::super::qwen2::{Generation, MediaTokens, TextConfig, divides};
use crate::checkpoint::{FieldError, Fields};

/// The vision tower, by Hugging Face's field names.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::models) struct VisionConfig {
    pub(in crate::models) depth: usize,
    pub(in crate::models) hidden_size: usize,
    pub(in crate::models) intermediate_size: usize,
    pub(in crate::models) num_heads: usize,
    pub(in crate::models) in_channels: usize,
    pub(in crate::models) patch_size: usize,
    pub(in crate::models) temporal_patch_size: usize,
    pub(in crate::models) spatial_merge_size: usize,
    /// Pixels on the side of an attention window.
    pub(in crate::models) window_size: usize,
    /// Blocks whose attention sees the whole frame.
    pub(in crate::models) fullatt_block_indexes: Vec<usize>,
    pub(in crate::models) tokens_per_second: f32,
    pub(in crate::models) rope_theta: f32,
}

/// Everything `config.json` settles.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) text: TextConfig,
    pub(super) vision: VisionConfig,
    pub(super) media: MediaTokens,
}

impl VisionConfig {
    pub(super) fn head_dim(&self) -> usize {
        self.hidden_size / self.num_heads
    }

    /// Tokens (merged patches) on the side of an attention window.
    pub(super) fn window_tokens(&self) -> usize {
        self.window_size / (self.patch_size * self.spatial_merge_size)
    }

    pub(in crate::models) fn read(c: &Fields, text_hidden_size: usize) -> Result<Self, FieldError> {
        c.opt_choice("hidden_act", &[("silu", ())])?;
        let channels = if c.has("in_channels") { "in_channels" } else { "in_chans" };
        let rope_theta = match c.opt_object("rope_parameters")? {
            Some(rope) => rope.f64_or("rope_theta", 1e4, 1.0..=1e12)?,
            None => 1e4,
        };
        let depth = c.usize("depth", 1..=1_024)?;
        let full = c.opt_usize_list("fullatt_block_indexes", 0..=1_024, 0..=depth - 1)?;
        let vision = Self {
            depth,
            hidden_size: c.usize("hidden_size", 4..=65_536)?,
            intermediate_size: c.usize("intermediate_size", 1..=1_048_576)?,
            num_heads: c.usize("num_heads", 1..=1_024)?,
            in_channels: c.usize_or(channels, 3, 3..=3)?,
            patch_size: c.usize_or("patch_size", 14, 1..=256)?,
            temporal_patch_size: c.usize_or("temporal_patch_size", 2, 1..=64)?,
            spatial_merge_size: c.usize_or("spatial_merge_size", 2, 1..=16)?,
            window_size: c.usize_or("window_size", 112, 1..=65_536)?,
            // The blocks of every published model; older configurations leave them out.
            fullatt_block_indexes: full.unwrap_or_else(|| vec![7, 15, 23, 31]),
            tokens_per_second: c.f64_or("tokens_per_second", 4.0, 0.0..=1e6)? as f32,
            rope_theta: rope_theta as f32,
        };
        if let Some(out) = c.opt_usize("out_hidden_size", 1..=65_536)?
            && out != text_hidden_size
        {
            return Err(c.conflict("out_hidden_size", format!("the decoder's hidden_size {text_hidden_size}")));
        }
        divides(c, "hidden_size", vision.hidden_size, 4 * vision.num_heads, "four times num_heads")?;
        if vision.window_tokens() == 0 {
            let token = vision.patch_size * vision.spatial_merge_size;
            return Err(c.conflict("window_size", format!("at least patch_size · spatial_merge_size = {token}")));
        }
        Ok(vision)
    }
}

impl Config {
    pub(super) fn read(root: &Fields) -> Result<Self, FieldError> {
        let text = TextConfig::read(root, Generation::Qwen2)?;
        let vision = VisionConfig::read(&root.object("vision_config")?, text.hidden_size)?;
        let media = MediaTokens::read(root, &text)?;
        Ok(Self { text, vision, media })
    }
}
