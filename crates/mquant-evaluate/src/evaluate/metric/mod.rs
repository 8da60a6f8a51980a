//! How answers are judged, exactly as the evaluation kits do.
//!
//! Enters: an answer and its [`Question`]. Leaves: a score, 1 where all is right; and of all scores the numbers a paper would
//! print. Invariant: the first of a metric's [`Total`]s is what its [`Unit`]s amount to, so that resampling units resamples it.
//!
//! To add a metric: a module here and a line in [`METRICS`].

mod anls;
mod choice;
mod choice_letter;
mod edits;
mod english;
mod exact_match;
mod groups;
mod mme;
mod ocrbench;
mod punctuation;
mod python_text;
mod relaxed;
mod vqa;
mod wer;
mod yes_no;

pub(super) use anls::Anls;
pub(super) use choice::{CHOICE, CHOICE_CIRCULAR, CHOICE_OPEN};
pub(super) use exact_match::ExactMatch;
pub(super) use mme::Mme;
pub(super) use ocrbench::OcrBench;
pub(super) use relaxed::Relaxed;
pub(super) use vqa::Vqa;
pub(super) use wer::Wer;

use super::{ColumnNames, Question};

/// Every metric there is.
pub const METRICS: &[&dyn Metric] = &[
    &ExactMatch,
    &Anls,
    &Vqa,
    &Relaxed,
    &OcrBench,
    &Mme,
    &yes_no::YesNo,
    &CHOICE,
    &CHOICE_OPEN,
    &CHOICE_CIRCULAR,
    &Wer,
];

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

    /// From 0, wrong, to 1, right; of an error rate 1 less the rate, which may be below 0.
    fn score(&self, answer: &str, question: &Question) -> f64;

    /// Whether a verdict can be read from the answer: a letter, yes or no. Where not, the score is 0.
    fn is_readable(&self, answer: &str, question: &Question) -> bool {
        let _ = (answer, question);
        true
    }

    /// Whether an answer of that score counts as right where only right and wrong are asked for.
    fn is_right(&self, score: f64) -> bool {
        score >= 0.5
    }

    /// Whether the benchmark's score counts errors.
    fn lower_is_better(&self) -> bool {
        false
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
        scores.iter().map(|score| Unit::part(0, 100.0 * score / scores.len() as f64)).collect()
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
    /// What can be reached; of an error rate what no longer counts in a mean.
    pub of: f64,
}

impl Total {
    /// Its part of what can be reached, in percent, of a benchmark that is averaged with others: of an error rate what is
    /// missing from 100, at least 0.
    pub fn percent(&self, lower_is_better: bool) -> f64 {
        percent(self.value, self.of, lower_is_better)
    }
}

/// See [`Total::percent`].
pub(super) fn percent(value: f64, of: f64, lower_is_better: bool) -> f64 {
    let percent = 100.0 * value / of;
    if lower_is_better { (100.0 - percent).max(0.0) } else { percent }
}

/// Samples that stand or fall together: all questions about one picture where they are counted together, else one
/// question. Samples that do not enter the benchmark's score are in none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    /// Units of one stratum may stand for one another.
    pub stratum: usize,
    /// Its part of the benchmark's score; of a rate its part of the numerator.
    pub value: f64,
    /// Of a rate, its part of the denominator: the score is 100 times all values by all of these.
    pub per: Option<f64>,
}

impl Unit {
    /// A part of a sum.
    pub fn part(stratum: usize, value: f64) -> Self {
        Self { stratum, value, per: None }
    }
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
