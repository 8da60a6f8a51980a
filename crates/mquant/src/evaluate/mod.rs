//! Benchmarks: questions about pictures with known answers.
//!
//! Enters: a [`Benchmark`] read from a file as published, and a model. Leaves: an [`Evaluation`], one [`Answer`] for each
//! sample with its score. Invariant: a benchmark's answers are greedy and do not depend on how samples are batched, and
//! nothing but picture and question reaches the model.
//!
//! To add a metric: a module here and a line in [`METRICS`].

mod answer;
mod benchmark;
mod error;
mod exact_match;
mod record_budget;

pub use answer::{Answer, AnswerOptions, Evaluation, evaluate};
pub use benchmark::{Benchmark, COLUMNS, RECORD_CAP, Sample};
pub use error::EvaluateError;

/// Every metric there is.
pub const METRICS: &[&dyn Metric] = &[&exact_match::ExactMatch];

/// How an answer is judged.
pub trait Metric: Sync {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// From 0, wrong, to 1, right.
    fn score(&self, answer: &str, expected: &str) -> f64;
}

impl std::fmt::Debug for dyn Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
