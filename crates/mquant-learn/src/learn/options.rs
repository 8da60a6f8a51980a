//! What is learned from, how, and what comes out.

use std::collections::BTreeMap;

use mquant_kernels::Rows;
use mquant_model::nn::{ForwardBatch, Modality, SiteId};

use crate::LearnError;
use crate::smoothing::{Form, Vectors};

/// Some rows that pass the block together, and what should leave it.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// What enters the quantised block, from the quantised blocks before it: rows × stream features.
    pub input: &'a Rows,
    /// What leaves the float block in the float model: like `input`.
    pub target: &'a Rows,
    /// What the rows are.
    pub pass: &'a ForwardBatch,
}

/// How vectors are learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Which weight meets the rows of which modality.
    pub form: Form,
    /// Whether the linears of a site share their vectors, so that the norm before them can hold the vectors. As published, each
    /// linear learns its own.
    pub tied: bool,
    /// Whether the text vector of `out` stays equal over query heads that share a key-value head, so that the value
    /// projection can hold it.
    pub foldable_out: bool,
    /// Times that all samples are shown.
    pub epochs: usize,
    /// Step of AdamW, in units of log s: 0.05 moves a value by about 5 %.
    pub learning_rate: f32,
    /// λ of each modality in the loss Σ_m λ_m·Σ_{rows of m} |Y − target| / values of the sample; 1 where none is given.
    pub loss_weights: BTreeMap<Modality, f32>,
    /// No value of a vector is or becomes less.
    pub floor: f32,
    /// Decides the order of the samples.
    pub seed: u64,
}

impl Default for Options {
    /// Those of the paper, on tied vectors.
    fn default() -> Self {
        Self {
            form: Form::Published,
            tied: true,
            foldable_out: false,
            epochs: 2,
            learning_rate: 0.05,
            loss_weights: BTreeMap::new(),
            floor: 1e-2,
            seed: 0,
        }
    }
}

impl Options {
    pub(super) fn check(&self) -> Result<(), LearnError> {
        let positive = |what, found: f64| match found > 0.0 && found.is_finite() {
            true => Ok(()),
            false => Err(LearnError::Option { what, found, expected: "a positive number" }),
        };
        positive("the learning rate", f64::from(self.learning_rate))?;
        positive("the floor", f64::from(self.floor))?;
        for weight in self.loss_weights.values() {
            if !(*weight >= 0.0 && weight.is_finite()) {
                let found = f64::from(*weight);
                return Err(LearnError::Option { what: "a weight of the loss", found, expected: "0 or more" });
            }
        }
        match self.form {
            Form::Deployed { rank_ratio: found } if !(found > 0.0 && found <= 1.0) => {
                Err(LearnError::Option { what: "the rank ratio", found, expected: "above 0 and at most 1" })
            }
            _ => Ok(()),
        }
    }
}

/// Passes of a sample, counted over learning and evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Passes done.
    pub done: usize,
    /// All passes.
    pub of: usize,
    /// Loss of the last one.
    pub loss: f64,
}

/// What was learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// Of each site, the vectors of each of its linears, or those of all where they are tied.
    pub vectors: BTreeMap<SiteId, Vec<Vectors>>,
    /// Mean loss over all samples before learning and after each epoch.
    pub losses: Vec<f64>,
    /// Place in `losses` of the vectors kept: the least. 0 if learning made it no better.
    pub best: usize,
    /// Loss of each step, before it.
    pub steps: Vec<f64>,
}
