//! Rotary position embedding, in the half-split form: (x₁, x₂) → (x₁·cos − x₂·sin, x₂·cos + x₁·sin), where x₁ and x₂ are
//! the first and second half of a head.
//!
//! Nothing is fused, so every level gives the same bits.

use std::ops::Range;

use rayon::prelude::*;

use crate::features::{Cpu, per_level};

/// Cosines and sines of each row's angles: `rows × half`, `half` being half the head dimension. What distinguishes M-RoPE
/// from 2-D RoPE is only which position an angle was made from, so one table serves both.
#[derive(Clone, Debug, Default)]
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

    /// Whether it has no angles: rows stay as they are.
    pub fn is_empty(&self) -> bool {
        self.half == 0
    }

    /// The angles of some rows.
    ///
    /// # Panics
    /// If it has angles, but not of these rows.
    pub fn range(&self, rows: Range<usize>) -> Self {
        let values = rows.start * self.half..rows.end * self.half;
        Self { half: self.half, cos: self.cos[values.clone()].to_vec(), sin: self.sin[values].to_vec() }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.cos.len().checked_div(self.half).unwrap_or(0)
    }

    /// Angles of a row: half the features of a head.
    pub fn half(&self) -> usize {
        self.half
    }

    /// Cosines of the angles, rows × half.
    pub fn cos(&self) -> &[f32] {
        &self.cos
    }

    /// Sines of the angles, rows × half.
    pub fn sin(&self) -> &[f32] {
        &self.sin
    }
}

/// Values that a task takes at least: enough to outweigh its start.
const TASK_VALUES: usize = 1 << 15;

/// Rotates every head of every row of `x`, `features` values each, in place; by a table without angles not at all.
///
/// # Panics
/// If there is not one row of angles for each row, or a row is not whole heads.
pub(crate) fn rotate(cpu: Cpu, x: &mut [f32], features: usize, table: &RopeTable) {
    let half = table.half;
    if table.is_empty() {
        return;
    }
    assert_eq!(x.len() / features, table.rows(), "rows and angles");
    assert!(features.is_multiple_of(2 * half), "heads of {} in rows of {features}", 2 * half);
    let rows = (TASK_VALUES / features).max(1);
    let run = |((x, cos), sin): ((&mut [f32], &[f32]), &[f32])| {
        rotate_rows(cpu, x, features, Angles { half, cos, sin });
    };
    if x.len() <= rows * features {
        run(((x, &table.cos), &table.sin));
        return;
    }
    let (cos, sin) = (table.cos.par_chunks(rows * half), table.sin.par_chunks(rows * half));
    x.par_chunks_mut(rows * features).zip(cos).zip(sin).for_each(run);
}

/// Cosines and sines of some rows.
struct Angles<'a> {
    half: usize,
    cos: &'a [f32],
    sin: &'a [f32],
}

#[inline(always)]
fn rotate_rows_body(x: &mut [f32], features: usize, angles: Angles<'_>) {
    let half = angles.half;
    let angles = angles.cos.chunks_exact(half).zip(angles.sin.chunks_exact(half));
    for (row, (cos, sin)) in x.chunks_exact_mut(features).zip(angles) {
        for head in row.chunks_exact_mut(2 * half) {
            let (a, b) = head.split_at_mut(half);
            for (((a, b), c), s) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
            }
        }
    }
}

per_level! { fn rotate_rows(x: &mut [f32], features: usize, angles: Angles<'_>) = rotate_rows_body }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_swaps_the_halves() {
        for cpu in Cpu::levels() {
            let table = RopeTable::new(2, [0.0, std::f32::consts::FRAC_PI_2].into_iter());
            let mut x = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
            rotate(cpu, &mut x, 8, &table);
            let want = [1.0, -4.0, 3.0, 2.0, 5.0, -8.0, 7.0, 6.0];
            assert!(x.iter().zip(want).all(|(x, w)| (x - w).abs() < 1e-6), "{x:?}");
        }
    }

    #[test]
    fn every_level_gives_the_bits_of_the_equation() {
        for (rows, heads, half) in [(1, 3, 40), (5, 1, 1), (700, 2, 32), (300, 12, 20), (90, 7, 64)] {
            let angle = |row: usize, i: usize| (row * 31 + i) as f32 * 0.37;
            let table = RopeTable::new(half, (0..rows).flat_map(|r| (0..half).map(move |i| angle(r, i))));
            let features = heads * 2 * half;
            let x: Vec<f32> = (0..rows * features).map(|i| ((i * 7919) % 1013) as f32 / 500.0 - 1.0).collect();
            let mut want = x.clone();
            for row in 0..rows {
                for head in 0..heads {
                    for i in 0..half {
                        let at = row * features + head * 2 * half + i;
                        let (cos, sin) = (angle(row, i).cos(), angle(row, i).sin());
                        want[at] = x[at] * cos - x[at + half] * sin;
                        want[at + half] = x[at + half] * cos + x[at] * sin;
                    }
                }
            }
            for cpu in Cpu::levels() {
                let mut y = x.clone();
                rotate(cpu, &mut y, features, &table);
                assert!(y == want, "{rows} rows of {heads} heads of {}, {}", 2 * half, cpu.level());
            }
        }
    }
}
