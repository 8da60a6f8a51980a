//! Recipes: what is done to a model, in what order, as TOML.
//!
//! Enters: a file of the user or one of [`PRESETS`]. Leaves: a [`Recipe`] of typed steps, and for the sites of a model a
//! [`Plan`] that decides every one of them. Invariant: whatever is wrong with a recipe is told with its line and step
//! before a weight is read; a field that would have no effect is an error, never ignored.
//!
//! To add a step: a variant of [`Step`], its fields in `parse`, its line in `write` and its rules in `check`.

mod error;
mod place;
mod selector;
mod step;
mod words;
mod parse;
mod ranges;
mod check;
mod order;
mod plan;
mod write;
mod presets;
#[cfg(test)]
mod tests;

pub use error::RecipeError;
pub use place::Place;
pub use plan::{Plan, SitePlan};
pub use presets::{PRESETS, Preset};
pub use selector::{BlockPattern, BlockRange, Depths, PatternError, SitePattern, SiteSelector};
pub use step::{
    Compensate, FuseNorms, InputBits, Learning, LearningForm, Quantize, Rank, RotateHeads, RotateOnline, RotateStream,
    Smooth, SmoothModalities, SplitColumns, Step, Target, Towers, WeightMethod,
};

pub use crate::quantize::{ActOrder, Clip};
pub use crate::transform::{ColumnLimits, HadamardFallback, RotationKind, SmoothingVectors};

use std::fs::File;
use std::io::Read;
use std::path::Path;

use mquant_model::nn::CacheFormat;
use place::Origin;

/// Bytes of a recipe file at most.
pub const MAX_BYTES: u64 = 1 << 20;

/// What is done to a model, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// A word of lower-case letters, digits and hyphens.
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// Of every random choice; at most 2^63 − 1, TOML's largest integer.
    pub seed: u64,
    /// What the model is shown, and how its activations become ranges.
    pub calibration: Calibration,
    /// How keys and values are remembered.
    pub kv_cache: CacheFormat,
    /// In the order they are done.
    pub steps: Vec<Step>,
    /// Where the steps were written: no part of what they say.
    origin: Origin,
}

/// What the model is shown, and how its activations become ranges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Samples shown.
    pub samples: usize,
    /// When activations are taken anew.
    pub sequential: Sequential,
    /// How a static range follows from what was seen.
    pub observer: Observer,
    /// What is done where a first token dwarfs all others.
    pub sinks: Sinks,
    /// Tokens of a sample at most; longer samples are left out, never cut.
    pub max_tokens: Option<usize>,
    /// Tokens generated after each sample, so that ranges know decoding too.
    pub generated_tokens: usize,
}

/// When activations are taken anew, now that what is before them has been quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sequential {
    /// For each block.
    Block,
    /// For each site: more passes, and every site sees its quantised predecessors.
    Site,
}

/// What is done at a site of static scales where a first token dwarfs all others: an attention sink, which alone would set
/// the scale of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sinks {
    /// The range takes it in, and the report tells.
    Keep,
    /// The site finds a scale for each row while running.
    PerToken,
}

/// How a static range follows from the magnitudes seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Observer {
    /// The largest.
    MinMax,
    /// The one that this share of values does not exceed: above 0.5, at most 1.
    Percentile(f64),
    /// The range with the least squared error.
    Mse,
}

impl Default for Calibration {
    fn default() -> Self {
        Self {
            samples: 128,
            sequential: Sequential::Block,
            observer: Observer::MinMax,
            sinks: Sinks::Keep,
            max_tokens: None,
            generated_tokens: 20,
        }
    }
}

impl Recipe {
    /// A recipe made by a program; errors of [`check`](Self::check) count its steps and name no line.
    pub fn new(name: &str, steps: Vec<Step>) -> Self {
        Self {
            name: name.to_owned(),
            description: String::new(),
            seed: 0,
            calibration: Calibration::default(),
            kv_cache: CacheFormat::Codes,
            steps,
            origin: Origin::default(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, is too long, or as [`parse`](Self::parse).
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|source| source.take(MAX_BYTES + 1).read_to_end(&mut bytes));
        read.map_err(|source| RecipeError::Io { file: file.clone(), source })?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(RecipeError::TooLong { file, limit: MAX_BYTES });
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) => Self::parse(text, &file),
            Err(e) => Err(RecipeError::NotText { file, at: e.valid_up_to() }),
        }
    }

    /// The recipe in `text`; `file` names it in errors.
    ///
    /// # Errors
    /// TOML that is broken, an unknown field, a value of a wrong type or out of range, fields that contradict each other:
    /// each with its line.
    pub fn parse(text: &str, file: &str) -> Result<Self, RecipeError> {
        let recipe = parse::parse(text, file)?;
        ranges::check(&recipe)?;
        Ok(recipe)
    }

    /// The preset of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn preset(name: &str) -> Result<Self, RecipeError> {
        let preset = PRESETS.iter().find(|preset| preset.name == name);
        let preset = preset.ok_or_else(|| RecipeError::Preset { found: mquant_model::excerpt::excerpt(name) })?;
        Self::parse(preset.toml, &format!("{name}.toml"))
    }
}
