//! What a step does to what the linears of a site read. With it one pass of the changed part tells what they read before:
//! the function stays, so x_before = A·x_after + b wherever W_after = W_before·A.

use std::sync::Arc;

use mquant_kernels::{Cpu, Hadamard, Rows};
use rayon::prelude::*;

use super::Rotation;
use mquant_model::nn::SiteId;

/// Changes in the order they were made.
pub type ReadChanges = Vec<(SiteId, ReadChange)>;

/// A change that can be taken back.
#[derive(Clone, Debug)]
pub enum ReadChange {
    /// x_before = x_after · scale + shift, channel by channel.
    Channels {
        /// One value a channel.
        scale: Vec<f64>,
        /// One value a channel; None where nothing is added.
        shift: Option<Vec<f64>>,
    },
    /// Each run of as many channels as the rotation is wide was rotated.
    Rotated(Arc<Rotation>),
    /// Rows were filled up with zeros, then rotated.
    Online {
        /// The rotation.
        rotation: Arc<Hadamard>,
        /// Channels there were.
        features: usize,
    },
}

impl ReadChange {
    /// Rows as they were read before; in f64, each value rounded once.
    ///
    /// # Panics
    /// If the rows have other features than the changed site reads.
    pub fn undo(&self, cpu: Cpu, x: &Rows) -> Rows {
        let features = match self {
            ReadChange::Online { features, .. } => *features,
            ReadChange::Channels { .. } | ReadChange::Rotated(_) => x.features(),
        };
        let mut before = Rows::for_overwrite(x.rows(), features);
        let rows = before.as_mut_slice().par_chunks_mut(features).zip(x.as_slice().par_chunks(x.features()));
        rows.for_each_init(Vec::new, |wide, (to, from)| {
            wide.clear();
            wide.extend(from.iter().map(|v| f64::from(*v)));
            self.undo_row(cpu, wide);
            to.iter_mut().zip(wide).for_each(|(to, from)| *to = *from as f32);
        });
        before
    }

    fn undo_row(&self, cpu: Cpu, row: &mut [f64]) {
        match self {
            ReadChange::Channels { scale, shift } => {
                assert_eq!(row.len(), scale.len(), "channels of a site");
                row.iter_mut().zip(scale).for_each(|(v, scale)| *v *= scale);
                if let Some(shift) = shift {
                    row.iter_mut().zip(shift).for_each(|(v, shift)| *v += shift);
                }
            }
            ReadChange::Rotated(rotation) => {
                row.chunks_exact_mut(rotation.width()).for_each(|one| rotation.rotate_back(cpu, one));
            }
            ReadChange::Online { rotation, .. } => rotation.inverse_row_f64(cpu, row),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::RotationKind;

    #[test]
    fn changes_are_taken_back() {
        let before: Vec<f64> = (0..24).map(|i| f64::from(i % 7) - 2.5).collect();
        let rows = |values: &[f64]| Rows::from_vec(values.iter().map(|v| *v as f32).collect(), values.len() / 2);
        let close = |found: &Rows| {
            assert_eq!(found.features(), 12);
            let pairs = found.as_slice().iter().zip(&before);
            pairs.for_each(|(a, b)| assert!((f64::from(*a) - b).abs() < 1e-5, "{a} {b}"));
        };
        for kind in [RotationKind::Hadamard, RotationKind::OnesPreserving] {
            let rotation = Arc::new(Rotation::new(kind, 4, 5, "test").unwrap());
            let mut after = before.clone();
            after.chunks_exact_mut(4).for_each(|one| rotation.rotate(Cpu::detect(), one));
            assert!(after.iter().zip(&before).any(|(a, b)| (a - b).abs() > 0.1));
            close(&ReadChange::Rotated(rotation).undo(Cpu::detect(), &rows(&after)));
        }
        let rotation = Arc::new(Hadamard::new(16).unwrap());
        let padded: Vec<f64> = before
            .chunks_exact(12)
            .flat_map(|row| {
                let mut wide = [row, &[0.0; 4]].concat();
                rotation.rotate_row_f64(Cpu::detect(), &mut wide);
                wide
            })
            .collect();
        close(&ReadChange::Online { rotation, features: 12 }.undo(Cpu::detect(), &rows(&padded)));
        let scale: Vec<f64> = (1..13).map(f64::from).collect();
        let shift: Vec<f64> = (0..12).map(|i| 0.5 * f64::from(i)).collect();
        let channel = |i: usize| i % 12;
        let after: Vec<f64> =
            before.iter().enumerate().map(|(i, v)| (v - shift[channel(i)]) / scale[channel(i)]).collect();
        close(&ReadChange::Channels { scale, shift: Some(shift) }.undo(Cpu::detect(), &rows(&after)));
    }
}
