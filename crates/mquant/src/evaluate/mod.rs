//! Benchmarks: questions about pictures with known answers.
//!
//! Enters: a [`Benchmark`] read from a file as published, and a model. Leaves: an [`Evaluation`], one [`Answer`] for each
//! sample with its score. Invariant: a benchmark's answers are greedy and do not depend on how samples are batched, and
//! nothing but picture and question reaches the model.
//!
//! To add a metric: see [`METRICS`].

mod answer;
mod answerer;
mod benchmark;
mod blame;
mod compare;
mod error;
mod folder;
mod known;
mod likelihood;
mod metric;
mod question;
mod record;
mod record_budget;
pub mod statistics;

pub use answer::{Answer, AnswerOptions, Evaluation, evaluate};
pub use answerer::{Answerer, Said};
pub use benchmark::{Benchmark, COLUMNS, RECORD_CAP, Sample};
pub use blame::{Afforded, Blame, Budget, Choice, Group, GroupCost, Judging, Remedy, Suspect, by_kind, by_tower};
pub use compare::{Candidate, Comparison, Parting, Side, compare};
pub use error::EvaluateError;
pub use folder::{FolderError, Journal, ResultFolder, Settings};
pub use known::{KNOWN, Known, Part, PromptStyle, recognise};
pub use likelihood::{Likelihood, Referenced, reference_scores};
pub use metric::{Asked, METRICS, Metric, Total, Unit, metric};
pub use question::Question;
pub use record::{BenchmarkRecord, EvaluationRecord, Example, ModelRecord, Paired, Sat, TokenRecord};

/// Headings of the fields that are kept as text.
pub type ColumnNames = std::sync::Arc<[String]>;
