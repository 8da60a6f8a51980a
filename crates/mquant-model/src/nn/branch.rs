//! Low-rank branches of a site.

use std::ops::Range;

use mquant_kernels::PackedWeight;

use super::{Modality, ModalitySpans};

/// Cross-modal compensation (MASQuant, section 4.3): on the rows of one modality, (x·Aᵀ)·Bᵀ is added to the result of each
/// linear of the site. A is here and is the same for all linears; each [`Linear`](super::Linear) has a B of its own.
#[derive(Clone, Debug)]
pub struct Branch {
    /// Whose rows.
    pub modality: Modality,
    /// A: rank × inputs of the site, in 8-bit codes.
    pub weight: PackedWeight,
}

impl Branch {
    /// The rows that the branch is for.
    pub(super) fn rows(&self, spans: &ModalitySpans) -> Vec<Range<usize>> {
        spans.iter().filter(|(modality, _)| *modality == self.modality).map(|(_, rows)| rows).collect()
    }

    /// Whether any of `branches` has rows.
    pub(super) fn any_of(branches: &[Self], spans: &ModalitySpans) -> bool {
        branches.iter().any(|branch| spans.iter().any(|(modality, _)| modality == branch.modality))
    }
}
