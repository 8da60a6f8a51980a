//! SmoothQuant (arXiv 2211.10438, equation 4): outliers of an activation move into the weights that read it.
//!
//! s_j = max|X_j|^α / max|W_j|^(1−α) over all linears of the site; X_j is divided by s_j where it is made (in the gain and
//! bias of the norm, or in the outputs of the producer), W_j is multiplied by it.

use std::collections::BTreeSet;

use mquant_kernels::Cpu;

use super::fold_scales::{Sources, fold_scales, largest_activations, largest_weights};
use super::{ReadChanges, SeenChannels, Transform, TransformError, largest_seen};
use mquant_model::nn::{Part, SiteId};

/// Magnitudes below count as this much: channels that are never used keep their scale.
const LEAST: f64 = 1e-5;

/// The step.
#[derive(Clone, Debug)]
pub struct Smooth {
    sites: BTreeSet<SiteId>,
    alpha: f64,
}

impl Smooth {
    /// For these sites; `alpha` from 0 (weights decide) to 1 (activations decide).
    pub fn new(sites: BTreeSet<SiteId>, alpha: f64) -> Self {
        Self { sites, alpha }
    }
}

impl Transform for Smooth {
    fn needs_activations(&self) -> bool {
        true
    }

    fn apply(&self, _: Cpu, part: &mut dyn Part, seen: &SeenChannels) -> Result<ReadChanges, TransformError> {
        fold_scales(part, &self.sites, &mut |Sources { site, linears, of_input, count }| {
            let activations = largest_activations(&largest_seen(seen, site)?, &of_input, count);
            let weights = largest_weights(linears, &of_input, count);
            let scale = |(x, w): (f64, f64)| {
                if x == 0.0 || w == 0.0 {
                    1.0
                } else {
                    x.max(LEAST).powf(self.alpha) / w.max(LEAST).powf(1.0 - self.alpha)
                }
            };
            Ok(activations.into_iter().zip(weights).map(scale).collect())
        })
    }
}
