//! Why a folder could not be written.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a synthetic checkpoint could not be written.
#[derive(Debug, Error)]
pub(crate) enum SynthError {
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
