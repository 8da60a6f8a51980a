//! Why a safetensors header is refused.

use thiserror::Error;

use super::safetensors::{DIMS_CAP, HEADER_CAP, NAME_CAP, TENSORS_CAP};
use super::stored_dtype::StoredDtype;

/// Why a safetensors header is refused. Names in it are cut to a printable excerpt.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum HeaderError {
    #[error("{}", length_message(*found, *file_len))]
    Length { found: Option<u64>, file_len: u64 },
    #[error("the header begins with byte {found:#04x}, expected {{")]
    Start { found: u8 },
    #[error("the header ends with byte {found:#04x}, expected }} and perhaps spaces after it")]
    End { found: u8 },
    #[error("the header is not UTF-8 from its byte {at} on")]
    Utf8 { at: usize },
    #[error("the header is not JSON: {detail}")]
    Json { detail: String },
    #[error("key {key} occurs twice in the header")]
    Duplicate { key: String },
    #[error("tensor {tensor} has an unknown key {key}; an entry has dtype, shape and data_offsets")]
    UnknownKey { tensor: String, key: String },
    #[error("tensor {tensor} has no {key}")]
    MissingKey { tensor: String, key: &'static str },
    #[error("the header has a value of the wrong kind: {detail}")]
    Kind { detail: String },
    #[error("tensor {tensor}: {found} is not a whole number of zero or more")]
    Number { tensor: String, found: String },
    #[error("tensor {tensor} has unknown element type {found}")]
    Dtype { tensor: String, found: String },
    #[error("tensor {tensor} has more than {DIMS_CAP} dimensions")]
    Dims { tensor: String },
    #[error("tensor {tensor} is larger than any file: {what}")]
    Overflow { tensor: String, what: String },
    #[error("tensor {tensor} has no elements")]
    Empty { tensor: String },
    #[error("tensor {tensor} ends at {end} before it begins at {begin}")]
    Reversed { tensor: String, begin: u64, end: u64 },
    #[error("tensor {tensor} takes {bits} bits as {dtype} of its shape, but its offsets hold {stored} bytes")]
    Size { tensor: String, dtype: StoredDtype, bits: u64, stored: u64 },
    #[error("{second} begins before {first} ends")]
    Overlap { first: String, second: String },
    #[error("{bytes} bytes between {first} and {second} belong to no tensor")]
    Hole { first: String, second: String, bytes: u64 },
    #[error("the tensors need {expected} bytes, but the file has {found}")]
    Truncated { expected: u64, found: u64 },
    #[error("the tensors end at byte {expected}, but the file goes on to {found}")]
    Trailing { expected: u64, found: u64 },
    #[error("the header names more than {TENSORS_CAP} tensors")]
    Count,
    #[error("a tensor's name has {bytes} bytes, expected 1 to {NAME_CAP}")]
    Name { bytes: usize },
}

impl HeaderError {
    /// A stable machine-readable code.
    pub fn code(&self) -> &'static str {
        match self {
            HeaderError::Length { .. } => "ST_HEADER_LEN",
            HeaderError::Start { .. } => "ST_START",
            HeaderError::End { .. } => "ST_END",
            HeaderError::Utf8 { .. } => "ST_UTF8",
            HeaderError::Json { .. } => "ST_JSON",
            HeaderError::Duplicate { .. } => "ST_DUPLICATE",
            HeaderError::UnknownKey { .. } => "ST_UNKNOWN_KEY",
            HeaderError::MissingKey { .. } => "ST_MISSING_KEY",
            HeaderError::Kind { .. } => "ST_KIND",
            HeaderError::Number { .. } => "ST_NUMBER",
            HeaderError::Dtype { .. } => "ST_DTYPE",
            HeaderError::Dims { .. } | HeaderError::Overflow { .. } => "ST_OVERFLOW",
            HeaderError::Empty { .. } => "ST_EMPTY",
            HeaderError::Reversed { .. } => "ST_REVERSED",
            HeaderError::Size { .. } => "ST_SIZE",
            HeaderError::Overlap { .. } => "ST_OVERLAP",
            HeaderError::Hole { .. } => "ST_HOLE",
            HeaderError::Truncated { .. } => "ST_TRUNCATED",
            HeaderError::Trailing { .. } => "ST_TRAILING",
            HeaderError::Count => "ST_COUNT",
            HeaderError::Name { .. } => "ST_NAME",
        }
    }

    /// What the user can do, in one sentence.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            HeaderError::Length { .. } | HeaderError::Truncated { .. } => Some(
                "the file is incomplete or no safetensors file: fetch it again and compare its size with the published one",
            ),
            HeaderError::Start { found: b' ' | b'\t' | b'\n' | b'\r' } => Some(
                "some writers pad the header in front, where the format allows it only behind: save the file again",
            ),
            _ => None,
        }
    }
}

fn length_message(found: Option<u64>, file_len: u64) -> String {
    match found {
        None => format!("the file has {file_len} bytes, too few for a safetensors file"),
        Some(found) => {
            format!(
                "header length {found} is out of range: expected 2 to {HEADER_CAP}, and inside the {file_len} bytes of the file"
            )
        }
    }
}
