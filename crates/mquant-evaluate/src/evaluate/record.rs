//! What an evaluation found, as it is kept in `evaluation.json` and shown in reports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Mean, Total};

/// An evaluation of one model, perhaps beside another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// `mquant.evaluation/1`.
    pub schema: String,
    /// The model that is judged.
    pub model: ModelRecord,
    /// The one it is compared with, usually the float model.
    pub baseline: Option<ModelRecord>,
    /// How it was computed: threads, instructions, batch, limit, version, seconds.
    pub settings: BTreeMap<String, String>,
    /// Over all benchmarks, each weighing the same.
    #[serde(default)]
    pub mean: Option<Mean>,
    /// In the order they were given.
    pub benchmarks: Vec<BenchmarkRecord>,
}

/// A model that was judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// The last part of its path or id.
    pub name: String,
    /// `float`, or the name of the recipe it was quantised by.
    pub form: String,
    /// Bytes of its tensors.
    pub bytes: u64,
    /// SHA-256 of what identifies it: of a bundle, its manifest; else of names, lengths and times of its files.
    pub identity: String,
}

/// One benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchmarkRecord {
    /// The file's name without its ending.
    pub name: String,
    /// How answers are judged.
    pub metric: String,
    /// Whether the score counts errors, as a word error rate does.
    #[serde(default)]
    pub lower_is_better: bool,
    /// How many were asked.
    pub samples: usize,
    /// Rows that could not be used, and why.
    pub skipped: Vec<String>,
    /// Of the model.
    pub model: Sat,
    /// Of the baseline.
    pub baseline: Option<Sat>,
    /// Of both on the same samples.
    pub paired: Option<Paired>,
    /// Of both, token by token.
    pub tokens: Option<TokenRecord>,
    /// Some samples to look at, those answered differently first.
    pub examples: Vec<Example>,
}

/// What one model reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sat {
    /// The first is the benchmark's score.
    pub totals: Vec<Total>,
    /// 95 % interval of the score, by bootstrap.
    pub interval: [f64; 2],
    /// Tokens of all prompts.
    pub prompt_tokens: usize,
    /// Tokens of all answers.
    pub answer_tokens: usize,
    /// Time they took.
    pub seconds: f64,
}

/// Model against baseline on the same samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Score of the model minus that of the baseline.
    pub difference: f64,
    /// 95 % interval of the difference, by paired bootstrap.
    pub interval: [f64; 2],
    /// Samples only the model answered rightly: with a score of at least 0.5, transcripts without an error.
    pub model_only: usize,
    /// Samples only the baseline answered rightly.
    pub baseline_only: usize,
    /// McNemar's exact two-sided p: how likely such an imbalance is if both are equally good.
    pub mcnemar_p: f64,
}

/// The reference answers, token by token, as both models see them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// How many.
    pub tokens: usize,
    /// Perplexity of the reference answers.
    pub perplexity: f64,
    /// The same of the baseline.
    pub baseline_perplexity: f64,
    /// Mean Kullback-Leibler divergence of the model's distribution from the baseline's, in nats a token.
    pub kl: f64,
    /// The largest of a single token.
    pub kl_max: f64,
    /// Share of tokens where both find the same one most likely, from 0 to 1.
    pub top1_agreement: f64,
}

/// A sample to look at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The file's own name of it.
    pub index: String,
    /// What was asked.
    pub question: String,
    /// Accepted answers, at most three.
    pub expected: Vec<String>,
    /// What the model said.
    pub answer: String,
    /// From 0 to 1; below 0 where there are more errors than words.
    pub score: f64,
    /// What the baseline said.
    pub baseline_answer: Option<String>,
    /// As `score`.
    pub baseline_score: Option<f64>,
    /// The first picture, small, as a `data:` address.
    pub picture: Option<String>,
    /// How many sounds were asked about.
    #[serde(default)]
    pub sounds: usize,
}
