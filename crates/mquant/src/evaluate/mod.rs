//! Benchmarks: questions about pictures with known answers.
//!
//! Enters: a [`Benchmark`] read from a file as published, and a model. Leaves: an [`Evaluation`], one [`Answer`] for each
//! sample with its score. Invariant: a benchmark's answers are greedy and do not depend on how samples are batched, and
//! nothing but picture and question reaches the model.
//!
//! To add a metric: see [`METRICS`].

mod answer;
pub mod benchmark;
mod error;
mod metric;
mod question;
mod record;

pub use answer::{Answer, AnswerOptions, Evaluation, evaluate};
pub use benchmark::{Benchmark, Skipped};
pub use error::EvaluateError;
pub use metric::{METRICS, Metric, Total, Unit, metric};
pub use question::Question;
pub use record::{BenchmarkRecord, EvaluationRecord, Example, ModelRecord, Paired, Sat, TokenRecord};

/// Headings of the fields that are kept as text.
pub type ColumnNames = std::sync::Arc<[String]>;
