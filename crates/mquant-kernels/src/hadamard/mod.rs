//! Rotation of rows by Hadamard matrices: orthogonal, made of ±1, computed where the row lies (MQuant's R4, the online
//! rotation before a quantised product).
//!
//! y = (H_K ⊗ … ⊗ H_2^m)·x / √n for each block of n consecutive values. `orders` says which H_K there are; a
//! bundle names a rotation by [`Hadamard::parts`], so the matrix of an order never changes. Additions have a fixed order,
//! nothing is fused and 1/√n is multiplied last: every level gives the same bits.

mod field;
mod orders;
mod plan;
mod vector;
mod dense;
mod transform;
mod f64_rows;

pub(crate) use transform::KERNELS;

use std::sync::Arc;

use thiserror::Error;

use crate::features::Cpu;
use dense::{Dense, Direction};

/// The largest order that is multiplied out instead of being taken apart.
pub(crate) const LARGEST_DENSE: usize = 256;
/// Features that are padded at most: beyond, looking for an order would take noticeable time.
const MAX_PADDED: usize = 1 << 20;

/// There is no such rotation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HadamardError {
    /// No product of known orders is as large.
    #[error(
        "no Hadamard matrix of order {order} is known here: an order is a power of two times 12, 20, 28, 36 and the like; \
         blocks of {power_of_two}, the largest power of two in it, always work"
    )]
    Order {
        /// The order asked for.
        order: usize,
        /// Its largest power of two.
        power_of_two: usize,
    },
    /// The features cannot be cut into such blocks.
    #[error("{features} features cannot be rotated in blocks of {block}")]
    Blocks {
        /// The features asked for.
        features: usize,
        /// The size of a block asked for.
        block: usize,
    },
    /// A factor of a stored rotation is neither 2^m nor an order that is multiplied out, or 2^m is not the last.
    #[error("{factor} cannot be factor {at} of a rotation: expected a known order, or a power of two at the end")]
    Factor {
        /// The factor found.
        factor: usize,
        /// Its place, from 0.
        at: usize,
    },
    /// There is nothing to rotate, or more than there can be.
    #[error("a rotation of {blocks} blocks with the factors {factors:?} has no size")]
    Size {
        /// The blocks asked for.
        blocks: usize,
        /// The factors asked for, the first few.
        factors: Vec<usize>,
    },
}

/// An orthogonal rotation of rows made of ±1 entries: equal blocks, each a Kronecker product. Cloning copies no matrix.
#[derive(Clone, Debug)]
pub struct Hadamard {
    blocks: usize,
    /// Values of a block.
    block: usize,
    /// Factors that are multiplied out, outermost first.
    dense: Arc<[Dense]>,
    /// The innermost factor, a power of two.
    power_of_two: usize,
    /// 1/√block.
    norm: f32,
}

impl PartialEq for Hadamard {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Hadamard {
    /// One rotation of all features, by the cheapest product of known orders.
    ///
    /// # Errors
    /// If there is none, as for odd numbers.
    pub fn new(features: usize) -> Result<Self, HadamardError> {
        Self::blocks(features, features)
    }

    /// A rotation of each `block` consecutive features.
    ///
    /// # Errors
    /// If the blocks do not fill the features, or there is no rotation of that size.
    pub fn blocks(features: usize, block: usize) -> Result<Self, HadamardError> {
        if block == 0 || features == 0 || !features.is_multiple_of(block) {
            return Err(HadamardError::Blocks { features, block });
        }
        let power_of_two = 1 << block.trailing_zeros();
        let factors = plan::cheapest(block).ok_or(HadamardError::Order { order: block, power_of_two })?;
        Self::from_parts(features / block, &factors)
    }

    /// A rotation in blocks of the largest power of two that divides the features; of odd features, none but ±1.
    ///
    /// # Errors
    /// If there are no features.
    pub fn largest_power_of_two(features: usize) -> Result<Self, HadamardError> {
        if features == 0 {
            return Err(HadamardError::Blocks { features, block: 1 });
        }
        Self::blocks(features, 1 << features.trailing_zeros())
    }

    /// The smallest full-width rotation of at least so many features: a row is filled up with zeros before it is rotated, and
    /// the weight has as many more inputs. At most 10 % more from 36 features on.
    ///
    /// Widths of published models: 18944, 29568 and 4864 have rotations of their own; 4304 is padded to 4320, 3420 to 3440.
    ///
    /// # Errors
    /// If there are no features, or more than 1 048 576.
    pub fn padded(features: usize) -> Result<Self, HadamardError> {
        if features == 0 || features > MAX_PADDED {
            return Err(HadamardError::Blocks { features, block: features });
        }
        let sizes = features..=features.next_power_of_two();
        let factors = sizes.into_iter().find_map(plan::cheapest).expect("every power of two has a rotation");
        Self::from_parts(1, &factors)
    }

    /// The rotation that [`parts`](Self::parts) describes.
    ///
    /// # Errors
    /// If a factor is unknown or out of place, or the size is 0 or does not fit memory.
    pub fn from_parts(blocks: usize, factors: &[usize]) -> Result<Self, HadamardError> {
        let size = || HadamardError::Size { blocks, factors: factors.iter().copied().take(8).collect() };
        let block = factors.iter().try_fold(1usize, |all, factor| all.checked_mul(*factor)).ok_or_else(size)?;
        let bytes = block.checked_mul(blocks).and_then(|n| n.checked_mul(size_of::<f32>())).ok_or_else(size)?;
        if bytes == 0 || bytes > isize::MAX as usize {
            return Err(size());
        }
        let mut dense = Vec::new();
        let mut power_of_two = 1;
        for (at, factor) in factors.iter().copied().enumerate() {
            if factor.is_power_of_two() && at + 1 == factors.len() {
                power_of_two = factor;
            } else {
                let matrix = orders::matrix(factor).ok_or(HadamardError::Factor { factor, at })?;
                dense.push(Dense::new(&matrix));
            }
        }
        let norm = (1.0 / (block as f64).sqrt()) as f32;
        Ok(Self { blocks, block, dense: dense.into(), power_of_two, norm })
    }

    /// What names this rotation: the number of blocks, and the orders whose Kronecker product each block is, outermost
    /// first; a power of two, if any, comes last.
    pub fn parts(&self) -> (usize, Vec<usize>) {
        let mut factors: Vec<usize> = self.dense.iter().map(Dense::order).collect();
        if self.power_of_two > 1 || factors.is_empty() {
            factors.push(self.power_of_two);
        }
        (self.blocks, factors)
    }

    /// Features it rotates.
    pub fn features(&self) -> usize {
        self.blocks * self.block
    }

    /// row ← H·row / √block for each block, with the instructions of `cpu`.
    ///
    /// # Panics
    /// If the row has other features.
    pub fn rotate_row(&self, cpu: Cpu, row: &mut [f32]) {
        self.apply(cpu, row, Direction::Forward);
    }

    /// row ← Hᵀ·row / √block for each block: takes [`rotate_row`](Self::rotate_row) back.
    ///
    /// # Panics
    /// If the row has other features.
    pub fn inverse_row(&self, cpu: Cpu, row: &mut [f32]) {
        self.apply(cpu, row, Direction::Inverse);
    }

    /// What [`rotate_row`](Self::rotate_row) does, in f64: the same matrix, for values that are kept.
    ///
    /// # Panics
    /// If the row has other features.
    pub fn rotate_row_f64(&self, cpu: Cpu, row: &mut [f64]) {
        self.apply_f64(cpu, row, Direction::Forward);
    }

    /// What [`inverse_row`](Self::inverse_row) does, in f64.
    ///
    /// # Panics
    /// If the row has other features.
    pub fn inverse_row_f64(&self, cpu: Cpu, row: &mut [f64]) {
        self.apply_f64(cpu, row, Direction::Inverse);
    }

    fn apply_f64(&self, cpu: Cpu, row: &mut [f64], direction: Direction) {
        assert_eq!(row.len(), self.features(), "features of a row and its rotation");
        f64_rows::apply(cpu, row, self, direction);
    }

    fn apply(&self, cpu: Cpu, row: &mut [f32], direction: Direction) {
        assert_eq!(row.len(), self.features(), "features of a row and its rotation");
        transform::apply(cpu, row, self, direction);
    }
}

#[cfg(test)]
mod tests;
