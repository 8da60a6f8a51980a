//! Online rotation of activations that no weight in front can rotate, such as what an activation function gives (R4 of
//! QuaRot; MQuant, section 3.2): the activation is rotated while the model runs, the weight has the inverse folded in.

use std::collections::BTreeSet;
use std::sync::Arc;

use mquant_kernels::{Cpu, Hadamard, HadamardError};

use super::wide::{float, map_rows, pad_inputs};
use super::{ReadChange, ReadChanges, SeenChannels, Transform, TransformError};
use mquant_model::nn::{Part, SiteId};

/// What is done where no Hadamard matrix has as many rows as there are features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HadamardFallback {
    /// Features that are zero are added up to the next size there is; their weights are zero before the rotation.
    Pad,
    /// Equal blocks of the largest power of two are rotated, each by itself.
    Blocks,
}

/// The step.
#[derive(Clone, Debug)]
pub struct RotateOnline {
    sites: BTreeSet<SiteId>,
    otherwise: HadamardFallback,
}

impl RotateOnline {
    /// For these sites.
    pub fn new(sites: BTreeSet<SiteId>, otherwise: HadamardFallback) -> Self {
        Self { sites, otherwise }
    }

    fn rotation(&self, features: usize) -> Result<Hadamard, HadamardError> {
        Hadamard::new(features).or_else(|_| match self.otherwise {
            HadamardFallback::Pad => Hadamard::padded(features),
            HadamardFallback::Blocks => Hadamard::largest_power_of_two(features),
        })
    }
}

impl Transform for RotateOnline {
    fn apply(&self, cpu: Cpu, part: &mut dyn Part, _: &SeenChannels) -> Result<ReadChanges, TransformError> {
        let mut changes = ReadChanges::new();
        for site in part.sites() {
            if !self.sites.contains(&site.id) {
                continue;
            }
            let features = site.linears.first().map_or(0, |linear| linear.weight.cols());
            let rotation = self.rotation(features);
            let rotation = rotation
                .map_err(|source| TransformError::Rotation { what: format!("the input of {}", site.id), source })?;
            for linear in site.linears.iter_mut() {
                pad_inputs(linear, rotation.features());
                map_rows(float(linear), |row| rotation.rotate_row_f64(cpu, row));
            }
            let rotation = Arc::new(rotation);
            changes.push((site.id, ReadChange::Online { rotation: rotation.clone(), features }));
            *site.rotation = Some(rotation);
        }
        Ok(changes)
    }
}
