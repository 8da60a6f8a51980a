//! A source's rows, first looked at and then fetched: only those that are chosen are ever in memory.

use std::fs::File;
use std::path::Path;

use super::row::{self, Read, Row, Visit};
use super::{DataSource, MAX_SKIPPED_PERCENT, Origin, Sample, SamplesError, Skipped, folder, json_lines, media};
use crate::benchmark::Benchmark;

/// Gives every row to a visitor, in order.
type Rows<'a> = Box<dyn Fn(&mut Visit<'_>) -> Result<(), SamplesError> + 'a>;

/// The rows of a source that can be used.
pub(super) enum Surveyed<'a> {
    Benchmark { file: String, benchmark: Benchmark },
    Rows { file: String, rows: Rows<'a>, usable: Vec<usize> },
}

impl<'a> Surveyed<'a> {
    /// Looks at every row of a source; those that cannot be used are told.
    pub(super) fn of(source: &'a DataSource) -> Result<(Self, Vec<Skipped>), SamplesError> {
        let file = source.to_string();
        let rows: Rows<'a> = match source {
            DataSource::Benchmark(path) => {
                let benchmark = Benchmark::open(path)?;
                let skipped = benchmark.skipped().iter().map(Skipped::from).collect();
                return Ok((Surveyed::Benchmark { file, benchmark }, skipped));
            }
            DataSource::JsonLines(path) => Box::new(move |visit| {
                let file = row::name(path);
                let source = File::open(path).map_err(|source| SamplesError::Io { file: file.clone(), source })?;
                json_lines::rows(source, path.parent().unwrap_or(Path::new("")), &file, visit)
            }),
            DataSource::Folder(path, prompt) => Box::new(move |visit| folder::rows(path, prompt, visit)),
        };
        let (usable, skipped) = look(&rows, &file)?;
        Ok((Surveyed::Rows { file, rows, usable }, skipped))
    }

    /// How many can be used.
    pub(super) fn len(&self) -> usize {
        match self {
            Surveyed::Benchmark { benchmark, .. } => benchmark.questions().len(),
            Surveyed::Rows { usable, .. } => usable.len(),
        }
    }

    /// The samples at these indices of the usable rows, each at its index.
    pub(super) fn fetch(&self, chosen: &[usize]) -> Result<Vec<Option<Sample>>, SamplesError> {
        let mut found = vec![None; self.len()];
        match self {
            Surveyed::Benchmark { file, benchmark } => {
                let mut chosen = chosen.to_vec();
                chosen.sort_unstable();
                for i in chosen {
                    let changed = |_| SamplesError::Changed { file: file.clone() };
                    let messages = benchmark.messages(i)?;
                    let media = media::hashes(&messages).map_err(changed)?;
                    let origin = Origin { file: file.clone(), row: benchmark.rows()[i] };
                    let answer = benchmark.questions()[i].reference().map(str::to_owned);
                    found[i] = Some(Sample { messages, answer, origin, media });
                }
            }
            Surveyed::Rows { file, rows, usable } => {
                let mut left = chosen.len();
                rows(&mut |origin, row| {
                    let index = usable.binary_search(&origin.row).ok().filter(|index| chosen.contains(index));
                    if let (Some(index), Ok(Row { messages, answer })) = (index, row)
                        && let Ok(media) = media::hashes(&messages)
                    {
                        found[index] = Some(Sample { messages, answer, origin, media });
                        left -= 1;
                    }
                    if left == 0 { Read::Enough } else { Read::On }
                })?;
                if left > 0 {
                    return Err(SamplesError::Changed { file: file.clone() });
                }
            }
        }
        Ok(found)
    }
}

/// Numbers of the rows that can be used, and the others.
fn look(rows: &Rows<'_>, file: &str) -> Result<(Vec<usize>, Vec<Skipped>), SamplesError> {
    let (mut usable, mut skipped) = (Vec::new(), Vec::new());
    rows(&mut |origin, row| {
        match row.and_then(|row| media::hashes(&row.messages).map(drop)) {
            Ok(()) => usable.push(origin.row),
            Err(reason) => skipped.push(Skipped { origin, reason }),
        }
        Read::On
    })?;
    let (rows, bad) = (usable.len() + skipped.len(), skipped.len());
    let file = file.to_owned();
    if rows == 0 {
        return Err(SamplesError::Empty { file });
    }
    if bad * 100 > rows * MAX_SKIPPED_PERCENT {
        return Err(SamplesError::Skipped { file, rows, skipped });
    }
    Ok((usable, skipped))
}
