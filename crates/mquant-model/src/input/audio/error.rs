//! What can be wrong with a sound, in words.

use std::io;
use std::path::PathBuf;

use crate::checkpoint::{CheckpointError, FieldError};
use crate::error::{Class, Explain, io_class};

use super::Format;

/// Why a sound was refused. Messages carry the decoder's own words and none of the file's bytes.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
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
    /// A fault of the sound in this file.
    #[error("{}: {source}", path.display())]
    InFile {
        /// As the user gave it.
        path: PathBuf,
        /// The fault.
        source: Box<AudioError>,
    },
    /// More encoded bytes than the limit.
    #[error("encoded sound: expected at most {limit} bytes, found {found}")]
    TooManyBytes {
        /// Bytes of the file, or more than this many.
        found: u64,
        /// [`AudioLimits::encoded_bytes`](super::AudioLimits::encoded_bytes).
        limit: u64,
    },
    /// The first bytes are those of no format read here.
    #[error("expected WAV, FLAC, MP3, OGG/Vorbis, M4A or AAC, found {found}")]
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
    /// Longer than the limit. Found in the header where it declares a length, else while decoding, which then stops.
    #[error("sound of {} seconds: expected at most {limit}", declared.map_or_else(|| "more".to_owned(), |s| format!("{s:.1}")))]
    TooLong {
        /// Seconds; none if the header does not say it.
        declared: Option<f64>,
        /// The limit in seconds.
        limit: u32,
    },
    /// Slower than any speech, or faster than the limit.
    #[error("sound of {found} Hz: expected {lowest} to {highest} Hz")]
    SampleRate {
        /// Samples of a channel in a second.
        found: u32,
        /// [`LOWEST_RATE`](super::LOWEST_RATE).
        lowest: u32,
        /// [`AudioLimits::sample_rate`](super::AudioLimits::sample_rate).
        highest: u32,
    },
    /// None, or more than the limit.
    #[error("sound of {found} channels: expected 1 to {limit}")]
    Channels {
        /// Channels.
        found: u32,
        /// [`AudioLimits::channels`](super::AudioLimits::channels).
        limit: u32,
    },
    /// Decoded, it would take more memory than the limit.
    #[error("sound at {sample_rate} Hz: expected at most {limit} bytes when decoded")]
    DecodedBytes {
        /// Samples in a second.
        sample_rate: u32,
        /// [`AudioLimits::decoded_bytes`](super::AudioLimits::decoded_bytes).
        limit: u64,
    },
    /// No samples.
    #[error("expected at least one sample, found none")]
    Empty,
    /// A sample that is no number, or far beyond any scale in use.
    #[error("sample {index} is {value}, expected a number within ±{limit}")]
    Sample {
        /// From 0, of the mono sound.
        index: usize,
        /// The sample.
        value: f32,
        /// [`LARGEST_SAMPLE`](super::LARGEST_SAMPLE).
        limit: f32,
    },
    /// The file ends before the sound does.
    #[error("{format}: the file ends before the sound does ({found} bytes)")]
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
    /// The resampler refuses what was checked before: a defect.
    #[error("resampling from {from} to {to} Hz: {reason}")]
    Resample {
        /// Hz.
        from: u32,
        /// Hz.
        to: u32,
        /// The resampler's words, in short.
        reason: String,
    },
}

impl Explain for AudioError {
    fn class(&self) -> Class {
        match self {
            Self::Open { source, .. } => io_class(source, Class::Input),
            Self::InFile { source, .. } => source.class(),
            Self::Unsupported { .. } => Class::Unsupported,
            Self::Resample { .. } => Class::Bug,
            _ => Class::Input,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } | Self::NotAFile { .. } => "AUDIO_OPEN",
            Self::InFile { source, .. } => source.code(),
            Self::TooManyBytes { .. } => "AUDIO_BYTES",
            Self::UnknownFormat { .. } => "AUDIO_FORMAT",
            Self::Unsupported { .. } => "AUDIO_UNSUPPORTED",
            Self::TooLong { .. } => "AUDIO_TOO_LONG",
            Self::SampleRate { .. } => "AUDIO_RATE",
            Self::Channels { .. } => "AUDIO_CHANNELS",
            Self::DecodedBytes { .. } => "AUDIO_TOO_LARGE",
            Self::Empty => "AUDIO_EMPTY",
            Self::Sample { .. } => "AUDIO_SAMPLE",
            Self::Truncated { .. } => "AUDIO_TRUNCATED",
            Self::Decode { .. } => "AUDIO_DECODE",
            Self::Decoder { .. } => "AUDIO_DECODER",
            Self::Resample { .. } => "AUDIO_RESAMPLE",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::InFile { source, .. } => return source.hint(),
            Self::UnknownFormat { .. } | Self::Unsupported { .. } | Self::SampleRate { .. } | Self::Channels { .. } => {
                "convert the sound first, for example `ffmpeg -i input -vn -ac 1 -ar 16000 sound.wav`"
            }
            Self::TooLong { .. } => "cut the sound into shorter parts",
            Self::TooManyBytes { .. } | Self::DecodedBytes { .. } => {
                "convert the sound to 16 kHz mono, for example `ffmpeg -i input -vn -ac 1 -ar 16000 sound.flac`"
            }
            Self::Truncated { .. } => "fetch or copy the file again",
            Self::Decode { .. } | Self::Decoder { .. } | Self::Sample { .. } => {
                "the file is damaged; save it again with an audio editor"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// Why a feature extractor cannot be made, or a sound not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum ExtractorError {
    /// A file cannot be read, is no JSON, or has a field of a wrong type, out of range or of a kind that is not handled.
    #[error(transparent)]
    File(#[from] CheckpointError),
    /// Nothing describes how sounds are prepared.
    #[error(
        "expected `feature_extractor` in processor_config.json, or `feature_extractor_type` in preprocessor_config.json; found neither"
    )]
    Missing,
    /// The sound does not fit.
    #[error(transparent)]
    Sound(#[from] AudioError),
}

impl From<FieldError> for ExtractorError {
    fn from(e: FieldError) -> Self {
        ExtractorError::File(e.into())
    }
}

impl Explain for ExtractorError {
    fn class(&self) -> Class {
        match self {
            Self::File(e) => e.class(),
            Self::Missing => Class::Unsupported,
            Self::Sound(e) => e.class(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::File(e) => e.code(),
            Self::Missing => "AUDIO_EXTRACTOR",
            Self::Sound(e) => e.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::File(e) => e.hint(),
            Self::Missing => Some("a model without one reads no sound".to_owned()),
            Self::Sound(e) => e.hint(),
        }
    }
}
