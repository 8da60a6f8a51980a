//! Benchmarks: questions about pictures with known answers.
//!
//! Enters: a [`Benchmark`] read from a file as published, and a model. Leaves: an [`Evaluation`], one [`Answer`] for each
//! sample with its score. Invariant: a benchmark's answers are greedy and do not depend on how samples are batched, and
//! nothing but picture and question reaches the model.
//!
//! To add a metric: see [`METRICS`].

mod answer;
mod benchmark;
mod error;
mod known;
mod metric;
mod question;
mod record;
mod record_budget;

pub use answer::{Answer, AnswerOptions, Evaluation, evaluate};
pub use benchmark::{Benchmark, COLUMNS, RECORD_CAP, Sample};
pub use error::EvaluateError;
pub use known::{KNOWN, Known, Part, PromptStyle, recognise};
pub use metric::{Asked, METRICS, Metric, Total, Unit, metric};
pub use question::Question;
pub use record::{BenchmarkRecord, EvaluationRecord, Example, ModelRecord, Paired, Sat, TokenRecord};

/// Headings of the fields that are kept as text.
pub type ColumnNames = std::sync::Arc<[String]>;
