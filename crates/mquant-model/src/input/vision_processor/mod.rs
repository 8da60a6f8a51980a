//! From upright pictures to the rows a Qwen2-VL vision tower reads: resize, rescale and normalise, cut into patches.
//!
//! The reference is the default (torchvision) back end of transformers 5.23, which this equals bit for bit:
//!
//! 1. *Size.* Both sides become multiples of `patch · merge` near their own, with `min_pixels ≤ height · width ≤ max_pixels`
//!    as far as multiples allow; at most 200 : 1. Resampled by [`resize`](super::resize::resize).
//! 2. *Values.* `(v − mean/rescale) / (std/rescale)` in f32, the quotients taken in f32 first.
//! 3. *Patches.* Row order `[t][h/merge][w/merge][merge][merge]`, so that `merge²` consecutive rows are one token; within a row
//!    `[channel][temporal][y][x]`. A picture is repeated to fill `temporal` frames; a video repeats its last frame.

mod config;
mod error;
mod patchify;
mod sampling;
mod smart_resize;

use mquant_kernels::Rows;

use super::image::RgbImage;
use crate::checkpoint::Checkpoint;
use config::{Settings, Unprepared};

pub use config::ProcessorFiles;
pub use error::ProcessorError;

/// Patches of a picture or video: `t · h · w` of them. A sound has one row for each of `t` steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    /// Groups of `temporal` frames, 1 for a picture; mel frames of a sound.
    pub t: usize,
    /// Rows of patches.
    pub h: usize,
    /// Patches in a row.
    pub w: usize,
}

impl Grid {
    /// `t · h · w`.
    pub fn patches(self) -> usize {
        self.t * self.h * self.w
    }
}

/// How a model's vision tower wants pictures cut: a patch row has `3 · temporal · patch²` values, a token has `merge²` rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patching {
    /// Pixels on the side of a patch.
    pub patch: Setting,
    /// Frames in a patch.
    pub temporal: Setting,
    /// Patches on the side of a token.
    pub merge: Setting,
}

/// A number and the field of `config.json` it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The dotted path.
    pub field: &'static str,
    /// Its value, written or by default.
    pub value: usize,
}

/// What a tower reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Patches {
    /// `patches × (3 · temporal · patch · patch)`; of a sound `mel frames × mel bins`.
    pub rows: Rows,
    /// Their arrangement.
    pub grid: Grid,
    /// Seconds from one grid step to the next.
    pub seconds_per_step: f32,
    /// When each grid step of a video is: seconds from the beginning, halfway between its first and its last frame.
    pub times: Vec<f64>,
}

/// Frames in a second of a video that does not say it: what transformers 5.23 assumes.
pub const FRAMES_PER_SECOND: f32 = 24.0;

/// Bounds that a user sets in place of the published ones; `None` keeps a published bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PixelBounds {
    /// Fewest pixels after resizing.
    pub min: Option<u64>,
    /// Most pixels after resizing.
    pub max: Option<u64>,
}

/// How a model wants its pictures and videos prepared.
#[derive(Clone, Debug)]
pub struct VisionProcessor {
    image: Settings,
    video: Result<Settings, Unprepared>,
}

impl VisionProcessor {
    /// Reads a model folder: `processor_config.json` with nested parts where it has them, else `preprocessor_config.json`,
    /// for videos preceded by `video_preprocessor_config.json`.
    ///
    /// # Errors
    /// Files that are missing, unreadable, no JSON; fields out of range, with file and field.
    pub fn read(checkpoint: &Checkpoint) -> Result<Self, ProcessorError> {
        config::read(checkpoint)
    }

    /// The same from files that were read already.
    ///
    /// # Errors
    /// No file describes images; fields out of range, with file and field.
    pub fn from_fields(files: ProcessorFiles) -> Result<Self, ProcessorError> {
        config::from_fields(files)
    }

    /// Checks that pictures, and videos where they are described, are cut as the model reads them.
    ///
    /// # Errors
    /// [`ProcessorError::Mismatch`] with both files and fields.
    pub fn check_patching(&self, model: &Patching) -> Result<(), ProcessorError> {
        self.image.check_patching(model)?;
        self.video.as_ref().map_or(Ok(()), |video| video.check_patching(model))
    }

    /// Sets the pixel bounds of pictures.
    ///
    /// # Errors
    /// Bounds out of range or crossing.
    pub fn with_image_bounds(mut self, bounds: PixelBounds) -> Result<Self, ProcessorError> {
        self.image.set_bounds(bounds)?;
        Ok(self)
    }

    /// Sets the pixel bounds of a video's frames.
    ///
    /// # Errors
    /// Bounds out of range or crossing; the model has no video processor that is known here.
    pub fn with_video_bounds(mut self, bounds: PixelBounds) -> Result<Self, ProcessorError> {
        self.video.as_mut().map_err(|reason| reason.clone())?.set_bounds(bounds)?;
        Ok(self)
    }

    fn video_settings(&self) -> Result<&Settings, ProcessorError> {
        Ok(self.video.as_ref().map_err(Clone::clone)?)
    }

    /// Patches that a picture of `width × height` will take.
    ///
    /// # Errors
    /// An aspect ratio over 200 : 1, an empty picture.
    pub fn image_grid(&self, width: u32, height: u32) -> Result<Grid, ProcessorError> {
        self.image.grid(1, width, height)
    }

    /// Patches that `frames` frames of `width × height` will take, all of them used.
    ///
    /// # Errors
    /// No frames; an aspect ratio over 200 : 1; the model has no video processor that is known here.
    pub fn video_grid(&self, frames: usize, width: u32, height: u32) -> Result<Grid, ProcessorError> {
        self.video_settings()?.grid(frames, width, height)
    }

    /// Placeholder tokens of a picture.
    pub fn image_tokens(&self, grid: Grid) -> usize {
        self.image.tokens(grid)
    }

    /// Placeholder tokens of a video.
    ///
    /// # Errors
    /// The model has no video processor that is known here.
    pub fn video_tokens(&self, grid: Grid) -> Result<usize, ProcessorError> {
        Ok(self.video_settings()?.tokens(grid))
    }

    /// Prepares a picture.
    ///
    /// # Errors
    /// As [`image_grid`](Self::image_grid).
    pub fn image(&self, image: &RgbImage) -> Result<Patches, ProcessorError> {
        patchify::patches(&self.image, &[image], &[0], FRAMES_PER_SECOND)
    }

    /// Prepares those frames that the model samples, of frames of one size, `fps` of them a second ([`FRAMES_PER_SECOND`] where nobody says).
    ///
    /// # Errors
    /// As [`video_grid`](Self::video_grid); frames that differ in size.
    pub fn video(&self, frames: &[RgbImage], fps: f32) -> Result<Patches, ProcessorError> {
        let settings = self.video_settings()?;
        let kept = settings.sampled(frames.len(), fps)?;
        let sampled: Vec<&RgbImage> = kept.iter().map(|index| &frames[*index]).collect();
        patchify::patches(settings, &sampled, &kept, fps)
    }
}
