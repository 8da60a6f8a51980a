//! Benchmarks: questions about pictures and sounds with known answers, and what answers say of a model.
//!
//! Enters: a [`Benchmark`] as it was published, what is [`Known`] of it, and a model, perhaps with what it was made of. Leaves:
//! an [`EvaluationRecord`]: scores as the kits count them, how sure they are, and where two models part. Invariants: answers
//! are greedy and do not depend on what is computed together; nothing but pictures, sounds and published words reaches the model;
//! a line that was written is never found again.
//!
//! To add a metric: see [`METRICS`]. To add a benchmark: see [`KNOWN`].

mod known;
mod metric;
mod answerer;
mod likelihood;
mod exam;
mod folder;
pub mod statistics;
mod grade;
mod examples;
mod predictions;
mod record;
mod evaluation;
mod compare;
mod blame;
mod error;

pub use answerer::{Answerer, Said};
pub use blame::{Afforded, Blame, Budget, Choice, Group, GroupCost, Judging, Remedy, Suspect, by_kind, by_tower};
pub use compare::{Candidate, Comparison, Parting, Side, compare};
pub use error::EvaluateError;
pub use evaluation::{EVALUATION, Evaluation, Judged, Progress, SCHEMA, Watch};
pub use exam::{AnswerLine, Exam, Keep, LikelihoodLine};
pub use folder::{FolderError, Journal, ResultFolder, Settings};
pub use grade::{Graded, Mean, mean};
pub use known::{KNOWN, Known, Part, PromptStyle, recognise};
pub use likelihood::{Likelihood, Referenced, reference_logits};
pub use metric::{Asked, METRICS, Metric, Total, Unit, metric};
pub use mquant_data::benchmark::{self, Benchmark, BenchmarkError, ColumnNames, Medium, MediumKind, Question, Skipped};
pub use record::{BenchmarkRecord, EvaluationRecord, Example, ModelRecord, Paired, Sat, TokenRecord};
