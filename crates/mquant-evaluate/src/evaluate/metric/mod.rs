//! How answers are judged, exactly as the evaluation kits do.
//!
//! Enters: an answer and its [`Question`]. Leaves: a score from 0 to 1; and of all scores the numbers a paper would print.
//! Invariant: the first of a metric's [`Total`]s is the sum of its [`Unit`]s' values, so that resampling units resamples it.
//!
//! To add a metric: a module here and a line in [`METRICS`].

mod anls;
mod choice;
mod choice_letter;
mod exact_match;
mod groups;
mod mme;
mod ocrbench;
mod punctuation;
mod python_text;
mod relaxed;
mod vqa;
mod yes_no;

pub(super) use anls::Anls;
pub(super) use choice::{CHOICE, CHOICE_CIRCULAR, CHOICE_OPEN};
pub(super) use exact_match::ExactMatch;
pub(super) use mme::Mme;
pub(super) use ocrbench::OcrBench;
pub(super) use relaxed::Relaxed;
pub(super) use vqa::Vqa;

use super::{ColumnNames, Question};

/// Every metric there is.
pub const METRICS: &[&dyn Metric] =
    &[&ExactMatch, &Anls, &Vqa, &Relaxed, &OcrBench, &Mme, &yes_no::YesNo, &CHOICE, &CHOICE_OPEN, &CHOICE_CIRCULAR];

/// The questions that were asked, in the order of their scores.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Headings of the questions' fields.
    pub columns: &'a ColumnNames,
    /// What was asked.
    pub questions: &'a [&'a Question],
}

impl<'a> Asked<'a> {
    /// A question's field by its heading; None where it is absent or empty.
    fn field(&self, question: &'a Question, name: &str) -> Option<&'a str> {
        question.field(self.columns, name).filter(|field| !field.is_empty())
    }

    /// Of each question a field by its heading; None where it is absent or empty.
    fn fields(self, name: &str) -> impl Iterator<Item = Option<&'a str>> {
        self.questions.iter().map(move |question| self.field(question, name))
    }

    /// Of each question its category.
    fn categories(self) -> impl Iterator<Item = Option<&'a str>> {
        self.questions.iter().map(|question| question.category.as_deref())
    }
}

/// How an answer is judged.
pub trait Metric: Sync {
    /// Its name on the command line and in reports, such as `exact_match`.
    fn name(&self) -> &'static str;

    /// From 0, wrong, to 1, right.
    fn score(&self, answer: &str, question: &Question) -> f64;

    /// Whether a verdict can be read from the answer: a letter, yes or no. Where not, the score is 0.
    fn is_readable(&self, answer: &str, question: &Question) -> bool {
        let _ = (answer, question);
        true
    }

    /// What the scores of a benchmark's questions amount to; the first is the benchmark's score.
    fn totals(&self, asked: Asked<'_>, scores: &[f64]) -> Vec<Total> {
        let _ = asked;
        let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
        vec![Total { name: "score".to_owned(), value: 100.0 * mean, of: 100.0 }]
    }

    /// The score taken apart: each unit's part of the first total.
    fn units(&self, asked: Asked<'_>, scores: &[f64]) -> Vec<Unit> {
        let _ = asked;
        scores.iter().map(|score| Unit { stratum: 0, value: 100.0 * score / scores.len() as f64 }).collect()
    }

    /// The answer a model is expected to give, word for word: the accepted one that occurs most often, the first of those.
    fn reference<'q>(&self, question: &'q Question) -> Option<&'q str> {
        question.reference()
    }
}

/// A number that a paper would print.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Total {
    /// Such as `score` or `perception`.
    pub name: String,
    /// What was reached.
    pub value: f64,
    /// What can be reached.
    pub of: f64,
}

/// Samples that stand or fall together: all questions about one picture where they are counted together, else one
/// question. Samples that do not enter the benchmark's score are in none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    /// Units of one stratum may stand for one another.
    pub stratum: usize,
    /// Its part of the benchmark's score.
    pub value: f64,
}

/// The metric of that name.
pub fn metric(name: &str) -> Option<&'static dyn Metric> {
    METRICS.iter().copied().find(|metric| metric.name() == name)
}

impl std::fmt::Debug for dyn Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
