//! The pictures of a folder, by name.

use std::path::{Path, PathBuf};

use super::row::{self, Read, Row, Visit};
use super::{Origin, SamplesError};
use mquant_model::input::{Content, MediaSource, Message};

/// Gives every file of a folder to `visit`, those with hidden names and folders left out.
pub(super) fn rows(path: &Path, prompt: &str, visit: &mut Visit<'_>) -> Result<(), SamplesError> {
    let unreadable = |source| SamplesError::Io { file: row::name(path), source };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().to_string_lossy().starts_with('.') && !entry.path().is_dir() {
            files.push(entry.path());
        }
    }
    files.sort();
    for (i, file) in files.into_iter().enumerate() {
        let image = Content::Image(MediaSource::Path(file));
        let messages = vec![Message::parts("user", vec![image, Content::Text(prompt.to_owned())])];
        if visit(Origin { file: row::name(path), row: i + 1 }, Ok(Row { messages, answer: None })) == Read::Enough {
            break;
        }
    }
    Ok(())
}
