//! Why there is no report.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use mquant_model::bundle::ManifestError;
use mquant_model::checkpoint::WriteError;
use mquant_model::error::{Class, Explain, io_class};

/// Why there is no report.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Nothing was named.
    #[error("expected at least one folder, found none")]
    NoFolder,
    /// More folders than a page can show.
    #[error("expected at most {most} folders, found {found}")]
    TooMany {
        /// As many as can be shown.
        most: usize,
        /// As many as were named.
        found: usize,
    },
    /// A folder with nothing to show.
    #[error("{}: expected an evaluation.json or an mquant.json in it, found neither", dir.display())]
    Nothing {
        /// The folder.
        dir: PathBuf,
    },
    /// A file that cannot be read.
    #[error("{} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file longer than is read.
    #[error("{}: expected at most {most} bytes, found more", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// As many as are read.
        most: u64,
    },
    /// A file of another kind or of a newer version.
    #[error("{}: schema is {found}, expected \"{expected}\"", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What it must say.
        expected: &'static str,
        /// What it says.
        found: String,
    },
    /// A file that is not what its schema says.
    #[error("{}: {problem}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Where, what was expected and what was found.
        problem: String,
    },
    /// A bundle's manifest cannot be believed.
    #[error("{}: {source}", dir.display())]
    Manifest {
        /// The bundle.
        dir: PathBuf,
        /// Why.
        source: Box<ManifestError>,
    },
    /// A report would spoil a bundle, whose files are hashed.
    #[error("{} is in the bundle {}: expected a folder outside of bundles", folder.display(), bundle.display())]
    InsideBundle {
        /// Where the report was to go.
        folder: PathBuf,
        /// The bundle.
        bundle: PathBuf,
    },
    /// It cannot be written.
    #[error(transparent)]
    Write(Box<WriteError>),
}

impl From<WriteError> for ReportError {
    fn from(e: WriteError) -> Self {
        Self::Write(Box::new(e))
    }
}

impl Explain for ReportError {
    fn class(&self) -> Class {
        match self {
            ReportError::NoFolder | ReportError::TooMany { .. } | ReportError::InsideBundle { .. } => Class::Usage,
            ReportError::Nothing { .. } | ReportError::TooLong { .. } | ReportError::Form { .. } => Class::Input,
            ReportError::Schema { .. } => Class::Unsupported,
            ReportError::Io { source, .. } => io_class(source, Class::Input),
            ReportError::Manifest { source, .. } => source.class(),
            ReportError::Write(e) => e.class(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            ReportError::NoFolder => "REPORT_NO_FOLDER",
            ReportError::TooMany { .. } => "REPORT_TOO_MANY",
            ReportError::Nothing { .. } => "REPORT_NOTHING",
            ReportError::Io { .. } => "REPORT_IO",
            ReportError::TooLong { .. } => "REPORT_TOO_LONG",
            ReportError::Schema { .. } => "REPORT_SCHEMA",
            ReportError::Form { .. } => "REPORT_FORM",
            ReportError::Manifest { source, .. } => source.code(),
            ReportError::InsideBundle { .. } => "REPORT_INSIDE_BUNDLE",
            ReportError::Write(e) => e.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ReportError::NoFolder | ReportError::Nothing { .. } => {
                Some("name what `mquant eval` or `mquant quantize` wrote".to_owned())
            }
            ReportError::TooMany { .. } => Some("make several reports".to_owned()),
            ReportError::Schema { .. } => Some("a newer version of mquant may read it".to_owned()),
            ReportError::Form { .. } => Some("write it anew, with this version of mquant".to_owned()),
            ReportError::Manifest { source, .. } => source.hint(),
            ReportError::InsideBundle { .. } => Some("name another folder with --output".to_owned()),
            ReportError::Write(e) => e.hint(),
            _ => None,
        }
    }
}
