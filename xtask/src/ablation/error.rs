//! Why a table could not be made.

use std::path::PathBuf;

use thiserror::Error;

/// Why a table could not be made.
#[derive(Debug, Error)]
pub(crate) enum AblationError {
    /// Something of the library.
    #[error("{0}")]
    Library(mquant::Error),
    /// A folder cannot be read.
    #[error("{} cannot be read: {source}", folder.display())]
    Read { folder: PathBuf, source: std::io::Error },
    /// There is no room for bundles.
    #[error("there is no temporary folder: {0}")]
    Temporary(std::io::Error),
    /// A file in the folder of the benchmarks that is none of them.
    #[error("{0} is no benchmark that is known by name")]
    Unknown(String),
    /// A pipeline that nobody interrupts says it was.
    #[error("quantising ended early")]
    Early,
}

impl<E: Into<mquant::Error>> From<E> for AblationError {
    fn from(e: E) -> Self {
        AblationError::Library(e.into())
    }
}
