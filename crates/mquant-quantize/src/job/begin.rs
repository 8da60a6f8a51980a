//! The beginning: everything that could be in the way is looked at before any work, and what an earlier run did is found.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::finish::remove_work;
use super::output::{check_work, compare, existing, is_unfinished, work_folder};
use super::{BUNDLE, Fingerprint, HEADER, JOURNAL, Job, JobError, JournalState, LOCK, Note, Opened, UNITS};
use super::{header, journal};
use mquant_model::bundle::Manifest;
use mquant_model::checkpoint::{NameSync, UnfinishedFile, WriteError};
use mquant_model::disk::{Disk, DiskFile, DiskLock, Entry, Links, Lock, SharedDisk};
use mquant_model::disk::{create_folders, folder_of, read_at_most, remove_tree};
use mquant_model::excerpt::excerpt;

/// How often the work folder may go away while it is being opened, because another run ends.
const ATTEMPTS: usize = 10;
/// Longest `job.json` and journal that are read, in bytes.
const CAP: u64 = 256 << 20;

impl Job {
    /// Opens the job that makes `output` from what `fingerprint` names, and begins it if there is none.
    ///
    /// # Errors
    /// The output has a name that cannot be, or there is something of that name; it was made, or begun, with another
    /// fingerprint; another run works on it; or the system refuses.
    pub fn open(disk: &SharedDisk, output: &Path, fingerprint: &Fingerprint) -> Result<Opened, JobError> {
        let work = work_folder(output)?;
        for _ in 0..ATTEMPTS {
            if let Some(manifest) = existing(&**disk, output, fingerprint)? {
                return complete(&**disk, output, &work, manifest);
            }
            make_work(&**disk, &work)?;
            let Some(lock) = take(&**disk, &work)? else { continue };
            // The run that had the lock before may have come to its end.
            if let Some(manifest) = existing(&**disk, output, fingerprint)? {
                drop(lock);
                return complete(&**disk, output, &work, manifest);
            }
            let begun = Begun { disk: disk.clone(), work, fingerprint };
            return begun.open(output, lock).map(Opened::Unfinished);
        }
        Err(JobError::Locked { path: work, holder: "other processes, one after the other".to_owned() })
    }
}

/// The result is there. What is left of the work goes, unless another run sees to that.
fn complete(disk: &dyn Disk, output: &Path, work: &Path, manifest: Manifest) -> Result<Opened, JobError> {
    let left_over = disk.entry(work, Links::Themselves).map_err(|e| JobError::io("look at", work, e))?;
    if left_over == Some(Entry::Folder) && check_work(disk, work).is_ok() {
        // The run that gave it its name may have been killed before it could do this.
        let folder = folder_of(output);
        disk.sync_folder(folder).map_err(|e| JobError::io("sync", folder, e))?;
        if let Ok(Lock::Taken(_lock)) = disk.lock(&work.join(LOCK), &holder()) {
            // What does not go away is in nobody's way.
            let _ = remove_work(disk, work);
        }
    }
    Ok(Opened::Complete(manifest))
}

fn make_work(disk: &dyn Disk, work: &Path) -> Result<(), JobError> {
    let above = folder_of(work);
    create_folders(disk, above).map_err(|e| JobError::io("make the folder", above, e))?;
    match disk.create_folder(work) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => check_work(disk, work).or_else(gone)?,
        made => made.map_err(|e| JobError::io("make the folder", work, e))?,
    }
    // An earlier run may have been killed before it could do this.
    disk.sync_folder(above).map_err(|e| JobError::io("sync", above, e))
}

/// Another run has just removed its work.
fn gone(error: JobError) -> Result<(), JobError> {
    match error {
        JobError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Ok(()),
        error => Err(error),
    }
}

/// The lock of a work folder; none if the folder has just gone away.
fn take(disk: &dyn Disk, work: &Path) -> Result<Option<Box<dyn DiskLock>>, JobError> {
    match disk.lock(&work.join(LOCK), &holder()) {
        Ok(Lock::Taken(lock)) => Ok(Some(lock)),
        Ok(Lock::Held { by }) => {
            let holder = if by.is_empty() { "another process".to_owned() } else { excerpt(by.trim_end()) };
            Err(JobError::Locked { path: work.to_owned(), holder })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(JobError::io("lock", &work.join(LOCK), e)),
    }
}

fn holder() -> String {
    format!("process {}\n", std::process::id())
}

/// A work folder that is ours now.
struct Begun<'a> {
    disk: SharedDisk,
    work: PathBuf,
    fingerprint: &'a Fingerprint,
}

impl Begun<'_> {
    fn open(self, output: &Path, lock: Box<dyn DiskLock>) -> Result<Job, JobError> {
        let mut notes = Vec::new();
        let key = header::key(self.fingerprint);
        let bytes = self.read(JOURNAL)?.unwrap_or_default();
        let read = journal::read(&bytes, &key);
        let written = self.read(HEADER)?;
        match written.as_deref().map(header::parse) {
            Some(Some(there)) => compare(&self.work, &there, self.fingerprint)?,
            // Nothing was done, or what was done is of this very job.
            Some(None) if read.is_empty || !read.units.is_empty() => notes.push(Note::Header),
            None if read.is_empty || !read.units.is_empty() => {}
            _ => {
                let problem = "it does not say what the work beside it was made with".to_owned();
                return Err(JobError::Damaged { path: self.work.join(HEADER), problem });
            }
        }
        notes.extend(read.damaged.iter().map(|line| Note::JournalLine { line: *line }));
        self.clear()?;
        if written.as_deref().and_then(header::parse).is_none() {
            self.write_header()?;
        }
        let lines: String = read.units.iter().map(|(unit, hash)| journal::line(unit, hash, &key)).collect();
        let journal = self.write_journal(&lines)?;
        let Self { disk, work, fingerprint } = self;
        let job = Job {
            disk,
            output: output.to_owned(),
            work,
            fingerprint: fingerprint.clone(),
            key,
            journal,
            journal_state: JournalState::Sound,
            done: read.units,
            notes,
            _lock: lock,
        };
        job.remove_unfinished_units().map_err(|e| JobError::io("clear", &job.work.join(UNITS), e))?;
        Ok(job)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, JobError> {
        let path = self.work.join(name);
        let problem = || format!("expected at most {CAP} bytes, found more");
        match read_at_most(&*self.disk, &path, CAP) {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => Err(JobError::Damaged { path: path.clone(), problem: problem() }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(JobError::io("read", &path, e)),
        }
    }

    /// Removes what a killed run was writing, and makes the folder of units.
    fn clear(&self) -> Result<(), JobError> {
        let clear = || -> io::Result<()> {
            for name in self.disk.list(&self.work)? {
                if name == BUNDLE || is_unfinished(&name) {
                    remove_tree(&*self.disk, &self.work.join(name))?;
                }
            }
            match self.disk.create_folder(&self.work.join(UNITS)) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                made => made,
            }
        };
        clear().map_err(|e| JobError::io("clear", &self.work, e))
    }

    fn write_header(&self) -> Result<(), JobError> {
        let (path, bytes) = (self.work.join(HEADER), header::to_bytes(self.fingerprint));
        let io_error = |source| WriteError::Io { path: path.clone(), source };
        let written = UnfinishedFile::create_on(&self.disk, &path, NameSync::WithFolder).and_then(|mut file| {
            file.write_all(&bytes).map_err(io_error)?;
            file.finish(&path).map_err(io_error)
        });
        written.map(drop).map_err(|e| self.writing(e, bytes.len()))
    }

    /// Writes the journal anew: what an earlier run could not sync is not believed to be on the disk.
    fn write_journal(&self, lines: &str) -> Result<Box<dyn DiskFile>, JobError> {
        let path = self.work.join(JOURNAL);
        let new = self.work.join(format!(".{JOURNAL}{}", mquant_model::checkpoint::SUFFIX));
        let written = self.disk.create(&new).and_then(|mut file| {
            // An empty file has nothing to lose.
            if !lines.is_empty() {
                file.write_all(lines.as_bytes())?;
                file.sync()?;
            }
            self.disk.rename(&new, &path)?;
            // The names of everything in it, this run's and an earlier one's.
            self.disk.sync_folder(&self.work)?;
            Ok(file)
        });
        written.map_err(|source| self.writing(WriteError::Io { path, source }, lines.len()))
    }

    fn writing(&self, error: WriteError, needed: usize) -> JobError {
        JobError::writing(error, needed as u64, || self.disk.free_bytes(&self.work).ok())
    }
}
