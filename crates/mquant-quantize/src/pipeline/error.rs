//! What can go wrong between a model and its bundle.

use mquant_kernels::PackError;
use thiserror::Error;

use crate::quantize::QuantizeError;
use mquant_model::error::{Class, Explain};
use mquant_model::excerpt::rows;
use mquant_model::nn::{PartId, SiteId};

/// Most lines of a list in one message.
const ROWS: usize = 10;

/// Why a model could not be quantised.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The model is a bundle.
    #[error("{model} is quantised already, expected a float model")]
    QuantizedAlready {
        /// Which model.
        model: String,
    },
    /// Too many samples cannot be used.
    #[error("{} of {of} samples cannot be used, expected at most one in twenty:{}", skipped.len(), rows(skipped, ROWS))]
    Skipped {
        /// Which, and why.
        skipped: Vec<String>,
        /// Of how many.
        of: usize,
    },
    /// A sample with a sound, for a model that does not hear.
    #[error("{sample} has a sound, and the model reads no sound")]
    NoAudio {
        /// Which sample.
        sample: String,
    },
    /// An activation is not a number.
    #[error("{site}: the activation of {sample} is not finite in row {row}, expected finite numbers")]
    NotFinite {
        /// Where.
        site: SiteId,
        /// Of which sample.
        sample: String,
        /// Row of the sample.
        row: usize,
    },
    /// A weight cannot be quantised.
    #[error("{site}: {source}")]
    Weight {
        /// Where.
        site: SiteId,
        /// Why.
        source: QuantizeError,
    },
    /// A unit cannot run.
    #[error("{unit}: {source}")]
    Unit {
        /// Which.
        unit: PartId,
        /// Why.
        source: PackError,
    },
    /// Codes that the kernels cannot take.
    #[error("{site}: {source}")]
    Packed {
        /// Where.
        site: SiteId,
        /// Why.
        source: PackError,
    },
    /// Smoothing vectors that could not be learned.
    #[error("{unit}: {source}")]
    Learning {
        /// The block.
        unit: PartId,
        /// Why.
        source: mquant_learn::LearnError,
    },
    /// What a recipe does to floats before rounding is not known without what it folded.
    #[error("recipe {recipe} smooths by what it has seen: {bundle} has no {file} that says by what")]
    Restore {
        /// Which.
        recipe: String,
        /// The bundle that was made by it.
        bundle: String,
        /// The file that is missing or damaged.
        file: &'static str,
    },
    /// 8 bits at all of the sites that have 4 are not as near to the float model as was asked for.
    #[error(
        "8 bits at every site that has 4 leave {reached:.2} % of the tokens other than the float model's, at most {asked} % \
         were asked for"
    )]
    Budget {
        /// Tokens that may differ, in percent.
        asked: f64,
        /// That do.
        reached: f64,
        /// The bundle by the recipe as it is, which stays.
        base: String,
    },
    /// A float model that a bundle was not made of.
    #[error("the float model is not the one the bundle was made of: expected fingerprint {expected}, found {found}")]
    Origin {
        /// What the bundle says.
        expected: String,
        /// Of the float model.
        found: String,
    },
    /// A model that does not say what it was made by.
    #[error("{model} has no recipe in its mquant.json: expected a bundle that was made here")]
    NoRecipe {
        /// Which.
        model: String,
    },
    /// A linear of a bundle cannot be told from the published names.
    #[error("{site}: its linears do not fit the tensors of the model")]
    Tensors {
        /// Which site.
        site: SiteId,
    },
    /// A committed unit cannot be read back.
    #[error("the work on {unit} cannot be read back")]
    Damaged {
        /// Which.
        unit: PartId,
    },
    /// The system gives no threads.
    #[error("the system refused {count} threads: {reason}")]
    Threads {
        /// How many were asked for.
        count: usize,
        /// Why.
        reason: String,
    },
    /// More memory would be needed than is allowed.
    #[error("about {needed} of memory are needed, expected at most {limit}")]
    Memory {
        /// What is needed, for people.
        needed: String,
        /// The limit, for people.
        limit: String,
    },
    /// More space would be needed than there is.
    #[error("about {needed} of disk are needed beside the output, {free} are free")]
    Disk {
        /// What is needed, for people.
        needed: String,
        /// What there is, for people.
        free: String,
    },
}

impl Explain for PipelineError {
    fn class(&self) -> Class {
        match self {
            PipelineError::QuantizedAlready { .. } | PipelineError::Restore { .. } | PipelineError::NoRecipe { .. } => {
                Class::Unsupported
            }
            PipelineError::Skipped { .. } => Class::Input,
            PipelineError::NoAudio { .. } => Class::Unsupported,
            PipelineError::Origin { .. } => Class::Usage,
            PipelineError::NotFinite { .. } => Class::Numeric,
            PipelineError::Learning { source, .. } => match source {
                mquant_learn::LearnError::NotFinite { .. } => Class::Numeric,
                _ => Class::Unsupported,
            },
            PipelineError::Weight { source, .. } => source.class(),
            PipelineError::Unit { .. } | PipelineError::Packed { .. } | PipelineError::Tensors { .. } => Class::Bug,
            PipelineError::Damaged { .. } => Class::Io,
            PipelineError::Threads { .. }
            | PipelineError::Memory { .. }
            | PipelineError::Budget { .. }
            | PipelineError::Disk { .. } => Class::Resources,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            PipelineError::QuantizedAlready { .. } => "QUANTIZE_FLOAT",
            PipelineError::Skipped { .. } => "CALIB_SKIPPED",
            PipelineError::NoAudio { .. } => "CALIB_AUDIO",
            PipelineError::NotFinite { .. } => "CALIB_NOT_FINITE",
            PipelineError::Weight { source, .. } => source.code(),
            PipelineError::Unit { .. } => "QUANTIZE_UNIT",
            PipelineError::Packed { .. } => "QUANTIZE_SITE",
            PipelineError::Learning { .. } => "LEARN_SMOOTHING",
            PipelineError::Restore { .. } => "RESTORE_SMOOTHED",
            PipelineError::NoRecipe { .. } => "RECIPE_UNKNOWN",
            PipelineError::Origin { .. } => "BASELINE_ORIGIN",
            PipelineError::Budget { .. } => "BUDGET_TARGET",
            PipelineError::Tensors { .. } => "QUANTIZE_TENSORS",
            PipelineError::Damaged { .. } => "QUANTIZE_DAMAGED",
            PipelineError::Threads { .. } => "THREADS",
            PipelineError::Memory { .. } => "QUANTIZE_MEMORY",
            PipelineError::Disk { .. } => "QUANTIZE_DISK",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PipelineError::QuantizedAlready { .. } => Some("quantise the model it was made of".to_owned()),
            PipelineError::NoAudio { .. } => {
                Some("leave samples with sounds out, or quantise a model with an audio tower".to_owned())
            }
            PipelineError::Skipped { .. } => {
                Some("mend or remove these samples; long ones fit with a larger [calibration] max_tokens".to_owned())
            }
            PipelineError::NotFinite { .. } => {
                Some("the model overflows on this sample: leave it out, or check the model's weights".to_owned())
            }
            PipelineError::Damaged { .. } => Some("run the same command again: the unit is computed anew".to_owned()),
            PipelineError::Origin { .. } => {
                Some("name the very folder that was quantised: a copy has other file times".to_owned())
            }
            PipelineError::Budget { base, .. } => Some(format!(
                "ask for less, or begin with a recipe of 8 bits or with a scale for each token; {base} is the recipe as it is"
            )),
            PipelineError::Memory { .. } => {
                Some("take fewer or smaller samples, or a recipe without GPTQ for the largest sites".to_owned())
            }
            PipelineError::Disk { .. } => Some("free some space, or pass --force to begin all the same".to_owned()),
            _ => None,
        }
    }
}
