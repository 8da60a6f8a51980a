//! What `mquant demo` found out.

use mquant::evaluate::{AnswerLine, Exam, Graded};
use mquant::run::LoadedModel;
use serde::Serialize;

/// What is printed.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) model: String,
    pub(super) threads: usize,
    pub(super) load_s: f64,
    pub(super) total_s: f64,
    pub(super) peak_rss_bytes: Option<u64>,
    /// The float model first.
    pub(super) variants: Vec<VariantReport>,
}

/// One form of the model.
#[derive(Debug, Serialize)]
pub(super) struct VariantReport {
    /// `float`, or the recipe's name.
    pub(super) name: String,
    /// Bytes of its tensors on disk.
    pub(super) bytes: u64,
    /// None of the float model.
    pub(super) quantize_s: Option<f64>,
    /// Time of all answers.
    pub(super) answer_s: f64,
    /// Mean of the benchmarks' scores, in percent; an error rate counts as what is missing from 100, at least 0.
    pub(super) mean: f64,
    pub(super) benchmarks: Vec<BenchmarkReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct BenchmarkReport {
    pub(super) name: String,
    pub(super) metric: &'static str,
    /// Whether the score counts errors.
    pub(super) lower_is_better: bool,
    /// In percent.
    pub(super) score: f64,
    /// In percent as it enters the mean: of an error rate what is missing from 100, at least 0.
    #[serde(skip)]
    pub(super) share: f64,
    pub(super) samples: usize,
    pub(super) prompt_tokens: usize,
    pub(super) answer_tokens: usize,
    pub(super) total_s: f64,
    pub(super) tokens_per_s: f64,
    pub(super) answers: Vec<AnswerReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct AnswerReport {
    pub(super) index: String,
    pub(super) question: String,
    pub(super) expected: String,
    pub(super) answer: String,
    pub(super) score: f64,
}

impl VariantReport {
    pub(super) fn new(
        name: &str,
        loaded: &LoadedModel,
        quantize_s: Option<f64>,
        answer_s: f64,
        benchmarks: Vec<BenchmarkReport>,
    ) -> Self {
        let bytes = loaded.checkpoint.entries().iter().map(|tensor| tensor.bytes.as_ref().len() as u64).sum();
        let mean = benchmarks.iter().map(|b| b.share).sum::<f64>() / benchmarks.len().max(1) as f64;
        Self { name: name.to_owned(), bytes, quantize_s, answer_s, mean, benchmarks }
    }
}

impl BenchmarkReport {
    pub(super) fn new(exam: &Exam<'_>, lines: Vec<AnswerLine>, total_s: f64) -> Self {
        let lower_is_better = exam.known.metric.lower_is_better();
        let total = Graded::alone(*exam, &lines).score();
        let score = total.as_ref().map_or(0.0, |total| total.value);
        let share = total.map_or(0.0, |total| total.percent(lower_is_better));
        let sum = |tokens: fn(&AnswerLine) -> usize| lines.iter().map(tokens).sum::<usize>();
        let (prompt_tokens, answer_tokens) = (sum(|line| line.prompt_tokens), sum(|line| line.answer_tokens));
        let answers = lines.into_iter().map(|line| {
            let question = &exam.questions()[line.doc_id];
            AnswerReport {
                index: line.index,
                question: question.text.clone(),
                expected: question.answers.first().cloned().unwrap_or_default(),
                answer: line.prediction,
                score: line.score,
            }
        });
        let answers: Vec<AnswerReport> = answers.collect();
        Self {
            name: exam.benchmark.name().to_owned(),
            metric: exam.known.metric.name(),
            lower_is_better,
            score,
            share,
            samples: answers.len(),
            prompt_tokens,
            answer_tokens,
            total_s,
            tokens_per_s: answer_tokens as f64 / total_s.max(1e-9),
            answers,
        }
    }
}
