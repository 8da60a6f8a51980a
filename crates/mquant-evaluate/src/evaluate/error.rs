//! Why a benchmark cannot be answered.

use thiserror::Error;

use mquant_model::error::{Class, Explain};

/// Why a benchmark cannot be answered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// Too many samples that cannot be asked.
    #[error("{benchmark}: {unusable} of {of} samples cannot be asked, expected at most one in twenty: {first}")]
    Unusable {
        /// The benchmark.
        benchmark: String,
        /// How many.
        unusable: usize,
        /// Of how many.
        of: usize,
        /// The first of them, and why.
        first: String,
    },
    /// Sounds put to a model that does not hear.
    #[error("{benchmark} has sounds, and the model reads no sound")]
    NoAudio {
        /// The benchmark.
        benchmark: String,
    },
    /// Two models that do not speak in the same tokens.
    #[error("the models have {model} and {baseline} tokens, expected as many: their probabilities cannot be compared")]
    Vocabularies {
        /// Of the model that is judged.
        model: usize,
        /// Of the other.
        baseline: usize,
    },
    /// A sample that the model cannot answer.
    #[error("{benchmark}: sample {index}: {source}")]
    Sample {
        /// The benchmark.
        benchmark: String,
        /// The sample's `index`.
        index: String,
        /// Why.
        source: mquant_model::Error,
    },
}

impl Explain for EvaluateError {
    fn class(&self) -> Class {
        match self {
            EvaluateError::Sample { source, .. } => source.class(),
            EvaluateError::NoAudio { .. } => Class::Unsupported,
            _ => Class::Input,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            EvaluateError::Vocabularies { .. } => "BASELINE_VOCABULARY",
            EvaluateError::Unusable { .. } => "BENCHMARK_UNUSABLE",
            EvaluateError::NoAudio { .. } => "BENCHMARK_AUDIO",
            EvaluateError::Sample { source, .. } => source.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            EvaluateError::Vocabularies { .. } => Some("compare a model with what it was quantised from".to_owned()),
            EvaluateError::NoAudio { .. } => {
                Some("leave this benchmark out, or name a model with an audio tower".to_owned())
            }
            EvaluateError::Sample { source, .. } => source.hint(),
            EvaluateError::Unusable { .. } => None,
        }
    }
}
