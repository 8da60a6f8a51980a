//! What can keep an evaluation from being kept.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use mquant_model::checkpoint::WriteError;
use mquant_model::error::{Class, Explain, io_class};

/// Why a folder cannot hold an evaluation. Lines that are in it stay.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FolderError {
    /// It holds something, but no evaluation.
    #[error("{} is no evaluation: it holds {found}", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// The first name in it.
        found: String,
    },
    /// It was begun with another model, benchmark or bound.
    #[error("{} was begun with another {part}: expected {expected} as there, found {found}", path.display())]
    Settings {
        /// The folder.
        path: PathBuf,
        /// What differs.
        part: String,
        /// What it was.
        expected: String,
        /// What it is in this run.
        found: String,
    },
    /// Another run works on it.
    #[error("{} is being worked on by {holder}", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
        /// `process 123`, or `another process`.
        holder: String,
    },
    /// A file in it is not what was written.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The system refuses.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(WriteError),
}

impl FolderError {
    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }

    pub(super) fn locked(path: &Path, holder: &str) -> Self {
        Self::Locked { path: path.to_owned(), holder: holder.to_owned() }
    }
}

impl Explain for FolderError {
    fn class(&self) -> Class {
        match self {
            FolderError::Foreign { .. } | FolderError::Settings { .. } => Class::Usage,
            FolderError::Locked { .. } => Class::Locked,
            FolderError::Damaged { .. } => Class::Input,
            FolderError::Io { source, .. } => io_class(source, Class::Io),
            FolderError::Write(source) => source.class(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            FolderError::Foreign { .. } => "EVALUATION_FOREIGN",
            FolderError::Settings { .. } => "EVALUATION_SETTINGS",
            FolderError::Locked { .. } => "EVALUATION_LOCKED",
            FolderError::Damaged { .. } => "EVALUATION_DAMAGED",
            FolderError::Io { .. } => "EVALUATION_IO",
            FolderError::Write(source) => source.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            FolderError::Foreign { .. } => {
                Some("name a folder that is not there yet, or one an evaluation has made".into())
            }
            FolderError::Settings { .. } => {
                Some("name another folder, or repeat the command this one was begun with".into())
            }
            FolderError::Damaged { .. } => Some("remove the file; what it held is found anew".into()),
            FolderError::Write(source) => source.hint(),
            _ => None,
        }
    }
}
