//! What tells one picture or sound from another before it is decoded.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::row;
use mquant_model::input::audio::{self, AudioLimits};
use mquant_model::input::image::{self, ImageLimits};
use mquant_model::input::{Content, MediaSource, Message, Video};

/// SHA-256 of the encoded bytes; of a folder of frames, of their names and bytes; of a video with a sound track, of the hashes
/// of both.
pub type MediaHash = [u8; 32];

/// The hash of each image, video and sound of a conversation, in order; why one cannot be used.
pub(super) fn hashes(messages: &[Message]) -> Result<Vec<MediaHash>, String> {
    messages.iter().flat_map(Message::media).map(hash).collect()
}

fn hash(content: &Content) -> Result<MediaHash, String> {
    match content {
        Content::Image(source) => pictures(source),
        Content::Video(Video { source: MediaSource::Path(path), audio: None, .. }) if path.is_dir() => frames(path),
        Content::Video(Video { source, audio: None, .. }) => pictures(source),
        Content::Video(video @ Video { audio: Some(track), .. }) => {
            let silent = Content::Video(Video { audio: None, ..video.clone() });
            Ok(Sha256::digest([hash(&silent)?, sound(track)?].concat()).into())
        }
        Content::Audio(source) => sound(source),
        Content::Text(_) => Err("expected a picture, found text".to_owned()),
    }
}

fn pictures(source: &MediaSource) -> Result<MediaHash, String> {
    match source {
        MediaSource::Bytes(bytes) => picture(bytes),
        MediaSource::Path(path) => file(path),
    }
}

fn sound(source: &MediaSource) -> Result<MediaHash, String> {
    let limits = AudioLimits::default();
    let checked = |bytes: &[u8]| match audio::checked_header(bytes, &limits) {
        Ok(_) => Ok(Sha256::digest(bytes).into()),
        Err(e) => Err(e.to_string()),
    };
    match source {
        MediaSource::Bytes(bytes) => checked(bytes),
        MediaSource::Path(path) => {
            let bytes = audio::read(path, limits.encoded_bytes).map_err(|e| told(&e))?;
            checked(&bytes)
                .map_err(|problem| format!("{}: {problem}", mquant_model::excerpt::excerpt(&row::name(path))))
        }
    }
}

fn picture(bytes: &[u8]) -> Result<MediaHash, String> {
    image::checked_header(bytes, &ImageLimits::default()).map_err(|e| e.to_string())?;
    Ok(Sha256::digest(bytes).into())
}

fn file(path: &Path) -> Result<MediaHash, String> {
    let named = |problem: String| format!("{}: {problem}", mquant_model::excerpt::excerpt(&row::name(path)));
    let bytes = image::read(path, ImageLimits::default().encoded_bytes).map_err(|e| told(&e))?;
    picture(&bytes).map_err(named)
}

/// The words of an error and of its source.
fn told(e: &dyn std::error::Error) -> String {
    match e.source() {
        Some(source) => format!("{e}: {source}"),
        None => e.to_string(),
    }
}

fn frames(path: &Path) -> Result<MediaHash, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", mquant_model::excerpt::excerpt(&row::name(path)));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            files.push(entry.path());
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(failed(std::io::Error::other("expected frames, found none")));
    }
    let mut hash = Sha256::new();
    for frame in files {
        hash.update(Sha256::digest(row::name(&frame)));
        hash.update(file(&frame)?);
    }
    Ok(hash.finalize().into())
}
