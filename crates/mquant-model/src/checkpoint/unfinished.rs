//! Files and folders that are there whole or not at all: they grow under another name beside their place, reach the disk,
//! and take their own name at the end. Dropped unfinished, they leave nothing.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::write::WriteError;
use crate::disk::{DiskFile, Entry, Links, RealDisk, SharedDisk, create_folders, folder_of, remove_tree};

/// How the other names end.
pub const SUFFIX: &str = ".partial";

/// When the name of a file reaches the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameSync {
    /// When the file is finished.
    WithFile,
    /// When the folder is that it is in, which the caller sees to.
    WithFolder,
}

/// A file under a name of its own beside the one it is to have.
#[derive(Debug)]
pub struct UnfinishedFile {
    disk: SharedDisk,
    file: Box<dyn DiskFile>,
    /// None once it has its name.
    at: Option<PathBuf>,
    bytes: u64,
    names: NameSync,
}

impl UnfinishedFile {
    /// On the system's disk.
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        Self::create_on(&RealDisk::shared(), path, NameSync::WithFile)
    }

    /// On a given disk; `names` says when the folder entry is made durable.
    pub fn create_on(disk: &SharedDisk, path: &Path, names: NameSync) -> Result<Self, WriteError> {
        let io_error = |source| WriteError::Io { path: path.to_owned(), source };
        // What cannot be looked at will say so below.
        if let Ok(Some(Entry::Folder | Entry::Other)) = disk.entry(path, Links::Followed) {
            return Err(WriteError::NotRegular { path: path.to_owned() });
        }
        let name = path.file_name().ok_or_else(|| io_error(io::ErrorKind::InvalidInput.into()))?;
        // Another process may hold a name; the same process can only hold as many as it has writers.
        for attempt in 0..100 {
            let mut own = OsString::from(".");
            own.push(name);
            own.push(format!(".{}-{attempt}{SUFFIX}", std::process::id()));
            let at = path.with_file_name(own);
            match disk.create(&at) {
                Ok(file) => return Ok(Self { disk: disk.clone(), file, at: Some(at), bytes: 0, names }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(io_error(e)),
            }
        }
        Err(io_error(io::ErrorKind::AlreadyExists.into()))
    }

    /// Takes it to the disk and gives it its name. Returns its length in bytes.
    pub fn finish(mut self, path: &Path) -> io::Result<u64> {
        self.file.sync()?;
        if let Some(at) = &self.at {
            self.disk.rename(at, path)?;
        }
        self.at = None;
        if self.names == NameSync::WithFile {
            self.disk.sync_folder(folder_of(path))?;
        }
        Ok(self.bytes)
    }
}

impl Write for UnfinishedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        if let Some(at) = &self.at {
            // Nothing can be done about a file that does not go away.
            let _ = self.disk.remove_file(at);
        }
    }
}

/// A folder that grows under another name.
#[derive(Debug)]
pub struct UnfinishedFolder {
    disk: SharedDisk,
    dir: PathBuf,
    growing: PathBuf,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Growing,
    Finished,
}

impl UnfinishedFolder {
    /// Makes `NAME.partial` on the system's disk, and the folders above it.
    ///
    /// # Errors
    /// Either name is taken, or the system refuses.
    pub fn create(dir: &Path) -> Result<Self, WriteError> {
        let io_error = |source| WriteError::Io { path: dir.to_owned(), source };
        let mut name = dir.file_name().ok_or_else(|| io_error(io::ErrorKind::InvalidInput.into()))?.to_owned();
        name.push(SUFFIX);
        let disk = RealDisk::shared();
        create_folders(&*disk, folder_of(dir)).map_err(io_error)?;
        Self::create_at(&disk, dir.with_file_name(name), dir)
    }

    /// Makes `growing`, which will become `dir`; both must be on one file system, and the folders above them be there.
    ///
    /// # Errors
    /// Either name is taken, or the system refuses.
    pub fn create_at(disk: &SharedDisk, growing: PathBuf, dir: &Path) -> Result<Self, WriteError> {
        refuse_existing(disk, dir)?;
        disk.create_folder(&growing).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => WriteError::Exists { path: growing.clone() },
            _ => WriteError::Io { path: dir.to_owned(), source },
        })?;
        Ok(Self { disk: disk.clone(), dir: dir.to_owned(), growing, state: State::Growing })
    }

    /// Where it grows.
    pub fn path(&self) -> &Path {
        &self.growing
    }

    /// What it grows on.
    pub fn disk(&self) -> &SharedDisk {
        &self.disk
    }

    /// Writes a small file into it, to the disk.
    ///
    /// # Errors
    /// The system refuses.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), WriteError> {
        let path = self.growing.join(name);
        let written = self.disk.create(&path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync()
        });
        written.map_err(|source| WriteError::Io { path, source })
    }

    /// Takes it to the disk and gives it its name.
    ///
    /// # Errors
    /// The name was taken meanwhile, or the system refuses; then there is nothing, unless it was the name alone that could
    /// not be taken to the disk.
    pub fn finish(mut self) -> Result<(), WriteError> {
        let io_error = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => WriteError::Exists { path: self.dir.clone() },
            _ => WriteError::Io { path: self.dir.clone(), source },
        };
        let finished =
            self.disk.sync_folder(&self.growing).and_then(|()| self.disk.rename_new(&self.growing, &self.dir));
        finished.map_err(io_error)?;
        self.state = State::Finished;
        let synced = self.disk.sync_folder(folder_of(&self.dir));
        synced.map_err(|source| WriteError::Io { path: self.dir.clone(), source })
    }
}

impl Drop for UnfinishedFolder {
    fn drop(&mut self) {
        if self.state == State::Growing {
            // Nothing can be done about a folder that does not go away.
            let _ = remove_tree(&*self.disk, &self.growing);
        }
    }
}

fn refuse_existing(disk: &SharedDisk, path: &Path) -> Result<(), WriteError> {
    match disk.entry(path, Links::Themselves) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(WriteError::Exists { path: path.to_owned() }),
        Err(source) => Err(WriteError::Io { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::Explain;

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
