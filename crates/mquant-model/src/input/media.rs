//! Kinds of media, and what turns them into the rows that a tower reads.

use super::audio::{FeatureExtractor, Sound};
use super::image::RgbImage;
use super::vision_processor::{Grid, Patches, ProcessorError, VisionProcessor};
use crate::checkpoint::Checkpoint;
use crate::nn::{Modality, Tower};

/// Kinds of media that a message may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// One picture.
    Image,
    /// Several frames.
    Video,
    /// One sound.
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

    /// Rows of a sound: mel frames × mel bins in the order of time, a grid of one step a frame, no times. The default is that of
    /// a model that reads no sound.
    ///
    /// # Errors
    /// [`ProcessorError::NoAudio`] from a model that reads no sound; a sound that is too long.
    fn audio(&self, _sound: &Sound) -> Result<Patches, ProcessorError> {
        Err(ProcessorError::NoAudio)
    }

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

/// A processor of pictures and videos together with an extractor of sounds.
pub struct WithAudio {
    /// For pictures and videos.
    vision: Box<dyn MediaProcessor>,
    extractor: FeatureExtractor,
}

impl WithAudio {
    /// Gives `vision` ears.
    pub fn new(vision: Box<dyn MediaProcessor>, extractor: FeatureExtractor) -> Self {
        Self { vision, extractor }
    }

    /// The same with the extractor of a model folder: `feature_extractor` of `processor_config.json`, else
    /// `preprocessor_config.json`, where fields of pictures may stand beside those of sounds.
    ///
    /// # Errors
    /// No file describes sounds; files that are unreadable or no JSON; fields out of range or not handled, with file and field.
    pub fn read(vision: Box<dyn MediaProcessor>, checkpoint: &Checkpoint) -> Result<Self, ProcessorError> {
        Ok(Self::new(vision, FeatureExtractor::read(checkpoint)?))
    }

    /// What prepares sounds.
    pub fn extractor(&self) -> &FeatureExtractor {
        &self.extractor
    }
}

impl std::fmt::Debug for WithAudio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WithAudio").field("extractor", &self.extractor).finish_non_exhaustive()
    }
}

impl MediaProcessor for WithAudio {
    fn image(&self, image: &RgbImage) -> Result<Patches, ProcessorError> {
        self.vision.image(image)
    }

    fn video(&self, frames: &[RgbImage], fps: f32) -> Result<Patches, ProcessorError> {
        self.vision.video(frames, fps)
    }

    fn audio(&self, sound: &Sound) -> Result<Patches, ProcessorError> {
        let rows = self.extractor.features(sound)?.rows;
        let grid = Grid { t: rows.rows(), h: 1, w: 1 };
        Ok(Patches { rows, grid, seconds_per_step: self.extractor.seconds_per_frame(), times: Vec::new() })
    }

    fn image_grid(&self, width: u32, height: u32) -> Result<Grid, ProcessorError> {
        self.vision.image_grid(width, height)
    }
}
