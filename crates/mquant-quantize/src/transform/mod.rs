//! Changes to the weights of a model that leave its function as it is, so that fewer bits lose less.
//!
//! Enters: a [`Part`] with float weights. Leaves: the same part with other weights, and perhaps an online rotation.
//! Every step works on one part at a time, and what it does there follows from the part's readers, writers and pairs: a
//! model larger than memory passes part by part, and a new family needs nothing here.
//!
//! Invariant: the steps of a recipe applied to *all* parts of a model leave its scores unchanged but for rounding. Sums and
//! products are in f64; each step rounds a weight to f32 once.
//!
//! To add a step: a file here and a line in this list.

mod error;
mod fold_scales;
mod fuse_norms;
mod read_change;
mod rotate_heads;
mod rotate_online;
mod rotate_stream;
mod rotation;
mod smooth;
mod smooth_modalities;
mod split_columns;
mod streams;
mod wide;

use std::collections::BTreeMap;

use mquant_kernels::Cpu;
use mquant_model::nn::{Modality, Part, SiteId};

pub use error::TransformError;
pub use fold_scales::fold_known_scales;
pub use fuse_norms::FuseNorms;
pub use read_change::{ReadChange, ReadChanges};
pub use rotate_heads::RotateHeads;
pub use rotate_online::{HadamardFallback, RotateOnline};
pub use rotate_stream::RotateStream;
pub use rotation::{Rotation, RotationKind};
pub use smooth::Smooth;
pub use smooth_modalities::{ModalityVectors, SmoothModalities, SmoothingVectors};
pub use split_columns::{ColumnLimits, columns_to_split};
pub use streams::{StreamNorm, Streams};

/// The largest magnitude of every channel of sites' activations in the rows of each modality, as samples showed them.
pub type SeenChannels = BTreeMap<SiteId, BTreeMap<Modality, Vec<f32>>>;

/// The largest magnitude of every channel, whatever the modality.
fn largest(seen: &BTreeMap<Modality, Vec<f32>>) -> Vec<f32> {
    let mut all = vec![0f32; seen.values().map(Vec::len).max().unwrap_or(0)];
    for seen in seen.values() {
        all.iter_mut().zip(seen).for_each(|(most, v)| *most = most.max(*v));
    }
    all
}

/// [`largest`] of a site.
fn largest_seen(seen: &SeenChannels, site: SiteId) -> Result<Vec<f32>, TransformError> {
    seen.get(&site).map(largest).ok_or(TransformError::NotSeen { site })
}

/// One step, applied to every part of a model.
pub trait Transform: Send + Sync {
    /// Changes the weights of a part, and says what that does to what the linears of its sites read. Computes
    /// with the instructions of `cpu`; the result does not depend on them.
    ///
    /// # Errors
    /// Something this step cannot treat: the error names the site.
    fn apply(&self, cpu: Cpu, part: &mut dyn Part, seen: &SeenChannels) -> Result<ReadChanges, TransformError>;

    /// Whether it needs to have seen activations.
    fn needs_activations(&self) -> bool {
        false
    }
}
