//! Pictures and sounds as cells hold them: in base64, or as a path.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use mquant_model::excerpt::quoted;
use mquant_model::input::audio::{self, AudioLimits};
use mquant_model::input::image::{self, ImageLimits};
use mquant_model::input::{Content, MediaSource};

/// As lenient as Python's own: bits after the last byte are not looked at.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a question is about, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Medium {
    /// What it is.
    pub kind: Kind,
    /// The file's bytes, whose header was checked.
    pub bytes: Arc<[u8]>,
}

/// What is given beside a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PNG, JPEG, WebP, GIF or BMP.
    Picture,
    /// WAV, FLAC, MP3, Ogg, M4A or AAC.
    Sound,
}

impl Medium {
    /// As a part of a message.
    pub fn content(&self) -> Content {
        let source = MediaSource::Bytes(self.bytes.clone());
        match self.kind {
            Kind::Picture => Content::Image(source),
            Kind::Sound => Content::Audio(source),
        }
    }
}

impl Kind {
    /// As messages call one.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Picture => "picture",
            Kind::Sound => "sound",
        }
    }

    /// Bytes from base64, white space left out.
    pub(super) fn decode(self, text: &str) -> Result<Vec<u8>, String> {
        let text = text.trim();
        let decoded = match text.bytes().any(|b| b.is_ascii_whitespace()) {
            true => BASE64.decode(text.bytes().filter(|b| !b.is_ascii_whitespace()).collect::<Vec<u8>>()),
            false => BASE64.decode(text),
        };
        decoded.map_err(|e| format!("expected a {} in base64, found {} ({e})", self.name(), quoted(text)))
    }

    /// Whether bytes are one, by their header.
    pub(super) fn check(self, bytes: &[u8]) -> Result<(), String> {
        match self {
            Kind::Picture => image::checked_header(bytes, &ImageLimits::default()).map(drop).map_err(|e| e.to_string()),
            Kind::Sound => audio::checked_header(bytes, &AudioLimits::default()).map(drop).map_err(|e| e.to_string()),
        }
    }

    /// The file at a path that must lie in `folder` as it is written; links in the folder are the user's own.
    pub(super) fn load(self, folder: &Path, benchmark: &str, path: &str) -> Result<Vec<u8>, String> {
        let relative = Path::new(path);
        let named = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        // Where the reader's own system parts names otherwise than the writer's.
        if !named || path.trim().is_empty() || path.contains(['\0', '\\']) {
            return Err(format!("expected a path inside the benchmark's folder, found {}", quoted(path)));
        }
        let beside = folder.join(relative);
        // Where VLMEvalKit unpacks the pictures of a benchmark.
        let unpacked: PathBuf = folder.join("images").join(benchmark.trim_end_matches("_local")).join(relative);
        let file = if beside.exists() || !unpacked.exists() { beside } else { unpacked };
        match self {
            Kind::Picture => image::read(&file, ImageLimits::default().encoded_bytes).map_err(|e| e.to_string()),
            Kind::Sound => audio::read(&file, AudioLimits::default().encoded_bytes).map_err(|e| e.to_string()),
        }
    }
}
