//! Lines of JSON that grow while work goes on.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{FolderError, read_whole};
use mquant_model::checkpoint::SUFFIX;
use mquant_model::disk::{DiskFile, SharedDisk, folder_of};

/// A crash of the machine loses at most what was found in this time; one of the process loses nothing.
const SYNC_EVERY: Duration = Duration::from_secs(5);

/// A file of lines, open at its end.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    synced: Instant,
}

impl Journal {
    /// Reads what is there up to the first line that is not whole, and writes that anew: what an earlier run could not sync
    /// is not believed to be on the disk.
    pub(super) fn open<T: Serialize + DeserializeOwned>(
        disk: &SharedDisk,
        path: PathBuf,
    ) -> Result<(Self, Vec<T>), FolderError> {
        let bytes = read_whole(disk, &path)?.unwrap_or_default();
        let (mut lines, mut kept) = (Vec::new(), 0);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(parsed) = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok()) else {
                break;
            };
            lines.push(parsed);
            kept += line.len();
        }
        let mut new = std::ffi::OsString::from(".");
        new.push(path.file_name().unwrap_or_default());
        new.push(SUFFIX);
        let new = path.with_file_name(new);
        let begin = || -> io::Result<Box<dyn DiskFile>> {
            if disk.entry(&new, mquant_model::disk::Links::Themselves)?.is_some() {
                disk.remove_file(&new)?;
            }
            let mut file = disk.create(&new)?;
            file.write_all(&bytes[..kept])?;
            file.sync()?;
            disk.rename(&new, &path)?;
            disk.sync_folder(folder_of(&path))?;
            Ok(file)
        };
        let file = begin().map_err(|e| FolderError::io("write", &path, e))?;
        Ok((Self { path, file, synced: Instant::now() }, lines))
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The system refuses.
    pub fn append<T: Serialize>(&mut self, line: &T) -> Result<(), FolderError> {
        let mut bytes = serde_json::to_vec(line).map_err(|e| FolderError::io("write", &self.path, e.into()))?;
        bytes.push(b'\n');
        let mut written = self.file.write_all(&bytes);
        if written.is_ok() && self.synced.elapsed() > SYNC_EVERY {
            written = self.file.sync();
            self.synced = Instant::now();
        }
        written.map_err(|e| FolderError::io("write", &self.path, e))
    }

    /// Takes everything to the disk.
    ///
    /// # Errors
    /// The system refuses.
    pub fn finish(mut self) -> Result<(), FolderError> {
        self.file.sync().map_err(|e| FolderError::io("sync", &self.path, e))
    }
}
