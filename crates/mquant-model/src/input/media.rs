//! Kinds of media, and what turns them into the rows that a tower reads.

use super::image::RgbImage;
use super::vision_processor::{Grid, Patches, ProcessorError, VisionProcessor};
use crate::nn::{Modality, Tower};

/// Kinds of media that a message may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// One picture.
    Image,
    /// Several frames.
    Video,
    /// A sound.
    Audio,
}

impl MediaKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [MediaKind::Image, MediaKind::Video, MediaKind::Audio];

    /// Its name in messages: also the type of its media types (`image/png`).
    pub fn name(self) -> &'static str {
        match self {
            MediaKind::Image => "image",
            MediaKind::Video => "video",
            MediaKind::Audio => "audio",
        }
    }

    /// The tower that reads it.
    pub fn tower(self) -> Tower {
        match self {
            MediaKind::Image | MediaKind::Video => Tower::Vision,
            MediaKind::Audio => Tower::Audio,
        }
    }

    /// The modality of its rows in the decoder.
    pub fn modality(self) -> Modality {
        match self {
            MediaKind::Image | MediaKind::Video => Modality::Vision,
            MediaKind::Audio => Modality::Audio,
        }
    }
}

/// Turns media into the rows that a model's towers read. A family brings its own, or one of those here.
pub trait MediaProcessor: Send + Sync {
    /// Rows of a picture.
    ///
    /// # Errors
    /// A picture that the model cannot read.
    fn image(&self, image: &RgbImage) -> Result<Patches, ProcessorError>;

    /// Rows of a video's frames, all of one size, `fps` of them a second.
    ///
    /// # Errors
    /// Frames that the model cannot read, or a model that reads no videos.
    fn video(&self, frames: &[RgbImage], fps: f32) -> Result<Patches, ProcessorError>;

    /// Patches that a picture of `width` × `height` pixels takes.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    fn image_grid(&self, width: u32, height: u32) -> Result<Grid, ProcessorError>;
}

impl MediaProcessor for VisionProcessor {
    fn image(&self, image: &RgbImage) -> Result<Patches, ProcessorError> {
        VisionProcessor::image(self, image)
    }

    fn video(&self, frames: &[RgbImage], fps: f32) -> Result<Patches, ProcessorError> {
        VisionProcessor::video(self, frames, fps)
    }

    fn image_grid(&self, width: u32, height: u32) -> Result<Grid, ProcessorError> {
        VisionProcessor::image_grid(self, width, height)
    }
}
