//! Qwen3-VL (arXiv 2511.21631): a vision tower with learned positions, 2-D RoPE and full attention within each frame, mergers
//! behind some of its blocks that feed the decoder's first blocks (DeepStack), and a Qwen3 decoder with interleaved M-RoPE.
//! Times of a video's frames are written in the prompt.

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

/// The family.
#[derive(Debug)]
pub(super) struct Qwen3Vl;

impl Family for Qwen3Vl {
    fn model_types(&self) -> &'static [&'static str] {
        &["qwen3_vl"]
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
        qwen2::published(tensors::all(self), tensors::PUBLISHED)
    }

    fn build(&self, weights: &Weights) -> Model {
        let levels = self.vision.deepstack_visual_indexes.len();
        Model { encoders: vec![build::vision(self, weights)], decoder: qwen2::decoder(&self.text, levels, weights) }
    }

    fn layout(&self) -> Box<dyn MediaLayout> {
        Box::new(layout::Qwen3VlLayout::new(self))
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
