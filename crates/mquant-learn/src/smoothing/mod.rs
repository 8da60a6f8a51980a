//! Smoothing vectors: where they start, how they are learned, and what a site does with them.

mod branch;
#[cfg(test)]
mod initial;
mod moments;
mod parameters;
mod trainee;

use std::collections::BTreeMap;

use mquant_model::nn::{Modality, SiteId};

use crate::LearnError;

#[cfg(test)]
pub(crate) use initial::initial;
pub(crate) use parameters::SiteParameters;
pub(crate) use parameters::Ties;
pub(crate) use trainee::{Smoothed, Trainee, add_moments};

/// One smoothing vector for each modality: positive, one value for each channel that a site reads. Rows of the modality are
/// divided by it, weights multiplied (MASQuant, arXiv 2603.04800, section 4.1).
pub type Vectors = BTreeMap<Modality, Vec<f32>>;

/// How a site is quantised while its vectors are learned. Everything is f32 that lies on the grid of the codes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SiteQuantization {
    /// Its weights; none to leave them float.
    pub weight: Option<WeightQuantization>,
    /// What its linears read.
    pub activation: ActivationQuantization,
}

/// Symmetric codes of weights: scale absmax / (2^(bits−1) − 1) in f32, codes at most 2^(bits−1) − 1 in magnitude.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightQuantization {
    /// Bits of a code, 2 to 16.
    pub bits: u32,
    /// Inputs that share a scale; all inputs of an output do where there is none.
    pub group: Option<usize>,
}

/// Symmetric codes of activations, as those of weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ActivationQuantization {
    /// They stay float.
    Float,
    /// Each row has its own scale.
    PerToken {
        /// Bits of a code, 2 to 16.
        bits: u32,
    },
    /// The rows of a modality share a scale, from their largest magnitude in the sample at hand: it follows the vectors while they
    /// are learned. The deployed scale is that of all samples.
    PerModality {
        /// Bits of a code, 2 to 16.
        bits: u32,
    },
}

/// Which weight meets the rows of which modality.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// One quantised weight for each modality, Q(W·S_m): what MASQuant learns with (section 4.1).
    Published,
    /// One vector for all modalities, as other methods have (the paper's comparison in its Table 3).
    Uniform,
    /// What MASQuant runs: B = Q(W·S_base) for all rows, the base being text where a site has it; rows of another modality
    /// add x·S_m⁻¹·L_m, unquantised, with L_m the nearest to W·S_m − B of a low rank, as its rows weigh the difference
    /// (section 4.3).
    ///
    /// L_m = A·C·(W·S_m − B)ᵀ, where A·C is the projection onto the leading directions of the whitened difference. It is
    /// found once an epoch and constant in between, while W·S_m − B follows the vectors. That is the gradient of the best
    /// branch: at an optimum, moving the projection changes nothing in first order.
    Deployed {
        /// Rank of a branch over the smaller side of its weight, above 0 and at most 1.
        rank_ratio: f64,
    },
}

impl SiteQuantization {
    /// Nothing quantised.
    pub const FLOAT: Self = Self { weight: None, activation: ActivationQuantization::Float };

    /// Checks bits and groups; `width`: inputs of the weights.
    pub(crate) fn check(&self, site: SiteId, width: usize) -> Result<(), LearnError> {
        let bits = |what, bits| match bits {
            2..=16 => Ok(()),
            _ => Err(LearnError::Bits { site, what, bits }),
        };
        if let Some(weight) = self.weight {
            bits("weights", weight.bits)?;
            if let Some(group) = weight.group.filter(|group| *group == 0 || !width.is_multiple_of(*group)) {
                return Err(LearnError::Group { site, inputs: width, group });
            }
        }
        match self.activation {
            ActivationQuantization::Float => Ok(()),
            ActivationQuantization::PerToken { bits: n } | ActivationQuantization::PerModality { bits: n } => {
                bits("activations", n)
            }
        }
    }
}
