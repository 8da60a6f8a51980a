//! The folder an evaluation is kept in while it goes on and afterwards.
//!
//! Enters: what decides the answers ([`Settings`]), and lines as they are found. Leaves: every line a killed run had written,
//! and files that are there whole. Invariants: one run at a time; a folder that was begun with another model, benchmark or
//! bound is refused by name, so that its lines are never mixed; a torn line is dropped and found anew.

mod error;
mod journal;

pub use error::FolderError;
pub use journal::Journal;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mquant_model::checkpoint::{NameSync, UnfinishedFile, WriteError};
use mquant_model::disk::{DiskLock, Entry, Links, Lock, SharedDisk, create_folders, folder_of, read_at_most};
use mquant_model::excerpt::excerpt;

/// What decides the answers: equal settings, equal lines.
pub type Settings = BTreeMap<String, String>;

/// Where the settings are.
const SETTINGS: &str = "settings.json";
const LOCK: &str = ".lock";
/// Longest file that is read back, in bytes.
const CAP: u64 = 4 << 30;

/// A folder that is ours.
#[derive(Debug)]
pub struct ResultFolder {
    disk: SharedDisk,
    path: PathBuf,
    _lock: Box<dyn DiskLock>,
}

impl ResultFolder {
    /// Opens a folder, or begins one. Settings an earlier run did not have are added: a baseline, another benchmark.
    ///
    /// # Errors
    /// It holds something else, was begun with other settings, another run works on it, or the system refuses.
    pub fn open(disk: &SharedDisk, path: &Path, settings: &Settings) -> Result<Self, FolderError> {
        create_folders(&**disk, path).map_err(|e| FolderError::io("make the folder", path, e))?;
        let names = disk.list(path).map_err(|e| FolderError::io("list", path, e))?;
        let is_ours = names.iter().any(|name| name == SETTINGS || name == LOCK);
        if let Some(found) = names.first().filter(|_| !is_ours) {
            return Err(FolderError::Foreign { path: path.to_owned(), found: excerpt(&found.to_string_lossy()) });
        }
        let holder = format!("process {}\n", std::process::id());
        let lock = disk.lock(&path.join(LOCK), &holder).map_err(|e| FolderError::io("lock", path, e))?;
        let lock = match lock {
            Lock::Taken(lock) => lock,
            Lock::Held { by } if by.is_empty() => return Err(FolderError::locked(path, "another process")),
            Lock::Held { by } => return Err(FolderError::locked(path, &excerpt(by.trim_end()))),
        };
        let folder = Self { disk: disk.clone(), path: path.to_owned(), _lock: lock };
        let there = folder.settings()?;
        for (part, found) in settings {
            if let Some(expected) = there.get(part).filter(|expected| *expected != found) {
                let [expected, found] = [expected, found].map(|value| excerpt(value));
                return Err(FolderError::Settings { path: path.to_owned(), part: part.clone(), expected, found });
            }
        }
        let all: Settings = there.iter().chain(settings).map(|(part, value)| (part.clone(), value.clone())).collect();
        if all != there {
            folder.write(SETTINGS, serde_json::json!(all).to_string().as_bytes())?;
        }
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file in place of any of that name, whole or not at all; folders in the name are made.
    ///
    /// # Errors
    /// The system refuses.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let path = self.place(name)?;
        let io_error = |source| WriteError::Io { path: path.clone(), source };
        let written = UnfinishedFile::create_on(&self.disk, &path, NameSync::WithFile).and_then(|mut file| {
            file.write_all(bytes).map_err(io_error)?;
            file.finish(&path).map_err(io_error)
        });
        written.map(drop).map_err(FolderError::Write)
    }

    /// Opens lines that grow, and gives those that are there.
    ///
    /// # Errors
    /// The system refuses.
    pub fn journal<T>(&self, name: &str) -> Result<(Journal, Vec<T>), FolderError>
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        let path = self.place(name)?;
        Journal::open(&self.disk, path)
    }

    /// The path of a file, whose folder is there.
    fn place(&self, name: &str) -> Result<PathBuf, FolderError> {
        let path = self.path.join(name);
        let above = folder_of(&path);
        create_folders(&*self.disk, above).map_err(|e| FolderError::io("make the folder", above, e))?;
        Ok(path)
    }

    fn settings(&self) -> Result<Settings, FolderError> {
        let path = self.path.join(SETTINGS);
        let damaged = |problem: String| FolderError::Damaged { path: path.clone(), problem };
        match read_whole(&self.disk, &path)? {
            None => Ok(Settings::new()),
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string())),
        }
    }
}

/// The content of a file; None if there is none.
fn read_whole(disk: &SharedDisk, path: &Path) -> Result<Option<Vec<u8>>, FolderError> {
    match disk.entry(path, Links::Followed).map_err(|e| FolderError::io("look at", path, e))? {
        None => return Ok(None),
        Some(Entry::File { .. }) => {}
        Some(_) => {
            return Err(FolderError::io("read", path, io::Error::other("expected a file, found something else")));
        }
    }
    let read = read_at_most(&**disk, path, CAP).map_err(|e| FolderError::io("read", path, e))?;
    let problem = || format!("expected at most {CAP} bytes, found more");
    read.map(Some).ok_or_else(|| FolderError::Damaged { path: path.to_owned(), problem: problem() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mquant_model::disk::RealDisk;
    use mquant_model::error::{Class, Explain};

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        pairs.iter().map(|(part, value)| ((*part).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn lines_survive_and_a_torn_one_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, path) = (RealDisk::shared(), dir.path().join("a/b"));
        let made = settings(&[("model", "one")]);
        let folder = ResultFolder::open(&disk, &path, &made).unwrap();
        let (mut journal, there) = folder.journal::<(u32, String)>("answers/x.jsonl").unwrap();
        assert!(there.is_empty());
        for i in 0..5 {
            journal.append(&(i, "é\n".repeat(i as usize))).unwrap();
        }
        drop((journal, folder));
        let file = path.join("answers/x.jsonl");
        let whole = std::fs::read(&file).unwrap();
        for end in (0..=whole.len()).rev() {
            std::fs::write(&file, &whole[..end]).unwrap();
            let folder = ResultFolder::open(&disk, &path, &made).unwrap();
            let (mut journal, there) = folder.journal::<(u32, String)>("answers/x.jsonl").unwrap();
            let lines = whole[..end].iter().filter(|b| **b == b'\n').count();
            assert_eq!(there.len(), lines, "{end}");
            assert!(there.iter().enumerate().all(|(i, (n, _))| i == *n as usize));
            journal.append(&(lines as u32, "again".to_owned())).unwrap();
            drop(journal);
            assert_eq!(folder.journal::<(u32, String)>("answers/x.jsonl").unwrap().1.len(), lines + 1);
        }
    }

    #[test]
    fn other_settings_other_things_and_other_runs_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, path) = (RealDisk::shared(), dir.path().join("out"));
        let one = settings(&[("model", "one"), ("benchmark A", "1")]);
        let folder = ResultFolder::open(&disk, &path, &one).unwrap();
        let taken = ResultFolder::open(&disk, &path, &one).unwrap_err();
        assert_eq!((taken.class(), taken.code()), (Class::Locked, "EVALUATION_LOCKED"));
        drop(folder);
        drop(ResultFolder::open(&disk, &path, &settings(&[("model", "one"), ("benchmark B", "2")])).unwrap());
        let other = ResultFolder::open(&disk, &path, &settings(&[("benchmark B", "3")])).unwrap_err();
        assert!(other.to_string().ends_with("with another benchmark B: expected 2 as there, found 3"), "{other}");
        std::fs::write(path.join(SETTINGS), "{").unwrap();
        assert_eq!(ResultFolder::open(&disk, &path, &one).unwrap_err().code(), "EVALUATION_DAMAGED");
        let foreign = dir.path().join("photos");
        std::fs::create_dir(&foreign).unwrap();
        std::fs::write(foreign.join("cat.png"), "x").unwrap();
        let found = ResultFolder::open(&disk, &foreign, &one).unwrap_err();
        assert_eq!(found.code(), "EVALUATION_FOREIGN");
        assert_eq!(std::fs::read_dir(&foreign).unwrap().count(), 1);
    }
}
