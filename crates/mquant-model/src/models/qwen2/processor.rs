//! The processor that the families of the Qwen2-VL line share.

use crate::checkpoint::Checkpoint;
use crate::input::MediaProcessor;
use crate::input::vision_processor::{Patching, PixelBounds, ProcessorError, Setting, VisionProcessor};

/// The folder's processor, checked against `vision_config`'s `[patch_size, temporal_patch_size, spatial_merge_size]`, with a
/// user's bounds.
pub(in crate::models) fn processor(
    checkpoint: &Checkpoint,
    patching: [usize; 3],
    pixels: PixelBounds,
) -> Result<Box<dyn MediaProcessor>, ProcessorError> {
    bounded(published(checkpoint, patching)?, pixels)
}

/// The folder's processor as it is, checked.
pub(in crate::models) fn published(
    checkpoint: &Checkpoint,
    [patch, temporal, merge]: [usize; 3],
) -> Result<VisionProcessor, ProcessorError> {
    let setting = |field, value| Setting { field, value };
    let processor = VisionProcessor::read(checkpoint)?;
    processor.check_patching(&Patching {
        patch: setting("vision_config.patch_size", patch),
        temporal: setting("vision_config.temporal_patch_size", temporal),
        merge: setting("vision_config.spatial_merge_size", merge),
    })?;
    Ok(processor)
}

/// A processor with a user's bounds, which hold for frames of videos too.
pub(in crate::models) fn bounded(
    processor: VisionProcessor,
    pixels: PixelBounds,
) -> Result<Box<dyn MediaProcessor>, ProcessorError> {
    let processor = processor.with_image_bounds(pixels)?;
    if pixels == PixelBounds::default() {
        return Ok(Box::new(processor));
    }
    Ok(Box::new(processor.with_video_bounds(pixels)?))
}
