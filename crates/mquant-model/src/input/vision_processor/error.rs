//! What can be wrong with a processor's files, or with a picture's proportions.

use crate::checkpoint::{CheckpointError, FieldError};
use crate::error::{Class, Explain};
use crate::input::audio::ExtractorError;

/// Why a processor cannot be made, or a picture, video or sound not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    /// A file cannot be read, is no JSON, or has a field of a wrong type, out of range or of a kind that is not handled.
    #[error(transparent)]
    File(#[from] CheckpointError),
    /// Nothing describes how pictures are prepared.
    #[error("expected `image_processor` in processor_config.json, or preprocessor_config.json; found neither")]
    Missing,
    /// Nothing describes how videos are prepared.
    #[error("expected `video_processor` in processor_config.json, or video_preprocessor_config.json; found neither")]
    NoVideo,
    /// The model has no tower for sounds.
    #[error("the model reads no sound")]
    NoAudio,
    /// Nothing describes how sounds are prepared, or a sound does not fit.
    #[error(transparent)]
    Audio(#[from] ExtractorError),
    /// The processor cuts pictures otherwise than the model reads them.
    #[error("{file}: {field} is {found}, but config.json: {model_field} is {expected}; they must be equal")]
    Mismatch {
        /// The processor's file.
        file: String,
        /// With the path inside the file.
        field: String,
        /// The processor's number.
        found: usize,
        /// The model's field.
        model_field: &'static str,
        /// The model's number.
        expected: usize,
    },
    /// A bound that a user set is out of range.
    #[error("{option} is {found}, expected {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What was given.
        found: u64,
        /// What is allowed.
        expected: String,
    },
    /// Too long and thin.
    #[error("picture of {width}×{height}: expected an aspect ratio of at most 200 : 1")]
    Aspect {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// No pixels.
    #[error("picture of {width}×{height}: expected at least one pixel")]
    Empty {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The processor does not resize, and the picture does not fit its patches.
    #[error("picture of {width}×{height}: expected multiples of {factor}, for this model's processor does not resize")]
    Indivisible {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// `patch · merge`.
        factor: u32,
    },
    /// A video without frames.
    #[error("expected at least one frame")]
    NoFrames,
    /// Fewer frames than one patch has.
    #[error("expected a video of at least {expected} frames, found {found}")]
    FewFrames {
        /// Frames of the video that the model samples.
        found: usize,
        /// Frames in a patch.
        expected: usize,
    },
    /// Frames of one video differ in size.
    #[error("frame {index}: expected {}×{} like frame 0, found {}×{}", expected.0, expected.1, found.0, found.1)]
    FrameSize {
        /// From 0.
        index: usize,
        /// Width and height of frame 0.
        expected: (u32, u32),
        /// Width and height of this one.
        found: (u32, u32),
    },
}

impl From<FieldError> for ProcessorError {
    fn from(e: FieldError) -> Self {
        ProcessorError::File(e.into())
    }
}

impl Explain for ProcessorError {
    fn class(&self) -> Class {
        match self {
            Self::File(e) => e.class(),
            Self::Missing | Self::Mismatch { .. } => Class::Model,
            Self::Audio(e) => e.class(),
            Self::NoVideo | Self::NoAudio => Class::Unsupported,
            Self::Option { .. } => Class::Usage,
            _ => Class::Input,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::File(e) => e.code(),
            Self::Missing => "PROCESSOR_MISSING",
            Self::NoVideo => "PROCESSOR_UNSUPPORTED",
            Self::NoAudio => "AUDIO_NOT_READ",
            Self::Audio(e) => e.code(),
            Self::Mismatch { .. } => "PROCESSOR_MISMATCH",
            Self::Option { .. } => "OPTION_RANGE",
            Self::Aspect { .. } => "IMAGE_ASPECT",
            Self::Empty { .. } => "IMAGE_EMPTY",
            Self::Indivisible { .. } => "IMAGE_SIZE",
            Self::NoFrames | Self::FewFrames { .. } => "VIDEO_FRAMES",
            Self::FrameSize { .. } => "VIDEO_SIZE",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::File(e) => return e.hint(),
            Self::Audio(e) => return e.hint(),
            Self::NoAudio => "leave the sound out, or take a model with an audio tower",
            Self::Mismatch { .. } => "check that both files belong to one model",
            Self::Aspect { .. } => "crop the picture",
            Self::Missing => "copy the processor files of the published model into its folder",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
