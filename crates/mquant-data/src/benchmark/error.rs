//! Why a benchmark cannot be read.

use thiserror::Error;

use super::{MAX_SKIPPED_PERCENT, Skipped};
use mquant_model::error::{Class, Explain, io_class};
use mquant_model::excerpt::rows as listed;

/// Unusable rows named in a message.
const NAMED: usize = 10;

/// Why a benchmark cannot be read. Rows are counted from 1, the heading not among them; row groups and the rows of
/// one from 0.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BenchmarkError {
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
        "{file}: expected at most {MAX_SKIPPED_PERCENT} % of {rows} rows to be unusable, found {}:{}",
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
    #[error("{file}: row {row}: expected the pictures and sounds that were there before: {reason}")]
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
}

impl Explain for BenchmarkError {
    fn class(&self) -> Class {
        match self {
            BenchmarkError::Io { source, .. } => io_class(source, Class::Input),
            BenchmarkError::RowGroup { .. } | BenchmarkError::TooMuchText { .. } => Class::Resources,
            BenchmarkError::Compression { .. } => Class::Unsupported,
            BenchmarkError::NoQuestion { .. } => Class::Usage,
            _ => Class::Input,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            BenchmarkError::Io { .. } => "BENCHMARK_IO",
            BenchmarkError::Kind { .. } => "BENCHMARK_KIND",
            BenchmarkError::ColumnMissing { .. }
            | BenchmarkError::ColumnTwice { .. }
            | BenchmarkError::ColumnKind { .. } => "BENCHMARK_COLUMN",
            BenchmarkError::Empty { .. } => "BENCHMARK_EMPTY",
            BenchmarkError::Skipped { .. } => "BENCHMARK_ROWS",
            BenchmarkError::TooLong { .. } => "BENCHMARK_ROW_LENGTH",
            BenchmarkError::TooMuchText { .. } => "BENCHMARK_TEXT",
            BenchmarkError::Metadata { .. } => "BENCHMARK_PARQUET",
            BenchmarkError::RowGroup { .. } => "BENCHMARK_ROW_GROUP",
            BenchmarkError::Compression { .. } => "BENCHMARK_COMPRESSION",
            BenchmarkError::Page { .. } => "BENCHMARK_PAGE",
            BenchmarkError::Sets { .. } | BenchmarkError::ShardMissing { .. } | BenchmarkError::ShardColumns { .. } => {
                "BENCHMARK_SHARDS"
            }
            BenchmarkError::Changed { .. } => "BENCHMARK_CHANGED",
            BenchmarkError::NoQuestion { .. } => "BENCHMARK_QUESTION",
            BenchmarkError::Stopped { .. } => "BENCHMARK_STOPPED",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            BenchmarkError::ColumnMissing { .. } => {
                "a benchmark has a column question, and pictures in a column image, images, image_1 … or image_path, or sounds in audio or \
                 audio_path"
            }
            BenchmarkError::Skipped { .. } => "repair or remove these rows",
            BenchmarkError::RowGroup { .. } => "write the file again with smaller row groups",
            BenchmarkError::Compression { .. } => "write the file again with Snappy or zstd",
            BenchmarkError::Sets { .. } => "name one of the files",
            BenchmarkError::ShardMissing { .. } => "download the shards that are missing",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
