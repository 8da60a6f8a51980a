//! A user's file as bytes, never more than allowed, never from a pipe or device.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::AudioError;

/// The whole file. Symbolic links are followed: the path is the user's own.
///
/// # Errors
/// No regular file, one that cannot be read, or more than `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, AudioError> {
    let failed = |source| AudioError::Open { path: path.to_owned(), source };
    // Asked before opening: opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(AudioError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let too_many = |found| {
        let source = Box::new(AudioError::TooManyBytes { found, limit });
        Err(AudioError::InFile { path: path.to_owned(), source })
    };
    if length > limit {
        return too_many(length);
    }
    let mut bytes = Vec::new();
    let wanted = usize::try_from(length).unwrap_or(0);
    bytes.try_reserve_exact(wanted).map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    // The file may have grown since its length was asked.
    match bytes.len() as u64 {
        found if found > limit => too_many(found),
        _ => Ok(bytes),
    }
}
