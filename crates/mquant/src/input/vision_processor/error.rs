//! What can be wrong with a processor's files, or with a picture's proportions.

use std::io;
use std::path::PathBuf;

use crate::error::{Class, Explain, io_class};

/// Why a processor cannot be made, or a picture not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is no JSON.
    #[error("{file}: {source}")]
    Json {
        /// Its name.
        file: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Nothing describes how pictures are prepared.
    #[error("expected `image_processor` in processor_config.json, or preprocessor_config.json; found neither")]
    Missing,
    /// A field has a wrong type or a value out of range.
    #[error("{file}: {field}: expected {expected}, found {found}")]
    Field {
        /// Name of the file, or `option`.
        file: &'static str,
        /// With the path inside the file.
        field: String,
        /// Type and range.
        expected: String,
        /// At most 200 bytes of it.
        found: String,
    },
    /// A processor or filter that is not implemented.
    #[error("{file}: {field}: expected {expected}, found {found}")]
    Unsupported {
        /// Name of the file.
        file: &'static str,
        /// With the path inside the file.
        field: String,
        /// What is implemented.
        expected: &'static str,
        /// At most 200 bytes of it.
        found: String,
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

impl Explain for ProcessorError {
    fn class(&self) -> Class {
        match self {
            Self::Read { source, .. } => io_class(source, Class::Model),
            Self::Field { file: "option", .. } => Class::Usage,
            Self::Json { .. } | Self::Missing | Self::Field { .. } => Class::Model,
            Self::Unsupported { .. } => Class::Unsupported,
            _ => Class::Input,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "PROCESSOR_READ",
            Self::Json { .. } => "PROCESSOR_JSON",
            Self::Missing => "PROCESSOR_MISSING",
            Self::Field { .. } => "PROCESSOR_FIELD",
            Self::Unsupported { .. } => "PROCESSOR_UNSUPPORTED",
            Self::Aspect { .. } => "IMAGE_ASPECT",
            Self::Empty { .. } => "IMAGE_EMPTY",
            Self::Indivisible { .. } => "IMAGE_SIZE",
            Self::NoFrames => "VIDEO_FRAMES",
            Self::FrameSize { .. } => "VIDEO_SIZE",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Aspect { .. } => "crop the picture",
            Self::Missing => "copy the processor files of the published model into its folder",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
