//! Qwen2.5-Omni's thinker (arXiv 2503.20215): the vision tower of Qwen2.5-VL, an audio tower of two convolutions and LayerNorm
//! blocks whose attention stays within chunks, and a Qwen2 decoder with time-aligned M-RoPE (TMRoPE). What speaks, talker and
//! token2wav, is not run.

mod audio;
mod config;
mod layout;
mod tensors;

use super::{Family, MediaLayout, Model, ModelError, ModelSpec, qwen2, qwen2_5_vl};
use crate::bundle::Weights;
use crate::checkpoint::{Checkpoint, Fields, Naming, TensorSpec};
use crate::input::vision_processor::{PixelBounds, ProcessorError};
use crate::input::{MediaProcessor, WithAudio};
use config::Config;

/// Pixels of a frame of a video.
const VIDEO_BOUNDS: PixelBounds = PixelBounds { min: Some(128 * 28 * 28), max: Some(768 * 28 * 28) };

/// The family.
#[derive(Debug)]
pub(super) struct Qwen25Omni;

impl Family for Qwen25Omni {
    fn model_types(&self) -> &'static [&'static str] {
        &["qwen2_5_omni", "qwen2_5_omni_thinker"]
    }

    fn blueprint(&self, config: &Fields) -> Result<Box<dyn ModelSpec>, ModelError> {
        Ok(Box::new(Config::read(config)?))
    }
}

impl ModelSpec for Config {
    fn naming(&self) -> Naming {
        tensors::NAMING
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        tensors::all(self)
    }

    fn published(&self) -> Vec<TensorSpec> {
        qwen2::published(tensors::all(self), tensors::published_names(self.is_nested))
    }

    fn build(&self, weights: &Weights) -> Model {
        let encoders = vec![qwen2_5_vl::vision(&self.vision, weights), audio::tower(&self.audio, weights)];
        Model { encoders, decoder: qwen2::decoder(&self.text, 0, weights) }
    }

    fn layout(&self) -> Box<dyn MediaLayout> {
        Box::new(layout::OmniLayout::new(self))
    }

    fn processor(
        &self,
        checkpoint: &Checkpoint,
        pixels: PixelBounds,
    ) -> Result<Box<dyn MediaProcessor>, ProcessorError> {
        let v = &self.vision;
        let patching = [v.patch_size, v.temporal_patch_size, v.spatial_merge_size];
        let mut vision = qwen2::published_processor(checkpoint, patching)?;
        let files = checkpoint.fields("processor_config.json")?;
        if !files.is_some_and(|fields| fields.has("video_processor")) {
            // The reference's own, whatever bounds the folder has for pictures.
            vision = vision.with_video_bounds(VIDEO_BOUNDS)?;
        }
        Ok(Box::new(WithAudio::read(qwen2::bounded(vision, pixels)?, checkpoint)?))
    }

    fn vocabulary(&self) -> usize {
        self.text.vocab_size
    }

    fn context(&self) -> usize {
        self.text.max_position_embeddings
    }
}
