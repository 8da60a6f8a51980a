//! The content of units: read back, and made to last.

use std::io::Write;

use super::journal;
use super::{Job, JobError, JournalState, Note, UNITS};
use mquant_model::bundle::FileHash;
use mquant_model::checkpoint::{NameSync, UnfinishedFile, WriteError};
use mquant_model::disk::read_at_most;
use mquant_model::excerpt::quoted;

/// Longest name of a unit, in bytes.
const NAME_CAP: usize = 200;

impl Job {
    /// The content of a unit if it is done. One that is damaged is not, and is [noted](Self::take_notes).
    pub fn unit(&mut self, name: &str) -> Option<Vec<u8>> {
        let problem = match self.read_unit(name)? {
            Ok(bytes) => return Some(bytes),
            Err(problem) => problem,
        };
        self.done.remove(name);
        self.notes.push(Note::Unit { name: name.to_owned(), problem });
        None
    }

    /// The content of a unit that must be done, for putting the result together.
    ///
    /// # Errors
    /// [`JobError::Unit`]: it is not, or it is damaged and will be done again by the next run.
    pub fn require_unit(&self, name: &str) -> Result<Vec<u8>, JobError> {
        let content = self.read_unit(name).unwrap_or_else(|| Err("it was never done".to_owned()));
        content.map_err(|problem| JobError::Unit { path: self.work.join(journal::file(name)), problem })
    }

    /// Its content, or what is wrong with it; none if it is not done.
    fn read_unit(&self, name: &str) -> Option<Result<Vec<u8>, String>> {
        let expected = self.done.get(name)?;
        let path = self.work.join(journal::file(name));
        Some(match read_at_most(&*self.disk, &path, expected.bytes) {
            Ok(Some(bytes)) if FileHash::of(&bytes) == *expected => Ok(bytes),
            Ok(Some(bytes)) if bytes.len() as u64 == expected.bytes => Err("its hash does not hold".to_owned()),
            Ok(Some(bytes)) => Err(format!("expected {} bytes, found {}", expected.bytes, bytes.len())),
            Ok(None) => Err(format!("expected {} bytes, found more", expected.bytes)),
            Err(e) => Err(e.to_string()),
        })
    }

    /// Makes the content of a unit last: when this returns, it is done. Content of an earlier run is replaced.
    ///
    /// # Errors
    /// No unit can have this name, or the system refuses; then the unit is not done. After a failure of the journal, all
    /// units of this run are refused.
    pub fn commit(&mut self, name: &str, bytes: &[u8]) -> Result<(), JobError> {
        check_name(name)?;
        self.check_journal()?;
        let needed = bytes.len() as u64;
        let free = || self.disk.free_bytes(&self.work).ok();
        let path = self.work.join(journal::file(name));
        let written = UnfinishedFile::create_on(&self.disk, &path, NameSync::WithFile).and_then(|mut file| {
            let done = file.write_all(bytes).and_then(|()| file.finish(&path));
            done.map_err(|source| WriteError::Io { path: path.clone(), source })
        });
        written.map_err(|e| JobError::writing(e, needed, free))?;
        let hash = FileHash::of(bytes);
        let line = journal::line(name, &hash, &self.key);
        let written = self.journal.write_all(line.as_bytes()).and_then(|()| self.journal.sync());
        if let Err(source) = written {
            self.journal_state = JournalState::Failed;
            let path = self.work.join(super::JOURNAL);
            return Err(JobError::writing(WriteError::Io { path, source }, line.len() as u64, free));
        }
        self.done.insert(name.to_owned(), hash);
        Ok(())
    }

    pub(super) fn check_journal(&self) -> Result<(), JobError> {
        match self.journal_state {
            JournalState::Sound => Ok(()),
            JournalState::Failed => Err(JobError::Stopped { path: self.work.join(super::JOURNAL) }),
        }
    }

    /// Removes files of units that a killed run was writing.
    pub(super) fn remove_unfinished_units(&self) -> std::io::Result<()> {
        let folder = self.work.join(UNITS);
        let names = self.disk.list(&folder)?;
        names
            .iter()
            .filter(|name| super::output::is_unfinished(name))
            .try_for_each(|name| self.disk.remove_file(&folder.join(name)))
    }
}

fn check_name(name: &str) -> Result<(), JobError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if (1..=NAME_CAP).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain) {
        return Ok(());
    }
    Err(JobError::UnitName { found: quoted(name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_units_are_names_of_files() {
        for name in ["a", "language.0.qkv", "A_b-9", &"x".repeat(200)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", ".a", "a/b", "a b", "\u{e4}", "a\0", &"x".repeat(201)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
