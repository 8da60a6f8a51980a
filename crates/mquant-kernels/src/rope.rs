//! Rotary position embedding, in the half-split form: (x₁, x₂) → (x₁·cos − x₂·sin, x₂·cos + x₁·sin), where x₁ and x₂ are
//! the first and second half of a head.

use rayon::prelude::*;

/// Cosines and sines of each row's angles: `rows × half`, `half` being half the head dimension. What distinguishes M-RoPE
/// from 2-D RoPE is only which position an angle was made from, so one table serves both.
#[derive(Clone, Debug)]
pub struct RopeTable {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl RopeTable {
    /// A table of `rows × half` angles in radians, row-major.
    pub fn new(half: usize, angles: impl Iterator<Item = f32>) -> Self {
        let (cos, sin) = angles.map(|a| (a.cos(), a.sin())).unzip();
        Self { half, cos, sin }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.cos.len() / self.half
    }
}

/// Rotates every head of every row of `x`, `features` values each, in place.
pub(crate) fn rotate(x: &mut [f32], features: usize, table: &RopeTable) {
    let half = table.half;
    assert_eq!(x.len() / features, table.rows(), "rows and angles");
    assert!(features.is_multiple_of(2 * half), "heads of {} in rows of {features}", 2 * half);
    let rows = x.par_chunks_mut(features).with_min_len(8);
    rows.zip(table.cos.par_chunks(half)).zip(table.sin.par_chunks(half)).for_each(|((row, cos), sin)| {
        for head in row.chunks_exact_mut(2 * half) {
            let (a, b) = head.split_at_mut(half);
            for (((a, b), c), s) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_swaps_the_halves() {
        let table = RopeTable::new(2, [0.0, std::f32::consts::FRAC_PI_2].into_iter());
        let mut x = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        rotate(&mut x, 8, &table);
        let want = [1.0, -4.0, 3.0, 2.0, 5.0, -8.0, 7.0, 6.0];
        assert!(x.iter().zip(want).all(|(x, w)| (x - w).abs() < 1e-6), "{x:?}");
    }
}
