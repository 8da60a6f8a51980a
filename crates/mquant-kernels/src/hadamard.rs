//! Online Hadamard rotation of rows.

use crate::features::Cpu;

/// An orthogonal rotation of rows made of ±1 entries.
#[derive(Clone, Debug)]
pub struct Hadamard {
    features: usize,
}

impl Hadamard {
    /// Features it rotates.
    pub fn features(&self) -> usize {
        self.features
    }

    pub(crate) fn rotate(&self, _cpu: Cpu, _row: &mut [f32]) {}
}
