//! Why a folder could not be written.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a synthetic checkpoint could not be written.
#[derive(Debug, Error)]
pub(crate) enum SynthError {
    /// Something is in the way.
    #[error("{} exists already; remove it or choose another name", path.display())]
    Exists {
        /// The folder, or its unfinished form.
        path: PathBuf,
    },
    /// The folder's name cannot carry a suffix.
    #[error("{} is no name for a folder", path.display())]
    Name {
        /// As given.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// A tokenizer without one of the tokens that Qwen2-VL is configured with.
    #[error("{file}: expected the token {token}, found none")]
    Token {
        /// The tokenizer's file.
        file: String,
        /// The token.
        token: &'static str,
    },
    /// The library refuses what was put together.
    #[error(transparent)]
    Model(#[from] mquant::Error),
}

impl SynthError {
    /// For `map_err` on operations on `path`.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
