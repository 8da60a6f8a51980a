//! A long job that loses nothing: it may be killed, and the machine may lose power, at any moment; running it again goes on
//! where it was and ends with the same bytes.
//!
//! Enters: where the result goes, a [`Fingerprint`] of everything it follows from, and the content of one unit of work after
//! the other. Leaves: a folder with a manifest, there whole or not at all.
//!
//! Beside `OUT` the job keeps `OUT.partial`:
//!
//! | name | |
//! |---|---|
//! | `lock` | locked by the run at work, whose process it names |
//! | `job.json` | the fingerprint and its hash |
//! | `journal.jsonl` | a line for each unit that is done: its name, file, length, SHA-256, and a checksum of the line |
//! | `units/NAME` | the content of a unit |
//! | `bundle/` | the result while it is put together; begun anew by every run |
//!
//! A unit is written to a file of another name, which is synced, renamed, and its folder synced; then the line is written,
//! and the journal synced. The result is synced, renamed to `OUT`, and the folder of `OUT` synced; then `OUT.partial` goes.
//!
//! Invariants: a unit whose [`Job::commit`] returned is there after any crash, with the content it had; one whose content was
//! damaged on the disk counts as not done. Only one run at a time works on one output. A sync that failed is not tried again
//! on the same file: a new run writes the journal anew, and whatever has no line in it.

mod begin;
mod error;
mod finish;
mod header;
mod journal;
mod note;
mod output;
mod units;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use error::JobError;
pub use finish::Finished;
pub use mquant_model::bundle::Fingerprint;
use mquant_model::bundle::{FileHash, Manifest};
use mquant_model::disk::{DiskFile, DiskLock, SharedDisk};
pub use note::Note;

const LOCK: &str = "lock";
const HEADER: &str = "job.json";
const JOURNAL: &str = "journal.jsonl";
const UNITS: &str = "units";
const BUNDLE: &str = "bundle";

/// What there is of a job.
#[derive(Debug)]
pub enum Opened {
    /// The result is there already.
    Complete(Manifest),
    /// Some of its units may be.
    Unfinished(Job),
}

/// A job that this run works on. Dropped unfinished, it leaves what is done to the next run.
#[derive(Debug)]
pub struct Job {
    disk: SharedDisk,
    output: PathBuf,
    /// `OUT.partial`.
    work: PathBuf,
    fingerprint: Fingerprint,
    /// Of the fingerprint: lines of another job are none of this one.
    key: [u8; 32],
    journal: Box<dyn DiskFile>,
    journal_state: JournalState,
    done: BTreeMap<String, FileHash>,
    notes: Vec<Note>,
    // The last to be dropped.
    _lock: Box<dyn DiskLock>,
}

/// Whether lines can be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JournalState {
    Sound,
    /// It may end in the middle of a line, or not be what was synced.
    Failed,
}

impl Job {
    /// Where the result goes.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// Where the work is until then.
    pub fn work_folder(&self) -> &Path {
        &self.work
    }

    /// Names of the units that are done, sorted. The content of one may still turn out to be damaged.
    pub fn done(&self) -> impl ExactSizeIterator<Item = &str> {
        self.done.keys().map(String::as_str)
    }

    /// What was found damaged since the last call.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Whether `bytes` more can be written, as far as can be told now: for a word before long work.
    ///
    /// # Errors
    /// [`JobError::NoSpace`], or the system cannot tell.
    pub fn require_space(&self, bytes: u64) -> Result<(), JobError> {
        let free = self.disk.free_bytes(&self.work).map_err(|e| JobError::io("look for space in", &self.work, e))?;
        if free >= bytes {
            return Ok(());
        }
        Err(JobError::NoSpace { path: self.work.clone(), needed: bytes, free: Some(free), source: None })
    }
}
