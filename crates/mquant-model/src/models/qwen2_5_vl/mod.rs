//! Qwen2.5-VL (arXiv 2502.13923): a vision tower with 2-D RoPE, RMSNorm, gated MLPs and attention in windows but for some blocks,
//! a 2×2 patch merger, and a Qwen2 decoder with M-RoPE in absolute time.

mod build;
mod config;
mod layout;
mod tensors;

use super::{Family, MediaLayout, Model, ModelError, ModelSpec, qwen2};
use crate::bundle::Weights;
use crate::checkpoint::{Checkpoint, Fields, Naming, TensorSpec};
use crate::input::MediaProcessor;
use crate::input::vision_processor::{PixelBounds, ProcessorError};
use config::Config;

pub(super) use build::vision;
pub(super) use config::VisionConfig;
pub(super) use layout::VisionWindows;
pub(super) use tensors::{QueryKeyValue, vision as vision_tensors};

/// The family.
#[derive(Debug)]
pub(super) struct Qwen25Vl;

impl Family for Qwen25Vl {
    fn model_types(&self) -> &'static [&'static str] {
        &["qwen2_5_vl"]
    }

    fn blueprint(&self, config: &Fields) -> Result<Box<dyn ModelSpec>, ModelError> {
        Ok(Box::new(Config::read(config)?))
    }
}

impl ModelSpec for Config {
    fn naming(&self) -> Naming {
        qwen2::NAMING
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        tensors::all(self)
    }

    fn published(&self) -> Vec<TensorSpec> {
        qwen2::published(tensors::all(self), qwen2::PUBLISHED)
    }

    fn build(&self, weights: &Weights) -> Model {
        Model { encoders: vec![vision(&self.vision, weights)], decoder: qwen2::decoder(&self.text, 0, weights) }
    }

    fn layout(&self) -> Box<dyn MediaLayout> {
        Box::new(layout::Qwen25VlLayout::new(self))
    }

    fn processor(
        &self,
        checkpoint: &Checkpoint,
        pixels: PixelBounds,
    ) -> Result<Box<dyn MediaProcessor>, ProcessorError> {
        let v = &self.vision;
        qwen2::processor(checkpoint, [v.patch_size, v.temporal_patch_size, v.spatial_merge_size], pixels)
    }

    fn vocabulary(&self) -> usize {
        self.text.vocab_size
    }

    fn context(&self) -> usize {
        self.text.max_position_embeddings
    }
}
