//! What a recipe decides for each site of a model.

use super::{ColumnLimits, HadamardFallback, Rank, SmoothingVectors, Target};
use mquant_model::nn::SiteId;

/// What a recipe decides for a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Every site of the model, in its order.
    pub sites: Vec<SitePlan>,
    /// For each step, the sites it is about: those it names, or those of the towers it names.
    pub steps: Vec<Vec<SiteId>>,
}

/// What a recipe decides for one site.
#[derive(Clone, Debug, PartialEq)]
pub struct SitePlan {
    /// Which site.
    pub id: SiteId,
    /// How the activation is rotated while running, if it is.
    pub rotation: Option<HadamardFallback>,
    /// The strength of smoothing, if there is any.
    pub smoothing: Option<f64>,
    /// Whether each modality has a smoothing vector of its own, or all share one; None of a site that is not smoothed so.
    pub modalities: Option<SmoothingVectors>,
    /// How large a low-rank branch for other modalities than text may be, if there is any.
    pub compensation: Option<Rank>,
    /// Which columns may be split off, if any.
    pub split: Option<ColumnLimits>,
    /// What becomes of weights and input.
    pub target: Target,
    /// Index of the step that decided `target`; None where no step names the site, and it stays float.
    pub decided_by: Option<usize>,
}

impl Plan {
    /// What is decided for a site; None of a site that the model has not.
    pub fn site(&self, id: SiteId) -> Option<&SitePlan> {
        self.sites.iter().find(|site| site.id == id)
    }
}

impl SitePlan {
    pub(super) fn untouched(id: SiteId) -> Self {
        Self {
            id,
            rotation: None,
            smoothing: None,
            modalities: None,
            compensation: None,
            split: None,
            target: Target::Float,
            decided_by: None,
        }
    }
}
