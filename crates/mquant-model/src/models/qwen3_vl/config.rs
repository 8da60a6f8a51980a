//! `config.json`: nested, as published and as transformers 5 saves it.

use super::super::qwen2::{Generation, MediaTokens, TextConfig, divides};
use crate::checkpoint::{FieldError, Fields};

/// The vision tower, by Hugging Face's field names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct VisionConfig {
    pub(super) depth: usize,
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_heads: usize,
    pub(super) in_channels: usize,
    pub(super) patch_size: usize,
    pub(super) temporal_patch_size: usize,
    pub(super) spatial_merge_size: usize,
    /// Rows of the table of positions: a square.
    pub(super) num_position_embeddings: usize,
    /// Blocks behind which a merger feeds the decoder, ascending.
    pub(super) deepstack_visual_indexes: Vec<usize>,
    pub(super) rope_theta: f32,
}

/// Everything `config.json` settles.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) text: TextConfig,
    pub(super) vision: VisionConfig,
    pub(super) media: MediaTokens,
    /// The tokens around a frame of a video.
    pub(super) frame: [u32; 2],
}

impl VisionConfig {
    pub(super) fn head_dim(&self) -> usize {
        self.hidden_size / self.num_heads
    }

    /// Positions on a side of the table.
    pub(super) fn table_side(&self) -> usize {
        self.num_position_embeddings.isqrt()
    }

    /// The block of the decoder that a merger behind this block feeds.
    pub(super) fn deepstack_level(&self, block: usize) -> Option<usize> {
        self.deepstack_visual_indexes.iter().position(|at| *at == block)
    }

    fn read(c: &Fields, text: &TextConfig) -> Result<Self, FieldError> {
        c.opt_choice("hidden_act", &[("gelu_pytorch_tanh", ())])?;
        let rope_theta = match c.opt_object("rope_parameters")? {
            Some(rope) => rope.f64_or("rope_theta", 1e4, 1.0..=1e12)?,
            None => 1e4,
        };
        let depth = c.usize("depth", 1..=1_024)?;
        let deepstack = c.opt_usize_list("deepstack_visual_indexes", 0..=1_024, 0..=depth - 1)?;
        let vision = Self {
            depth,
            hidden_size: c.usize("hidden_size", 4..=65_536)?,
            intermediate_size: c.usize("intermediate_size", 1..=1_048_576)?,
            num_heads: c.usize("num_heads", 1..=1_024)?,
            in_channels: c.usize_or("in_channels", 3, 3..=3)?,
            patch_size: c.usize_or("patch_size", 16, 1..=256)?,
            temporal_patch_size: c.usize_or("temporal_patch_size", 2, 1..=64)?,
            spatial_merge_size: c.usize_or("spatial_merge_size", 2, 1..=16)?,
            num_position_embeddings: c.usize_or("num_position_embeddings", 2_304, 1..=1_048_576)?,
            // Those of the reference's default.
            deepstack_visual_indexes: deepstack.unwrap_or_else(|| vec![8, 16, 24]),
            rope_theta: rope_theta as f32,
        };
        if let Some(out) = c.opt_usize("out_hidden_size", 1..=65_536)?
            && out != text.hidden_size
        {
            return Err(c.conflict("out_hidden_size", format!("the decoder's hidden_size {}", text.hidden_size)));
        }
        divides(c, "hidden_size", vision.hidden_size, 4 * vision.num_heads, "four times num_heads")?;
        if vision.table_side().pow(2) != vision.num_position_embeddings {
            return Err(c.conflict("num_position_embeddings", "the square of a number"));
        }
        let levels = &vision.deepstack_visual_indexes;
        if !levels.is_sorted_by(|a, b| a < b) || levels.last().is_some_and(|last| *last >= depth) {
            return Err(c.conflict("deepstack_visual_indexes", "blocks of the tower, ascending"));
        }
        if levels.len() > text.num_hidden_layers {
            let most = text.num_hidden_layers;
            return Err(c.conflict("deepstack_visual_indexes", format!("no more than the decoder's {most} blocks")));
        }
        Ok(vision)
    }
}

impl Config {
    pub(super) fn read(root: &Fields) -> Result<Self, FieldError> {
        let text = TextConfig::read(root, Generation::Qwen3)?;
        let vision = VisionConfig::read(&root.object("vision_config")?, &text)?;
        let media = MediaTokens::read(root, &text)?;
        // The ids that every published model has.
        let token = |key, default| root.usize_or(key, default, 0..=4_194_304).map(|id| id as u32);
        let frame = [token("vision_start_token_id", 151_652)?, token("vision_end_token_id", 151_653)?];
        Ok(Self { text, vision, media, frame })
    }
}
