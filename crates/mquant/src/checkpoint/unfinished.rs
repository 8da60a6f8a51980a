//! Files and folders that are there whole or not at all: they grow under another name beside their place, reach the disk,
//! and take their own name at the end. Dropped unfinished, they leave nothing.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::write::WriteError;

/// How the other names end.
pub(crate) const SUFFIX: &str = ".partial";

/// A file under a name of its own beside the one it is to have.
#[derive(Debug)]
pub(crate) struct UnfinishedFile {
    file: File,
    /// None once it has its name.
    at: Option<PathBuf>,
}

impl UnfinishedFile {
    pub(crate) fn create(path: &Path) -> Result<Self, WriteError> {
        let io_error = |source| WriteError::Io { path: path.to_owned(), source };
        match fs::metadata(path) {
            Ok(found) if !found.is_file() => return Err(WriteError::NotRegular { path: path.to_owned() }),
            _ => {}
        }
        let name = path.file_name().ok_or_else(|| io_error(io::ErrorKind::InvalidInput.into()))?;
        // Another process may hold a name; the same process can only hold as many as it has writers.
        for attempt in 0..100 {
            let mut own = OsString::from(".");
            own.push(name);
            own.push(format!(".{}-{attempt}{SUFFIX}", std::process::id()));
            let at = path.with_file_name(own);
            match OpenOptions::new().write(true).create_new(true).open(&at) {
                Ok(file) => return Ok(Self { file, at: Some(at) }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(io_error(e)),
            }
        }
        Err(io_error(io::ErrorKind::AlreadyExists.into()))
    }

    /// Takes it to the disk and gives it its name. Returns its length in bytes.
    pub(crate) fn finish(mut self, path: &Path) -> io::Result<u64> {
        self.file.sync_all()?;
        let bytes = self.file.metadata()?.len();
        if let Some(at) = &self.at {
            fs::rename(at, path)?;
        }
        self.at = None;
        sync_folder_of(path)?;
        Ok(bytes)
    }
}

impl Write for UnfinishedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        if let Some(at) = &self.at {
            // Nothing can be done about a file that does not go away.
            let _ = fs::remove_file(at);
        }
    }
}

/// A folder that grows as `NAME.partial`.
#[derive(Debug)]
pub struct UnfinishedFolder {
    dir: PathBuf,
    partial: PathBuf,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Growing,
    Finished,
}

impl UnfinishedFolder {
    /// Makes `NAME.partial`, and the folders above it.
    ///
    /// # Errors
    /// Either name is taken, or the system refuses.
    pub fn create(dir: &Path) -> Result<Self, WriteError> {
        let io_error = |source| WriteError::Io { path: dir.to_owned(), source };
        let mut name = dir.file_name().ok_or_else(|| io_error(io::ErrorKind::InvalidInput.into()))?.to_owned();
        name.push(SUFFIX);
        let partial = dir.with_file_name(name);
        refuse_existing(dir)?;
        if let Some(above) = dir.parent() {
            fs::create_dir_all(above).map_err(io_error)?;
        }
        fs::create_dir(&partial).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => WriteError::Exists { path: partial.clone() },
            _ => io_error(e),
        })?;
        Ok(Self { dir: dir.to_owned(), partial, state: State::Growing })
    }

    /// Where it grows.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Writes a small file into it, to the disk.
    ///
    /// # Errors
    /// The system refuses.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), WriteError> {
        let path = self.partial.join(name);
        let written = File::create_new(&path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        written.map_err(|source| WriteError::Io { path, source })
    }

    /// Takes it to the disk and gives it its name.
    ///
    /// # Errors
    /// The name was taken meanwhile, or the system refuses; then there is nothing.
    pub fn finish(mut self) -> Result<(), WriteError> {
        refuse_existing(&self.dir)?;
        let finished = File::open(&self.partial)
            .and_then(|folder| folder.sync_all())
            .and_then(|()| fs::rename(&self.partial, &self.dir));
        finished.map_err(|source| WriteError::Io { path: self.dir.clone(), source })?;
        self.state = State::Finished;
        sync_folder_of(&self.dir).map_err(|source| WriteError::Io { path: self.dir.clone(), source })
    }
}

impl Drop for UnfinishedFolder {
    fn drop(&mut self) {
        if self.state == State::Growing {
            // Nothing can be done about a folder that does not go away.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

fn refuse_existing(path: &Path) -> Result<(), WriteError> {
    match path.symlink_metadata() {
        Ok(_) => Err(WriteError::Exists { path: path.to_owned() }),
        Err(_) => Ok(()),
    }
}

/// Takes the names of a folder to the disk.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use crate::error::Explain;

    use super::*;

    #[test]
    fn a_folder_is_there_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a/model");
        let growing = UnfinishedFolder::create(&dir).unwrap();
        growing.write("config.json", b"{}").unwrap();
        assert_eq!(growing.write("config.json", b"{}").unwrap_err().code(), "WRITE_IO", "a second file of that name");
        assert_eq!(UnfinishedFolder::create(&dir).unwrap_err().code(), "WRITE_EXISTS", "two writers");
        assert!(!dir.exists());
        drop(growing);
        assert_eq!(fs::read_dir(dir.parent().unwrap()).unwrap().count(), 0);
        let growing = UnfinishedFolder::create(&dir).unwrap();
        growing.write("config.json", b"{}").unwrap();
        growing.finish().unwrap();
        assert_eq!(fs::read(dir.join("config.json")).unwrap(), b"{}");
        assert_eq!(fs::read_dir(dir.parent().unwrap()).unwrap().count(), 1);
        assert_eq!(UnfinishedFolder::create(&dir).unwrap_err().code(), "WRITE_EXISTS");
    }
}
