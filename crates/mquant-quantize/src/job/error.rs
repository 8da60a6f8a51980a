//! What can keep a job from its end.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use mquant_model::bundle::ManifestError;
use mquant_model::checkpoint::WriteError;
use mquant_model::error::{Class, Explain};

/// Why a job does not go on. Whatever it says, the units that are done stay.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobError {
    /// No result can have this name.
    #[error("{} cannot be the output: {problem}", path.display())]
    Output {
        /// As it was given.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is something of that name.
    #[error("{} exists already: {problem}", path.display())]
    Exists {
        /// As it was given.
        path: PathBuf,
        /// What it is.
        problem: String,
    },
    /// The place of the work is taken by something else.
    #[error("{} is there and no work of mquant: it holds {found}", path.display())]
    Foreign {
        /// `OUT.partial`.
        path: PathBuf,
        /// The first thing in it that no job has.
        found: String,
    },
    /// Another run works on it.
    #[error("{} is being worked on by {holder}", path.display())]
    Locked {
        /// `OUT.partial`.
        path: PathBuf,
        /// `process 123`, or `another process`.
        holder: String,
    },
    /// It was begun, or ended, with another recipe, model or the like.
    #[error("{} was made with another {part}: expected {expected} as there, found {found}", path.display())]
    Fingerprint {
        /// `OUT`, or `OUT.partial`.
        path: PathBuf,
        /// The part that differs.
        part: String,
        /// What it was.
        expected: String,
        /// What it is in this run.
        found: String,
    },
    /// What is there cannot be told to be of this job.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No unit can have this name.
    #[error("unit {found}: expected 1 to 200 letters, digits, '.', '_' and '-', not beginning with '.'")]
    UnitName {
        /// The name.
        found: String,
    },
    /// A unit that the result needs is damaged.
    #[error("{} is damaged: {problem}", path.display())]
    Unit {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The builder returned another folder than it was given.
    #[error("expected the folder {}, found {}", expected.display(), found.display())]
    OtherFolder {
        /// The one it was given.
        expected: PathBuf,
        /// The one it returned.
        found: PathBuf,
    },
    /// The journal could not be written or synced; nothing can be relied on after that.
    #[error("{} failed before, and nothing more is written to it in this run", path.display())]
    Stopped {
        /// The journal.
        path: PathBuf,
    },
    /// No space is left.
    #[error("{} cannot be written: {needed} bytes are needed{}", path.display(), free_words(*free))]
    NoSpace {
        /// The file or folder.
        path: PathBuf,
        /// Bytes to be written.
        needed: u64,
        /// Bytes there are, if the system says.
        free: Option<u64>,
        /// The system's answer, if it was tried.
        #[source]
        source: Option<io::Error>,
    },
    /// The system refused.
    #[error("failed to {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file or folder could not be finished.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The manifest could not be made, or that of `OUT` cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

fn free_words(free: Option<u64>) -> String {
    free.map_or_else(String::new, |free| format!(", {free} are free"))
}

/// Whether there is no space left, or none for this user.
fn is_space(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl JobError {
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        JobError::Io { doing, path: path.to_owned(), source }
    }

    /// Of a file of `needed` bytes that could not be written.
    pub(super) fn writing(error: WriteError, needed: u64, free: impl FnOnce() -> Option<u64>) -> Self {
        match error {
            WriteError::Io { path, source } if is_space(&source) => {
                JobError::NoSpace { path, needed, free: free(), source: Some(source) }
            }
            other => JobError::Write(other),
        }
    }
}

impl Explain for JobError {
    fn class(&self) -> Class {
        match self {
            JobError::Output { .. } | JobError::Exists { .. } | JobError::Foreign { .. } => Class::Usage,
            JobError::Fingerprint { .. } => Class::Usage,
            JobError::Locked { .. } => Class::Locked,
            JobError::UnitName { .. } | JobError::OtherFolder { .. } => Class::Bug,
            JobError::Damaged { .. } | JobError::Unit { .. } | JobError::Stopped { .. } => Class::Io,
            JobError::NoSpace { .. } | JobError::Io { .. } => Class::Io,
            JobError::Write(e) => e.class(),
            JobError::Manifest(e) => e.class(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            JobError::Output { .. } => "JOB_OUTPUT",
            JobError::Exists { .. } => "JOB_OUTPUT_EXISTS",
            JobError::Foreign { .. } => "JOB_FOREIGN",
            JobError::Locked { .. } => "JOB_LOCKED",
            JobError::Fingerprint { .. } => "JOB_FINGERPRINT",
            JobError::Damaged { .. } => "JOB_DAMAGED",
            JobError::UnitName { .. } => "JOB_UNIT_NAME",
            JobError::Unit { .. } => "JOB_UNIT",
            JobError::OtherFolder { .. } => "JOB_OTHER_FOLDER",
            JobError::Stopped { .. } => "JOB_STOPPED",
            JobError::NoSpace { .. } => "JOB_NO_SPACE",
            JobError::Io { .. } => "JOB_IO",
            JobError::Write(e) => e.code(),
            JobError::Manifest(e) => e.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let again = "then repeat the command: what is done stays";
        match self {
            JobError::Output { .. } => Some("name a new folder".to_owned()),
            JobError::Exists { .. } | JobError::Foreign { .. } => Some("remove it or choose another name".to_owned()),
            JobError::Locked { .. } => Some("wait for it to end, or choose another output".to_owned()),
            JobError::Fingerprint { .. } => {
                Some("repeat the command as it was, remove what is there, or choose another output".to_owned())
            }
            JobError::Damaged { .. } => Some("remove the folder to begin anew, or choose another output".to_owned()),
            JobError::Unit { .. } => Some("repeat the command: it is done again".to_owned()),
            JobError::NoSpace { .. } => Some(format!("free some space, {again}")),
            JobError::Io { source, .. } if is_space(source) => Some(format!("free some space, {again}")),
            JobError::Stopped { .. } | JobError::Io { .. } => Some(format!("look after the disk, {again}")),
            JobError::Write(e) => e.hint(),
            JobError::Manifest(e) => e.hint(),
            JobError::UnitName { .. } | JobError::OtherFolder { .. } => None,
        }
    }
}
