//! Rows of a benchmark file. Each is read by [`Benchmark`] as a file of one row, so that one bad row spoils no other.

use std::io::{self, BufReader, Cursor};

use csv::{ByteRecord, ReaderBuilder, WriterBuilder};

use super::row::{Allowance, Bounded, Read, Row, Visit};
use super::{Origin, SamplesError};
use crate::evaluate::{Benchmark, EvaluateError, RECORD_CAP};

/// Gives every row below the heading to `visit`.
pub(super) fn rows(source: impl io::Read, file: &str, visit: &mut Visit<'_>) -> Result<(), SamplesError> {
    let left = Allowance::of(RECORD_CAP);
    let bounded = Bounded { inner: BufReader::new(source), left: left.clone() };
    let mut reader = ReaderBuilder::new().delimiter(b'\t').has_headers(false).flexible(true).from_reader(bounded);
    let mut next = |record: &mut ByteRecord, row: usize| {
        left.renew(RECORD_CAP);
        reader.read_byte_record(record).map_err(|e| {
            let file = file.to_owned();
            match e.into_kind() {
                csv::ErrorKind::Io(_) if left.is_spent() => SamplesError::TooLong { file, row, limit: RECORD_CAP },
                csv::ErrorKind::Io(source) => SamplesError::Io { file, source },
                other => SamplesError::Io { file, source: io::Error::other(format!("{other:?}")) },
            }
        })
    };
    let mut heading = ByteRecord::new();
    if !next(&mut heading, 0)? {
        return Ok(());
    }
    let mut record = ByteRecord::new();
    for row in 1.. {
        if !next(&mut record, row)? {
            break;
        }
        let origin = Origin { file: file.to_owned(), row };
        let parsed = match one(&heading, &record, file) {
            Ok(parsed) => Ok(parsed),
            // Without its columns no row of the file can be used.
            Err(e @ (EvaluateError::ColumnMissing { .. } | EvaluateError::ColumnTwice { .. })) => {
                return Err(SamplesError::Benchmark(e));
            }
            Err(EvaluateError::Field { column, expected, found, .. }) => {
                Err(format!("column \"{column}\": expected {expected}, found {found}"))
            }
            Err(EvaluateError::Fields { expected, found, .. }) => {
                Err(format!("expected {expected} fields, found {found}"))
            }
            Err(e) => Err(e.to_string()),
        };
        if visit(origin, parsed) == Read::Enough {
            break;
        }
    }
    Ok(())
}

/// A file of the heading and one row.
fn one(heading: &ByteRecord, record: &ByteRecord, file: &str) -> Result<Row, EvaluateError> {
    let unwritable = |e: csv::Error| EvaluateError::Io { file: file.to_owned(), source: io::Error::other(e) };
    let mut writer = WriterBuilder::new().delimiter(b'\t').flexible(true).from_writer(Vec::new());
    writer.write_byte_record(heading).map_err(unwritable)?;
    writer.write_byte_record(record).map_err(unwritable)?;
    let text = writer.into_inner().map_err(|e| unwritable(e.into_error().into()))?;
    let benchmark = Benchmark::parse(Cursor::new(text), file)?;
    let sample = benchmark.samples.into_iter().next();
    let sample = sample.ok_or_else(|| EvaluateError::Empty { file: file.to_owned() })?;
    Ok(Row { messages: sample.messages(), answer: sample.question.answers.into_iter().next() })
}
