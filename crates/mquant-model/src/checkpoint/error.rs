//! What can be wrong with a model folder.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::field_error::FieldError;
use super::finite::NotFinite;
use super::header_error::HeaderError;
use super::json::JsonError;
use super::mismatch::{self, Mismatch};
use crate::error::{Class, Explain, io_class};
use crate::excerpt::rows;

/// Most lines of a list in one message.
const ROWS: usize = 20;

/// What is wrong with a model folder. `file` is always relative to the folder.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum CheckpointError {
    #[error("no model folder {given}")]
    NoFolder { given: String },
    #[error("{given} is a file, expected a model folder or a Hub id such as org/name")]
    NotAFolder { given: String },
    #[error("{given} is neither a folder nor in the local Hub cache; looked for {}", tried.display())]
    NotCached { given: String, tried: PathBuf },
    #[error("revision {revision} of {given} in the local Hub cache: {reason}")]
    HubRevision { given: String, revision: String, reason: &'static str },
    #[error("downloading {given}: {reason}")]
    Download { given: String, reason: String },

    #[error("{file}: {source}")]
    Io { file: String, source: io::Error },
    #[error("{file} is missing")]
    NoFile { file: String },
    #[error("file name {name} is refused: {reason}")]
    PathEscape { name: String, reason: &'static str },
    #[error("{file} is no regular file")]
    NotRegular { file: String },
    #[error("{file} has {bytes} bytes, expected at most {most}")]
    TooLong { file: String, bytes: u64, most: u64 },
    #[error("{file} is not UTF-8 from byte {at} on")]
    NotText { file: String, at: usize },
    #[error("{file} changed while it was being opened")]
    Changed { file: String },
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error(transparent)]
    Field(#[from] FieldError),

    #[error("{file}: {source}")]
    Header { file: String, source: HeaderError },
    #[error("no safetensors weights; found only {found}")]
    OtherFormat { found: String },
    #[error("no safetensors weights")]
    NoWeights,
    #[error("shards such as {found} are there, but model.safetensors.index.json is not")]
    NoIndex { found: String },
    #[error("model.safetensors and model.safetensors.index.json describe two different sets of weights")]
    TwoModels,
    #[error("model.safetensors.index.json: {detail}")]
    Index { detail: String },
    #[error("{} of {of} shards are missing:{}", missing.len(), rows(missing, ROWS))]
    MissingShards { missing: Vec<String>, of: usize },
    #[error("{} shards are in the folder but not in model.safetensors.index.json:{}", extra.len(), rows(extra, ROWS))]
    ExtraShards { extra: Vec<String> },
    #[error("tensors in two shards:{}", rows(tensors, ROWS))]
    TensorTwice { tensors: Vec<String> },
    #[error("model.safetensors.index.json disagrees with the shards:{}", rows(differences, ROWS))]
    IndexDisagrees { differences: Vec<String> },

    #[error("{}", mismatch::table(mismatches))]
    Tensors { mismatches: Vec<Mismatch> },
    #[error("{} tensors hold values that are not finite:{}", tensors.len(), rows(tensors, ROWS))]
    NotFinite { tensors: Vec<NotFinite> },
}

impl CheckpointError {
    pub(crate) fn io(file: &str, source: io::Error) -> Self {
        CheckpointError::Io { file: file.to_owned(), source }
    }

    /// Whether files are absent rather than wrong, as after an interrupted download.
    #[cfg(feature = "hub")]
    pub(crate) fn is_incomplete(&self) -> bool {
        use CheckpointError::*;
        let missing = matches!(self, NoFile { .. } | NoWeights | NoIndex { .. } | MissingShards { .. });
        missing || matches!(self, NotCached { .. } | HubRevision { .. })
    }
}

impl Explain for CheckpointError {
    fn class(&self) -> Class {
        match self {
            CheckpointError::Io { source, .. } => io_class(source, Class::Model),
            CheckpointError::Json(e) => e.class(),
            CheckpointError::Field(e) => e.class(),
            CheckpointError::OtherFormat { .. } => Class::Unsupported,
            CheckpointError::NotFinite { .. } => Class::Numeric,
            CheckpointError::Download { .. } | CheckpointError::Changed { .. } => Class::Io,
            CheckpointError::Tensors { mismatches } if mismatches.iter().all(Mismatch::is_dtype) => Class::Unsupported,
            _ => Class::Model,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            CheckpointError::NoFolder { .. } => "MODEL_NOT_FOUND",
            CheckpointError::NotAFolder { .. } => "MODEL_NOT_A_FOLDER",
            CheckpointError::NotCached { .. } => "HUB_NOT_CACHED",
            CheckpointError::HubRevision { .. } => "HUB_REVISION",
            CheckpointError::Download { .. } => "HUB_DOWNLOAD",
            CheckpointError::Io { .. } => "FILE_IO",
            CheckpointError::NoFile { .. } => "FILE_MISSING",
            CheckpointError::PathEscape { .. } => "PATH_ESCAPE",
            CheckpointError::NotRegular { .. } => "FILE_NOT_REGULAR",
            CheckpointError::TooLong { .. } => "FILE_SIZE",
            CheckpointError::NotText { .. } => "FILE_UTF8",
            CheckpointError::Changed { .. } => "FILE_CHANGED",
            CheckpointError::Json(e) => e.code(),
            CheckpointError::Field(e) => e.code(),
            CheckpointError::Header { source, .. } => source.code(),
            CheckpointError::OtherFormat { .. } => "WEIGHTS_FORMAT",
            CheckpointError::NoWeights => "WEIGHTS_MISSING",
            CheckpointError::NoIndex { .. } => "INDEX_MISSING",
            CheckpointError::TwoModels => "WEIGHTS_TWICE",
            CheckpointError::Index { .. } => "INDEX_FORM",
            CheckpointError::MissingShards { .. } => "SHARD_MISSING",
            CheckpointError::ExtraShards { .. } => "SHARD_EXTRA",
            CheckpointError::TensorTwice { .. } => "TENSOR_TWICE",
            CheckpointError::IndexDisagrees { .. } => "INDEX_DISAGREES",
            CheckpointError::Tensors { mismatches } => mismatch::code(mismatches),
            CheckpointError::NotFinite { .. } => "WEIGHT_NOT_FINITE",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            CheckpointError::NotCached { .. } | CheckpointError::HubRevision { .. } => {
                Some(match cfg!(feature = "hub") {
                    true => "HF_HUB_OFFLINE forbids to download it: unset it, or give a folder".into(),
                    false => {
                        "give the folder of a downloaded model, or build with the `hub` feature, which downloads".into()
                    }
                })
            }
            CheckpointError::NoFolder { .. } => Some("give an existing folder, or a Hub id such as org/name".into()),
            CheckpointError::Header { source, .. } => source.hint().map(str::to_owned),
            CheckpointError::OtherFormat { .. } => Some(
                "publish or convert the weights as safetensors; pickled files can run code and are never read".into(),
            ),
            CheckpointError::MissingShards { .. } | CheckpointError::NoWeights | CheckpointError::NoIndex { .. } => {
                Some("the download is incomplete: fetch the missing files".into())
            }
            CheckpointError::ExtraShards { .. } => {
                Some("files of two versions of the model are mixed: remove the ones that do not belong".into())
            }
            CheckpointError::Tensors { mismatches } => mismatch::hint(mismatches),
            _ => None,
        }
    }
}
