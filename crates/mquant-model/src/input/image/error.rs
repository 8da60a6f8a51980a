//! What can be wrong with a picture, in words.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::error::{Class, Explain, io_class};

use super::Format;

/// Why a picture was refused. Messages carry an excerpt of the decoder's own words and none of the picture's bytes.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Open {
        /// As the user gave it.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A folder, pipe, socket or device.
    #[error("{}: expected a regular file", path.display())]
    NotAFile {
        /// As the user gave it.
        path: PathBuf,
    },
    /// A fault of the picture in this file.
    #[error("{}: {source}", path.display())]
    InFile {
        /// As the user gave it.
        path: PathBuf,
        /// The fault.
        source: Box<ImageError>,
    },
    /// More encoded bytes than the limit.
    #[error("encoded picture: expected at most {limit} bytes, found {found}")]
    TooManyBytes {
        /// Bytes of the file, or more than this many.
        found: u64,
        /// [`ImageLimits::encoded_bytes`](super::ImageLimits::encoded_bytes).
        limit: u64,
    },
    /// The first bytes are those of no format read here.
    #[error("expected PNG, JPEG, WebP, GIF or BMP, found {found}")]
    UnknownFormat {
        /// What the bytes look like.
        found: &'static str,
    },
    /// A feature of the format that is not read.
    #[error("{format}: {feature} is not supported")]
    Unsupported {
        /// By content.
        format: Format,
        /// The feature.
        feature: String,
    },
    /// The header declares more than a limit allows; nothing was decoded.
    #[error("{format} of {width}×{height}: expected at most {limit}")]
    TooLarge {
        /// By content.
        format: Format,
        /// Pixels, as declared.
        width: u32,
        /// Pixels, as declared.
        height: u32,
        /// The limit that was passed.
        limit: Limit,
    },
    /// No pixels.
    #[error("{format} of {width}×{height}: expected at least one pixel")]
    Empty {
        /// By content.
        format: Format,
        /// Pixels, as declared.
        width: u32,
        /// Pixels, as declared.
        height: u32,
    },
    /// The file ends before the picture does.
    #[error("{format}: the file ends before the picture does ({found} bytes)")]
    Truncated {
        /// By content.
        format: Format,
        /// Bytes of the file.
        found: usize,
    },
    /// The decoder refuses the bytes.
    #[error("{format}: {reason}")]
    Decode {
        /// By content.
        format: Format,
        /// The decoder's words, in short.
        reason: String,
    },
    /// The decoder gave up in a way it should not; contained here.
    #[error("{format}: the decoder failed on malformed data")]
    Decoder {
        /// By content.
        format: Format,
    },
    /// Pixels do not fit the size given to [`RgbImage::new`](super::RgbImage::new).
    #[error("RGB picture of {width}×{height}: expected 3 bytes for each of at least one pixel, found {found} bytes")]
    Shape {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// Bytes given.
        found: usize,
    },
}

/// The limit a header passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Pixels in all.
    Pixels(u64),
    /// Pixels on one side.
    Side(u32),
    /// Bytes while decoding.
    Bytes(u64),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Pixels(n) => write!(f, "{n} pixels"),
            Limit::Side(n) => write!(f, "{n} pixels on a side"),
            Limit::Bytes(n) => write!(f, "{n} bytes while decoding"),
        }
    }
}

impl Explain for ImageError {
    fn class(&self) -> Class {
        match self {
            Self::Open { source, .. } => io_class(source, Class::Input),
            Self::InFile { source, .. } => source.class(),
            Self::Unsupported { .. } => Class::Unsupported,
            Self::Shape { .. } => Class::Bug,
            _ => Class::Input,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } | Self::NotAFile { .. } => "IMAGE_OPEN",
            Self::InFile { source, .. } => source.code(),
            Self::TooManyBytes { .. } => "IMAGE_BYTES",
            Self::UnknownFormat { .. } => "IMAGE_FORMAT",
            Self::Unsupported { .. } => "IMAGE_UNSUPPORTED",
            Self::TooLarge { .. } => "IMAGE_TOO_LARGE",
            Self::Empty { .. } => "IMAGE_EMPTY",
            Self::Truncated { .. } => "IMAGE_TRUNCATED",
            Self::Decode { .. } => "IMAGE_DECODE",
            Self::Decoder { .. } => "IMAGE_DECODER",
            Self::Shape { .. } => "IMAGE_SHAPE",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::InFile { source, .. } => return source.hint(),
            Self::UnknownFormat { .. } | Self::Unsupported { .. } => "convert the picture to PNG or JPEG",
            Self::TooLarge { .. } | Self::TooManyBytes { .. } => "scale the picture down first",
            Self::Truncated { .. } => "fetch or copy the file again",
            Self::Decode { .. } | Self::Decoder { .. } => "the file is damaged; save it again with an image editor",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
