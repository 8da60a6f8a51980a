//! A small text file of a model folder, read with a size cap before anything is parsed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Why a file could not be read as text.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The operating system's answer.
    Io(io::Error),
    /// Larger than the cap.
    TooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// Not UTF-8.
    NotUtf8,
}

/// The text of a regular file of at most `limit` bytes; a byte order mark at the start is dropped.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, ReadError> {
    let metadata = std::fs::metadata(path).map_err(ReadError::Io)?;
    if !metadata.is_file() {
        return Err(ReadError::Io(io::Error::new(io::ErrorKind::IsADirectory, "not a regular file")));
    }
    if metadata.len() > limit {
        return Err(ReadError::TooLarge { limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(ReadError::Io)?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLarge { limit });
    }
    let text = String::from_utf8(bytes).map_err(|_| ReadError::NotUtf8)?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// The last part of a path, for messages: a file is named as it lies in its folder.
pub(crate) fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
