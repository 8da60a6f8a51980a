//! The same rotations in f64: for weights, which are rotated once and rounded after.
//!
//! Additions have a fixed order and every level gives the same bits; speed comes from values that lie side by side.

use super::Hadamard;
use super::dense::{Dense, Direction};
use crate::features::per_level;

per_level! {
    /// row ← H·row / √block or Hᵀ·row / √block for each block.
    pub(super) fn apply(row: &mut [f64], rotation: &Hadamard, direction: Direction) = body
}

#[inline(always)]
fn body(row: &mut [f64], rotation: &Hadamard, direction: Direction) {
    sylvester(row, rotation.power_of_two);
    // Values that meet lie `inner` apart.
    let mut inner = rotation.power_of_two;
    for matrix in rotation.dense.iter().rev() {
        multiply(row, matrix, inner, direction);
        inner *= matrix.order();
    }
    let norm = 1.0 / (rotation.block as f64).sqrt();
    row.iter_mut().for_each(|v| *v *= norm);
}

/// Multiplies each `size` consecutive values, a power of two, by Sylvester's matrix.
#[inline(always)]
fn sylvester(row: &mut [f64], size: usize) {
    let mut apart = 1;
    while apart < size {
        for pair in row.chunks_exact_mut(2 * apart) {
            let (low, high) = pair.split_at_mut(apart);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        apart *= 2;
    }
}

/// Multiplies all columns of `matrix.order()` values that lie `inner` apart: y[i] = Σ_j ±x[j], j ascending.
#[inline(always)]
fn multiply(row: &mut [f64], matrix: &Dense, inner: usize, direction: Direction) {
    let mut x = vec![0.0; matrix.order() * inner];
    for columns in row.chunks_exact_mut(x.len()) {
        x.copy_from_slice(columns);
        for (i, y) in columns.chunks_exact_mut(inner).enumerate() {
            y.fill(0.0);
            for (j, x) in x.chunks_exact(inner).enumerate() {
                if matrix.is_negative(i, j, direction) {
                    y.iter_mut().zip(x).for_each(|(y, x)| *y -= x);
                } else {
                    y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
                }
            }
        }
    }
}
