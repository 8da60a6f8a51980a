//! Why there are no calibration samples.

use thiserror::Error;

use super::{MAX_SKIPPED_PERCENT, Skipped};
use crate::benchmark::BenchmarkError;
use mquant_model::error::{Class, Explain, io_class};
use mquant_model::excerpt::rows as listed;

/// Unusable rows named in a message.
const NAMED: usize = 10;

/// Why there are no calibration samples.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SamplesError {
    /// A file or folder cannot be read.
    #[error("{file}: cannot be read")]
    Io {
        /// The file or folder.
        file: String,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Something that is none of the kinds of data.
    #[error("{file}: expected a folder of pictures, a .tsv, .parquet or .jsonl file, found another file")]
    Kind {
        /// The file.
        file: String,
    },
    /// A row longer than is read.
    #[error("{file}: row {row}: expected at most {limit} bytes, found more; perhaps a quote that is not closed")]
    TooLong {
        /// The file.
        file: String,
        /// The row.
        row: usize,
        /// Bytes.
        limit: u64,
    },
    /// A benchmark file that cannot be read.
    #[error(transparent)]
    Benchmark(BenchmarkError),
    /// A file without a row.
    #[error("{file}: expected at least one sample, found none")]
    Empty {
        /// The file or folder.
        file: String,
    },
    /// Too many rows that cannot be used.
    #[error(
        "{file}: expected at most {MAX_SKIPPED_PERCENT} % of {rows} rows to be unusable, found {}:{}",
        skipped.len(),
        listed(skipped, NAMED)
    )]
    Skipped {
        /// The file or folder.
        file: String,
        /// Rows in it.
        rows: usize,
        /// Those that cannot be used.
        skipped: Vec<Skipped>,
    },
    /// Fewer samples asked for than there are files, or no file.
    #[error("expected at least one file and one sample of each, found {files} files for {asked} samples")]
    Count {
        /// Samples asked for.
        asked: usize,
        /// Files given.
        files: usize,
    },
    /// No picture for a model that sees.
    #[error("expected pictures in at least one of {samples} calibration samples of a vision model, found none")]
    NoVisual {
        /// Samples chosen.
        samples: usize,
    },
    /// A file that changed while it was read.
    #[error("{file}: expected the same rows when read again, found others")]
    Changed {
        /// The file or folder.
        file: String,
    },
}

impl From<BenchmarkError> for SamplesError {
    fn from(error: BenchmarkError) -> Self {
        match error {
            BenchmarkError::Io { file, source } => SamplesError::Io { file, source },
            BenchmarkError::Empty { file } => SamplesError::Empty { file },
            BenchmarkError::TooLong { file, row, limit } => SamplesError::TooLong { file, row, limit },
            BenchmarkError::Skipped { file, rows, skipped } => {
                SamplesError::Skipped { file, rows, skipped: skipped.iter().map(Skipped::from).collect() }
            }
            BenchmarkError::Changed { file, .. } => SamplesError::Changed { file },
            other => SamplesError::Benchmark(other),
        }
    }
}

impl Explain for SamplesError {
    fn class(&self) -> Class {
        match self {
            SamplesError::Io { source, .. } => io_class(source, Class::Input),
            SamplesError::Count { .. } => Class::Usage,
            SamplesError::Benchmark(e) => e.class(),
            _ => Class::Input,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            SamplesError::Io { .. } => "CALIB_IO",
            SamplesError::Kind { .. } => "CALIB_KIND",
            SamplesError::TooLong { .. } => "CALIB_ROW_LENGTH",
            SamplesError::Benchmark(
                BenchmarkError::ColumnMissing { .. }
                | BenchmarkError::ColumnTwice { .. }
                | BenchmarkError::ColumnKind { .. },
            ) => "CALIB_COLUMN",
            SamplesError::Benchmark(e) => e.code(),
            SamplesError::Empty { .. } => "CALIB_EMPTY",
            SamplesError::Skipped { .. } => "CALIB_SKIPPED",
            SamplesError::Count { .. } => "CALIB_COUNT",
            SamplesError::NoVisual { .. } => "CALIB_NO_VISUAL",
            SamplesError::Changed { .. } => "CALIB_CHANGED",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            SamplesError::NoVisual { .. } => {
                "give samples with pictures, or ask for calibration by text alone: visual ranges will then be guessed"
            }
            SamplesError::Count { .. } => "ask for more samples, or give fewer files",
            SamplesError::Skipped { .. } => "repair or remove these rows",
            SamplesError::Benchmark(e) => return e.hint(),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
