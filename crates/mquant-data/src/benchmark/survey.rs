//! What the first pass over a file finds: questions, and rows that cannot be used.

use std::collections::HashSet;
use std::fmt;

use super::forms::Form;
use super::{BenchmarkError, MAX_SKIPPED_PERCENT, TEXT_CAP};
use crate::benchmark::Question;

/// Unusable rows that are remembered; a file with more is refused at once.
const MAX_REMEMBERED: usize = 100_000;

/// A row that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The benchmark's file or folder.
    pub file: String,
    /// From 1, the heading not among them; shards follow one another.
    pub row: usize,
    /// Why, with the column where it is one column's fault.
    pub reason: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: row {}: {}", self.file, self.row, self.reason)
    }
}

/// Why a row cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem(pub(super) String);

impl Problem {
    /// The fault of one column.
    pub(super) fn at(form: &Form, column: usize, reason: impl fmt::Display) -> Self {
        Self(format!("column \"{}\": {reason}", form.heading(column)))
    }
}

/// A row that can be used: its question, and where its pictures and sounds are.
#[derive(Clone, Debug)]
pub(super) struct Kept<P> {
    /// From 1.
    pub(super) row: usize,
    pub(super) question: Question,
    pub(super) place: P,
}

/// All rows up to now.
#[derive(Debug)]
pub(super) struct Survey<P> {
    /// What messages about the whole call it.
    pub(super) file: String,
    pub(super) kept: Vec<Kept<P>>,
    pub(super) skipped: Vec<Skipped>,
    /// Rows left out because they have neither picture nor sound.
    pub(super) without_media: usize,
    text_bytes: u64,
}

impl<P> Survey<P> {
    pub(super) fn new(file: String) -> Self {
        Self { file, kept: Vec::new(), skipped: Vec::new(), without_media: 0, text_bytes: 0 }
    }

    /// Takes a row in.
    ///
    /// # Errors
    /// If texts grow beyond [`TEXT_CAP`].
    pub(super) fn keep(&mut self, row: usize, question: Question, place: P) -> Result<(), BenchmarkError> {
        let texts =
            question.fields.iter().chain(&question.answers).chain(question.options.iter().map(|(_, text)| text));
        let bytes: usize = texts.map(|text| text.len() + size_of::<String>()).sum();
        self.text_bytes += (bytes + question.text.len() + question.index.len()) as u64;
        if self.text_bytes > TEXT_CAP {
            return Err(BenchmarkError::TooMuchText { file: self.file.clone(), row, limit: TEXT_CAP });
        }
        self.kept.push(Kept { row, question, place });
        Ok(())
    }

    /// Leaves a row out.
    ///
    /// # Errors
    /// If there are too many to remember.
    pub(super) fn skip(&mut self, row: usize, problem: Problem) -> Result<(), BenchmarkError> {
        self.skipped.push(Skipped { file: self.file.clone(), row, reason: problem.0 });
        if self.skipped.len() > MAX_REMEMBERED { Err(self.refused()) } else { Ok(()) }
    }

    /// Checks that there are questions and few enough rows were left out.
    ///
    /// # Errors
    /// If not.
    pub(super) fn check(&mut self) -> Result<(), BenchmarkError> {
        self.skipped.sort_by_key(|skipped| skipped.row);
        let (rows, bad) = (self.kept.len() + self.skipped.len(), self.skipped.len());
        // One bad row is borne by the smallest file.
        if bad * 100 > rows * MAX_SKIPPED_PERCENT && (bad > 1 || rows == 1) {
            return Err(self.refused());
        }
        if self.kept.is_empty() {
            return Err(BenchmarkError::Empty { file: self.file.clone() });
        }
        Ok(())
    }

    fn refused(&mut self) -> BenchmarkError {
        let rows = self.kept.len() + self.skipped.len();
        BenchmarkError::Skipped { file: self.file.clone(), rows, skipped: std::mem::take(&mut self.skipped) }
    }

    /// How many kept rows have an index that an earlier one has.
    pub(super) fn repeated(&self) -> usize {
        let mut seen = HashSet::new();
        self.kept.iter().filter(|kept| !seen.insert(kept.question.index.as_str())).count()
    }
}
