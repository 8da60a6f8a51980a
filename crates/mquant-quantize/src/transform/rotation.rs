//! Rotations that are folded into weights.

use mquant_kernels::{Cpu, Hadamard, HadamardError};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// Which rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RotationKind {
    /// H·diag(±1)/√n: spreads outliers best; a LayerNorm does not commute with it.
    Hadamard,
    /// Cᵀ·diag(1, ±1, …)·C with C the orthonormal cosine transform: the vector of ones stays as it is, so that a LayerNorm
    /// without gain and bias commutes with it, and a rotated tower runs where its norms are still computed as published.
    OnesPreserving,
}

/// An orthogonal map of vectors, made from a seed.
#[derive(Clone, Debug)]
pub struct Rotation {
    signs: Vec<f64>,
    then: Then,
    /// A unit vector: at the end v ← v − 2·w·(w·v).
    reflection: Option<Vec<f64>>,
}

#[derive(Clone, Debug)]
enum Then {
    Hadamard(Hadamard),
    /// The cosine transform, n × n, around the signs.
    Cosine(Vec<f64>),
}

impl Rotation {
    /// A rotation of `width` features. What it is follows from kind, width, seed and label alone.
    ///
    /// # Errors
    /// If there is no Hadamard matrix of that size.
    pub fn new(kind: RotationKind, width: usize, seed: u64, label: &str) -> Result<Self, HadamardError> {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update(label.as_bytes());
        let mut random = ChaCha8Rng::from_seed(hash.finalize().into());
        let mut signs: Vec<f64> = (0..width).map(|_| if random.random::<bool>() { 1.0 } else { -1.0 }).collect();
        let then = match kind {
            RotationKind::Hadamard => Then::Hadamard(Hadamard::new(width)?),
            RotationKind::OnesPreserving => {
                if let Some(first) = signs.first_mut() {
                    *first = 1.0;
                }
                Then::Cosine(cosine(width))
            }
        };
        Ok(Self { signs, then, reflection: None })
    }

    /// The rotation followed by the reflection that brings the vector of ones back to its place: with w along Q·1 − 1, every
    /// vector that is no multiple of the ones is spread as before but for one direction.
    #[must_use]
    pub fn keeping_ones(self) -> Self {
        let mut w = vec![1.0; self.width()];
        let plain = Self { reflection: None, ..self };
        plain.rotate(Cpu::SCALAR, &mut w);
        w.iter_mut().for_each(|w| *w -= 1.0);
        let length = w.iter().map(|w| w * w).sum::<f64>().sqrt();
        // Nothing to do where they are in their place already.
        let reflection = (length > 1e-9).then(|| w.iter().map(|w| w / length).collect());
        Self { reflection, ..plain }
    }

    fn reflect(&self, v: &mut [f64]) {
        if let Some(w) = &self.reflection {
            let along = 2.0 * w.iter().zip(&*v).map(|(w, v)| w * v).sum::<f64>();
            v.iter_mut().zip(w).for_each(|(v, w)| *v -= along * w);
        }
    }

    /// Features it rotates.
    pub fn width(&self) -> usize {
        self.signs.len()
    }

    /// v ← Qᵀ·v: takes [`rotate`](Self::rotate) back.
    ///
    /// # Panics
    /// If the vector has other features.
    pub fn rotate_back(&self, cpu: Cpu, v: &mut [f64]) {
        match &self.then {
            Then::Hadamard(hadamard) => {
                self.reflect(v);
                hadamard.inverse_row_f64(cpu, v);
                v.iter_mut().zip(&self.signs).for_each(|(v, sign)| *v *= sign);
            }
            // Symmetric, so its own inverse.
            Then::Cosine(_) => self.rotate(cpu, v),
        }
    }

    /// v ← Q·v.
    ///
    /// # Panics
    /// If the vector has other features.
    pub fn rotate(&self, cpu: Cpu, v: &mut [f64]) {
        assert_eq!(v.len(), self.signs.len(), "features of a rotation");
        match &self.then {
            Then::Hadamard(hadamard) => {
                v.iter_mut().zip(&self.signs).for_each(|(v, sign)| *v *= sign);
                hadamard.rotate_row_f64(cpu, v);
                self.reflect(v);
            }
            Then::Cosine(c) => {
                let n = v.len();
                let mut spectrum: Vec<f64> =
                    c.chunks_exact(n).map(|row| row.iter().zip(&*v).map(|(c, v)| c * v).sum()).collect();
                spectrum.iter_mut().zip(&self.signs).for_each(|(s, sign)| *s *= sign);
                v.fill(0.0);
                for (row, s) in c.chunks_exact(n).zip(spectrum) {
                    v.iter_mut().zip(row).for_each(|(v, c)| *v += c * s);
                }
            }
        }
    }
}

/// Row k, column i: √(2/n)·cos(π·(i + ½)·k/n), the first row 1/√n.
fn cosine(n: usize) -> Vec<f64> {
    let row = |k: usize| {
        let size = if k == 0 { 1.0 / n as f64 } else { 2.0 / n as f64 };
        let step = std::f64::consts::PI * k as f64 / n as f64;
        (0..n).map(move |i| size.sqrt() * (step * (i as f64 + 0.5)).cos())
    };
    (0..n).flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations_keep_lengths_and_angles() {
        for kind in [RotationKind::Hadamard, RotationKind::OnesPreserving] {
            for width in [4, 12, 60, 192] {
                let rotation = Rotation::new(kind, width, 3, "test").unwrap();
                let column = |i: usize| {
                    let mut v = vec![0.0; width];
                    v[i] = 1.0;
                    rotation.rotate(Cpu::detect(), &mut v);
                    v
                };
                let columns: Vec<_> = (0..width).map(column).collect();
                for (i, a) in columns.iter().enumerate() {
                    for (j, b) in columns.iter().enumerate() {
                        let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                        let expected = f64::from(u8::from(i == j));
                        assert!((dot - expected).abs() < 1e-12, "{kind:?} of {width}: columns {i}, {j} give {dot}");
                    }
                }
            }
        }
    }

    #[test]
    fn ones_stay_ones_where_they_should() {
        let mut ones = vec![1.0; 60];
        Rotation::new(RotationKind::OnesPreserving, 60, 1, "x").unwrap().rotate(Cpu::detect(), &mut ones);
        assert!(ones.iter().all(|v| (v - 1.0).abs() < 1e-13));
        Rotation::new(RotationKind::Hadamard, 60, 1, "x").unwrap().rotate(Cpu::detect(), &mut ones);
        assert!(ones.iter().any(|v| (v - 1.0).abs() > 0.5));
    }

    #[test]
    fn a_reflection_keeps_ones_and_lengths() {
        for width in [4, 60, 192] {
            let rotation = Rotation::new(RotationKind::Hadamard, width, 5, "x").unwrap().keeping_ones();
            let mut ones = vec![1.0; width];
            rotation.rotate(Cpu::detect(), &mut ones);
            assert!(ones.iter().all(|v| (v - 1.0).abs() < 1e-12));
            let before: Vec<f64> = (0..width).map(|i| f64::from((i * 7 % 11) as u32) - 4.0).collect();
            let mut v = before.clone();
            rotation.rotate(Cpu::detect(), &mut v);
            let length = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>();
            assert!((length(&v) - length(&before)).abs() < 1e-9 * length(&before));
            assert!(v.iter().zip(&before).any(|(a, b)| (a - b).abs() > 0.1));
            rotation.rotate_back(Cpu::detect(), &mut v);
            assert!(v.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-12));
        }
    }

    #[test]
    fn seed_and_label_decide() {
        let rotated = |seed, label| {
            let mut v: Vec<f64> = (0..28).map(f64::from).collect();
            Rotation::new(RotationKind::Hadamard, 28, seed, label).unwrap().rotate(Cpu::detect(), &mut v);
            v
        };
        assert_eq!(rotated(1, "a"), rotated(1, "a"));
        assert_ne!(rotated(1, "a"), rotated(2, "a"));
        assert_ne!(rotated(1, "a"), rotated(1, "b"));
        assert!(Rotation::new(RotationKind::Hadamard, 7, 0, "x").is_err());
    }
}
