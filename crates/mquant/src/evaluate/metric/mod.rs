//! How answers are judged, exactly as the evaluation kits do.
//!
//! Enters: an answer and its [`Question`]. Leaves: a score from 0 to 1; and of all scores the numbers a paper would print.
//! Invariant: the first of a metric's [`Total`]s is the sum of its [`Unit`]s' values, so that resampling units resamples it.
//!
//! To add a metric: a module here and a line in [`METRICS`].

mod exact_match;

use super::Question;

/// Every metric there is.
pub const METRICS: &[&dyn Metric] = &[&exact_match::ExactMatch];

/// How an answer is judged.
pub trait Metric: Sync {
    /// Its name on the command line and in reports, such as `exact_match`.
    fn name(&self) -> &'static str;

    /// From 0, wrong, to 1, right.
    fn score(&self, answer: &str, question: &Question) -> f64;

    /// What the scores of a benchmark's questions amount to; the first is the benchmark's score.
    fn totals(&self, questions: &[&Question], scores: &[f64]) -> Vec<Total> {
        let _ = questions;
        let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
        vec![Total { name: "score".to_owned(), value: 100.0 * mean, of: 100.0 }]
    }

    /// The score taken apart: each unit's part of the first total.
    fn units(&self, questions: &[&Question], scores: &[f64]) -> Vec<Unit> {
        let _ = questions;
        scores.iter().map(|score| Unit { stratum: 0, value: 100.0 * score / scores.len() as f64 }).collect()
    }

    /// The answer a model is expected to give, word for word: the accepted one that occurs most often, the first of those.
    fn reference<'q>(&self, question: &'q Question) -> Option<&'q str> {
        let count = |answer: &str| question.answers.iter().filter(|other| *other == answer).count();
        question.answers.iter().rev().max_by_key(|answer| count(answer)).map(String::as_str)
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

/// Samples that stand or fall together: all questions about one picture where they are counted together, else one question.
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
