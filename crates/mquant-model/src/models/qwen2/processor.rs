//! The processor that the families of the Qwen2-VL line share.

use crate::checkpoint::Checkpoint;
use crate::input::MediaProcessor;
use crate::input::vision_processor::{Patching, PixelBounds, ProcessorError, Setting, VisionProcessor};

/// The folder's processor, checked against `vision_config`'s `[patch_size, temporal_patch_size, spatial_merge_size]`.
pub(in crate::models) fn processor(
    checkpoint: &Checkpoint,
    [patch, temporal, merge]: [usize; 3],
    pixels: PixelBounds,
) -> Result<Box<dyn MediaProcessor>, ProcessorError> {
    let setting = |field, value| Setting { field, value };
    let processor = VisionProcessor::read(checkpoint)?;
    processor.check_patching(&Patching {
        patch: setting("vision_config.patch_size", patch),
        temporal: setting("vision_config.temporal_patch_size", temporal),
        merge: setting("vision_config.spatial_merge_size", merge),
    })?;
    let processor = processor.with_image_bounds(pixels)?;
    if pixels == PixelBounds::default() {
        return Ok(Box::new(processor));
    }
    Ok(Box::new(processor.with_video_bounds(pixels)?))
}
