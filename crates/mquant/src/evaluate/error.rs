//! Why a benchmark cannot be read or answered.

use thiserror::Error;

use super::benchmark::{MOST_SKIPPED_PERCENT, Skipped};
use crate::error::{Class, Explain, io_class};
use crate::excerpt::rows as listed;

/// Unusable rows named in a message.
const NAMED: usize = 10;

/// Why a benchmark cannot be read or answered. Rows are counted from 1, the heading not among them; row groups and the rows of
/// one from 0.
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
    /// Something that is no benchmark.
    #[error("{file}: expected a .tsv or .parquet file or a folder of .parquet files, found something else")]
    Kind {
        /// The file or folder.
        file: String,
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
        column: String,
    },
    /// A column of another type than is read.
    #[error("{file}: column \"{column}\": expected {expected}, found {found}")]
    ColumnKind {
        /// The benchmark file.
        file: String,
        /// Its heading.
        column: String,
        /// What is read.
        expected: &'static str,
        /// What it holds.
        found: &'static str,
    },
    /// A heading and nothing below it, or nothing at all.
    #[error("{file}: expected at least one sample, found none")]
    Empty {
        /// The benchmark file.
        file: String,
    },
    /// Too many rows that cannot be used.
    #[error(
        "{file}: expected at most {MOST_SKIPPED_PERCENT} % of {rows} rows to be unusable, found {}:{}",
        skipped.len(),
        listed(skipped, NAMED)
    )]
    Skipped {
        /// The benchmark file.
        file: String,
        /// Rows that were read.
        rows: usize,
        /// Those that cannot be used.
        skipped: Vec<Skipped>,
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
    /// Too many samples that cannot be asked.
    #[error("{benchmark}: {unusable} of {of} samples cannot be asked, expected at most one in twenty: {first}")]
    Unusable {
        /// The benchmark.
        benchmark: String,
        /// How many.
        unusable: usize,
        /// Of how many.
        of: usize,
        /// The first of them, and why.
        first: String,
    },
    /// Two models that do not speak in the same tokens.
    #[error("the models have {model} and {baseline} tokens, expected as many: their probabilities cannot be compared")]
    Vocabularies {
        /// Of the model that is judged.
        model: usize,
        /// Of the other.
        baseline: usize,
    },
    /// More text than is kept in memory.
    #[error("{file}: row {row}: expected at most {limit} bytes of text up to here, found more")]
    TooMuchText {
        /// The benchmark file.
        file: String,
        /// The row.
        row: usize,
        /// Bytes.
        limit: u64,
    },
    /// A Parquet file that is none, or says of itself what cannot be.
    #[error("{file}: {reason}")]
    Metadata {
        /// The benchmark file.
        file: String,
        /// What was expected and found.
        reason: String,
    },
    /// A row group larger than is read.
    #[error("{file}: row group {group}: expected at most {limit} bytes unpacked, found {bytes}")]
    RowGroup {
        /// The benchmark file.
        file: String,
        /// The row group.
        group: usize,
        /// Bytes it says it has.
        bytes: u64,
        /// Bytes.
        limit: u64,
    },
    /// A compression that is not read.
    #[error("{file}: expected pages compressed by Snappy, zstd or not at all, found {found}")]
    Compression {
        /// The benchmark file.
        file: String,
        /// Its name.
        found: String,
    },
    /// A part of a row group that cannot be read.
    #[error("{file}: row group {group}, row {row} of it: {reason}")]
    Page {
        /// The benchmark file.
        file: String,
        /// The row group.
        group: usize,
        /// The row in it.
        row: usize,
        /// The column, and what was expected and found.
        reason: String,
    },
    /// A folder of several benchmarks.
    #[error("{folder}: expected the files of one benchmark, found those of {found}")]
    Sets {
        /// The folder.
        folder: String,
        /// What their names begin with.
        found: String,
    },
    /// A shard that is not there.
    #[error("{file}: expected {count} shards beside one another, found no number {number}")]
    ShardMissing {
        /// A shard that is there.
        file: String,
        /// The one that is not, from 0.
        number: usize,
        /// How many there must be.
        count: usize,
    },
    /// Shards of different columns.
    #[error("{file}: expected the columns of {first}, found others")]
    ShardColumns {
        /// The shard.
        file: String,
        /// The first one.
        first: String,
    },
    /// A file that changed after it was read.
    #[error("{file}: row {row}: expected the pictures that were there before: {reason}")]
    Changed {
        /// The benchmark file.
        file: String,
        /// The row.
        row: usize,
        /// What was expected and found.
        reason: String,
    },
    /// A question that there is not.
    #[error("{benchmark}: expected the number of one of {count} questions, found {question}")]
    NoQuestion {
        /// The benchmark.
        benchmark: String,
        /// The number, from 0.
        question: usize,
        /// How many there are.
        count: usize,
    },
    /// Reading was ended early.
    #[error("{file}: reading was stopped")]
    Stopped {
        /// The benchmark file.
        file: String,
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
            EvaluateError::RowGroup { .. } | EvaluateError::TooMuchText { .. } => Class::Resources,
            EvaluateError::Compression { .. } => Class::Unsupported,
            EvaluateError::NoQuestion { .. } => Class::Usage,
            EvaluateError::Sample { source, .. } => source.class(),
            _ => Class::Input,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            EvaluateError::Io { .. } => "BENCHMARK_IO",
            EvaluateError::Kind { .. } => "BENCHMARK_KIND",
            EvaluateError::ColumnMissing { .. }
            | EvaluateError::ColumnTwice { .. }
            | EvaluateError::ColumnKind { .. } => "BENCHMARK_COLUMN",
            EvaluateError::Empty { .. } => "BENCHMARK_EMPTY",
            EvaluateError::Skipped { .. } => "BENCHMARK_ROWS",
            EvaluateError::TooLong { .. } => "BENCHMARK_ROW_LENGTH",
            EvaluateError::TooMuchText { .. } => "BENCHMARK_TEXT",
            EvaluateError::Metadata { .. } => "BENCHMARK_PARQUET",
            EvaluateError::RowGroup { .. } => "BENCHMARK_ROW_GROUP",
            EvaluateError::Compression { .. } => "BENCHMARK_COMPRESSION",
            EvaluateError::Page { .. } => "BENCHMARK_PAGE",
            EvaluateError::Sets { .. } | EvaluateError::ShardMissing { .. } | EvaluateError::ShardColumns { .. } => {
                "BENCHMARK_SHARDS"
            }
            EvaluateError::Changed { .. } => "BENCHMARK_CHANGED",
            EvaluateError::NoQuestion { .. } => "BENCHMARK_QUESTION",
            EvaluateError::Stopped { .. } => "BENCHMARK_STOPPED",
            EvaluateError::Vocabularies { .. } => "BASELINE_VOCABULARY",
            EvaluateError::Unusable { .. } => "BENCHMARK_UNUSABLE",
            EvaluateError::Sample { source, .. } => source.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            EvaluateError::ColumnMissing { .. } => {
                "a benchmark has a column question, and pictures in a column image, images, image_1 … or image_path"
            }
            EvaluateError::Skipped { .. } => "repair or remove these rows",
            EvaluateError::RowGroup { .. } => "write the file again with smaller row groups",
            EvaluateError::Compression { .. } => "write the file again with Snappy or zstd",
            EvaluateError::Sets { .. } => "name one of the files",
            EvaluateError::ShardMissing { .. } => "download the shards that are missing",
            EvaluateError::Vocabularies { .. } => "compare a model with what it was quantised from",
            EvaluateError::Sample { source, .. } => return source.hint(),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
