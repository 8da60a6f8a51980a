//! `config.json`, in the flat form the models were published with and in the nested form that transformers 5 saves.

use super::super::qwen2::{Generation, MediaTokens, TextConfig, divides};
use crate::checkpoint::{FieldError, Fields};

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
    pub(super) media: MediaTokens,
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
        let text = TextConfig::read(root, Generation::Qwen2)?;
        let vision = VisionConfig::read(&root.object("vision_config")?, text.hidden_size)?;
        let media = MediaTokens::read(root, &text)?;
        Ok(Self { text, vision, media })
    }
}
