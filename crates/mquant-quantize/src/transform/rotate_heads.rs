//! Rotation of values, folded into the value and output projections head by head (R2 of QuaRot and SpinQuant).
//!
//! Attention mixes rows, not features: out·(A·v) stays as it is when v's features of each head are rotated and the output
//! projection takes the rotation back. Grouped heads share one, so a block has one rotation for all its heads.

use std::collections::BTreeSet;
use std::sync::Arc;

use mquant_kernels::Cpu;

use super::wide::{float, map_outputs, map_rows};
use super::{ReadChange, ReadChanges, Rotation, RotationKind, SeenChannels, Transform, TransformError};
use mquant_model::nn::{Part, Tower};

/// The step.
#[derive(Clone, Debug)]
pub struct RotateHeads {
    towers: BTreeSet<Tower>,
    seed: u64,
}

impl RotateHeads {
    /// For the blocks of these towers.
    pub fn new(towers: impl IntoIterator<Item = Tower>, seed: u64) -> Self {
        Self { towers: towers.into_iter().collect(), seed }
    }
}

impl Transform for RotateHeads {
    fn apply(&self, cpu: Cpu, part: &mut dyn Part, _: &SeenChannels) -> Result<ReadChanges, TransformError> {
        let mut changes = ReadChanges::new();
        for pair in part.pairs() {
            let id = pair.consumer.id;
            let Some(shape) = pair.fan.filter(|_| self.towers.contains(&id.tower())) else { continue };
            let label = format!("the heads of {id}");
            let rotation = Rotation::new(RotationKind::Hadamard, shape.head_dim, self.seed, &label)
                .map_err(|source| TransformError::Rotation { what: label, source })?;
            let each_head = |values: &mut [f64]| {
                values.chunks_exact_mut(shape.head_dim).for_each(|head| rotation.rotate(cpu, head))
            };
            map_outputs(pair.producer, each_head);
            pair.consumer.linears.iter_mut().for_each(|linear| map_rows(float(linear), each_head));
            changes.push((id, ReadChange::Rotated(Arc::new(rotation))));
        }
        Ok(changes)
    }
}
