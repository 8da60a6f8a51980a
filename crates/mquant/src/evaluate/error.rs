//! Why a benchmark cannot be read or answered.

use thiserror::Error;

use crate::error::{Class, Explain, io_class};

/// Why a benchmark cannot be read or answered. Rows are counted from 1, the heading not among them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The file cannot be read.
    #[error("{file}: cannot be read")]
    Io {
        /// The benchmark file.
        file: String,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A column that every benchmark needs is absent.
    #[error("{file}: expected a column \"{column}\", found {found}")]
    ColumnMissing {
        /// The benchmark file.
        file: String,
        /// Its heading.
        column: &'static str,
        /// The headings there are.
        found: String,
    },
    /// Two columns of one name.
    #[error("{file}: expected one column \"{column}\", found two")]
    ColumnTwice {
        /// The benchmark file.
        file: String,
        /// Its heading.
        column: &'static str,
    },
    /// A heading and nothing below it, or nothing at all.
    #[error("{file}: expected at least one sample, found none")]
    Empty {
        /// The benchmark file.
        file: String,
    },
    /// A row with fewer or more fields than the heading.
    #[error("{file}: row {row}: expected {expected} fields, found {found}")]
    Fields {
        /// The benchmark file.
        file: String,
        /// The row.
        row: usize,
        /// As many as headings.
        expected: usize,
        /// In the row.
        found: usize,
    },
    /// A field that cannot be used.
    #[error("{file}: row {row}, column \"{column}\": expected {expected}, found {found}")]
    Field {
        /// The benchmark file.
        file: String,
        /// The row.
        row: usize,
        /// Its heading.
        column: &'static str,
        /// What it must hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// A row longer than is read; a quote that never ends makes the rest of a file one row.
    #[error("{file}: row {row}: expected at most {limit} bytes, found more; perhaps a quote that is not closed")]
    TooLong {
        /// The benchmark file.
        file: String,
        /// The row; 0 is the heading.
        row: usize,
        /// Bytes.
        limit: u64,
    },
    /// Two models that do not speak in the same tokens.
    #[error("the models have {model} and {baseline} tokens, expected as many: their probabilities cannot be compared")]
    Vocabularies {
        /// Of the model that is judged.
        model: usize,
        /// Of the other.
        baseline: usize,
    },
    /// A sample that the model cannot answer.
    #[error("{benchmark}: sample {index}: {source}")]
    Sample {
        /// The benchmark.
        benchmark: String,
        /// The sample's `index`.
        index: String,
        /// Why.
        source: crate::Error,
    },
}

impl Explain for EvaluateError {
    fn class(&self) -> Class {
        match self {
            EvaluateError::Io { source, .. } => io_class(source, Class::Input),
            EvaluateError::Sample { source, .. } => source.class(),
            _ => Class::Input,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            EvaluateError::Io { .. } => "BENCHMARK_IO",
            EvaluateError::ColumnMissing { .. } | EvaluateError::ColumnTwice { .. } => "BENCHMARK_COLUMN",
            EvaluateError::Empty { .. } => "BENCHMARK_EMPTY",
            EvaluateError::Fields { .. } => "BENCHMARK_FIELDS",
            EvaluateError::Field { .. } => "BENCHMARK_FIELD",
            EvaluateError::TooLong { .. } => "BENCHMARK_ROW_LENGTH",
            EvaluateError::Vocabularies { .. } => "BASELINE_VOCABULARY",
            EvaluateError::Sample { source, .. } => source.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            EvaluateError::ColumnMissing { .. } => {
                Some("a benchmark is a tab-separated file with the columns index, image, question and answer".into())
            }
            EvaluateError::Vocabularies { .. } => Some("compare a model with what it was quantised from".into()),
            EvaluateError::Sample { source, .. } => source.hint(),
            _ => None,
        }
    }
}
