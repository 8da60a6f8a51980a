//! Activations in 8-bit codes, with one scale a row.

use std::ops::Range;

use rayon::prelude::*;

use crate::buffers::Buffer;
use crate::features::{Cpu, per_level};

/// Codes beyond the last feature are 0, up to a multiple of 64 that is odd: rows of a multiple of 4 KiB would share cache sets.
const LINE: usize = 64;

/// `x[i][k] ≈ code[i][k] · scale[i]`, codes −127…127 in 8 bits. Per-tensor, per-modality and per-token quantisation differ
/// only in how the scales came about (MQuant, section 3.1: modality enters as a row factor).
#[derive(Clone, Debug, PartialEq)]
pub struct QuantRows {
    codes: Buffer<i8>,
    features: usize,
    stride: usize,
    scales: Buffer<f32>,
    sums: Buffer<i32>,
    outliers: Option<Box<QuantRows>>,
    branches: Vec<BranchCodes>,
}

/// The first half of a branch: codes for all rows, of which only some are the branch's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BranchCodes {
    /// Rows × rank.
    pub(crate) codes: QuantRows,
    /// Ascending ranges of the branch's rows.
    pub(crate) rows: Vec<Range<usize>>,
}

impl BranchCodes {
    /// Whether some of `rows` are the branch's.
    pub(crate) fn has_some(&self, rows: &Range<usize>) -> bool {
        self.rows.iter().any(|own| own.start < rows.end && rows.start < own.end)
    }
}

/// One row to be filled in.
pub(crate) struct RowCodes<'a> {
    /// As many as the row has features.
    pub(crate) codes: &'a mut [i8],
    pub(crate) scale: &'a mut f32,
    /// The sum of the codes.
    pub(crate) sum: &'a mut i32,
}

/// Wraps, as products do: what is taken back from a product by it is right as long as the product itself fits 32 bits. A
/// sum that could panic would be taken code by code.
#[inline(always)]
fn sum_body(codes: &[i8]) -> i32 {
    codes.iter().fold(0, |sum, code| sum.wrapping_add(i32::from(*code)))
}

#[inline(always)]
fn group_sums_body(codes: &[i8], group: usize, sums: &mut [i32]) {
    sums.iter_mut().zip(codes.chunks(group)).for_each(|(sum, codes)| *sum = sum_body(codes));
}

per_level! { fn sum_of(codes: &[i8]) -> i32 = sum_body }
per_level! { fn group_sums_of(codes: &[i8], group: usize, sums: &mut [i32]) = group_sums_body }

/// Sums of the codes of every row, one for each group of features.
pub(crate) struct GroupSums {
    group: usize,
    groups: usize,
    sums: Buffer<i32>,
}

impl GroupSums {
    /// Features of a group; the last of a row may have fewer.
    pub(crate) fn group(&self) -> usize {
        self.group
    }

    /// The sums of a row.
    pub(crate) fn row(&self, i: usize) -> &[i32] {
        &self.sums[i * self.groups..][..self.groups]
    }
}

/// Codes from one row to the next.
fn stride_of(features: usize) -> usize {
    (features.div_ceil(LINE) | 1) * LINE
}

impl QuantRows {
    /// `rows × features` codes of 0 with scales of 0.
    pub fn zeros(rows: usize, features: usize) -> Self {
        let stride = stride_of(features);
        let (scales, sums) = (Buffer::zeros(rows), Buffer::zeros(rows));
        Self {
            codes: Buffer::zeros(rows * stride),
            features,
            stride,
            scales,
            sums,
            outliers: None,
            branches: Vec::new(),
        }
    }

    /// `rows × features` arbitrary codes, scales and sums, all to be written before they are read. Padding is 0.
    pub fn for_overwrite(rows: usize, features: usize) -> Self {
        let stride = stride_of(features);
        let mut codes = Buffer::for_overwrite(rows * stride);
        codes.chunks_exact_mut(stride).for_each(|row| row[features..].fill(0));
        let (scales, sums) = (Buffer::for_overwrite(rows), Buffer::for_overwrite(rows));
        Self { codes, features, stride, scales, sums, outliers: None, branches: Vec::new() }
    }

    /// Takes row-major codes and one scale for each row.
    ///
    /// # Panics
    /// If the lengths disagree, or `features` is 0.
    pub fn from_codes(codes: &[i8], features: usize, scales: Vec<f32>) -> Self {
        let rows = scales.len();
        assert!(features > 0 && codes.len() == features * rows, "{} codes in {rows} rows of {features}", codes.len());
        let mut rows = Self::for_overwrite(scales.len(), features);
        let (to, stride, _, sums) = rows.parts_mut();
        for ((to, codes), sum) in to.chunks_exact_mut(stride).zip(codes.chunks_exact(features)).zip(sums) {
            to[..features].copy_from_slice(codes);
            *sum = sum_body(codes);
        }
        rows.scales = Buffer::from_vec(scales);
        rows
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.scales.len()
    }

    /// Codes in a row.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Codes of row `i`.
    pub fn row(&self, i: usize) -> &[i8] {
        &self.codes[i * self.stride..][..self.features]
    }

    /// One scale for each row.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The sum of each row's codes.
    pub fn sums(&self) -> &[i32] {
        &self.sums
    }

    /// The same rows with those of the channels that were split off: 0 here, and in codes of their own there.
    ///
    /// # Panics
    /// If there are not as many rows.
    pub fn with_outliers(self, outliers: QuantRows) -> Self {
        assert_eq!(outliers.rows(), self.rows(), "rows and their outlier columns");
        Self { outliers: Some(Box::new(outliers)), ..self }
    }

    /// The channels that were split off, if any were: as many rows, with scales of their own.
    pub fn outliers(&self) -> Option<&QuantRows> {
        self.outliers.as_deref()
    }

    /// First halves of the rows' branches.
    pub(crate) fn branches(&self) -> &[BranchCodes] {
        &self.branches
    }

    pub(crate) fn set_branches(&mut self, branches: Vec<BranchCodes>) {
        self.branches = branches;
    }

    /// Codes from row `i` on, with their padding; rows begin every [`stride`](Self::stride) codes.
    #[expect(clippy::wrong_self_convention, reason = "it says where the codes begin, it converts nothing")]
    pub(crate) fn from_row(&self, i: usize) -> &[i8] {
        &self.codes[i * self.stride..]
    }

    /// Codes from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Computes the sum of each row's codes, after codes were written.
    pub(crate) fn update_row_sums(&mut self, cpu: Cpu) {
        let features = self.features;
        let rows = self.codes.par_chunks(self.stride).zip(&mut *self.sums).with_min_len(16);
        rows.for_each(|(codes, sum)| *sum = sum_of(cpu, &codes[..features]));
    }

    /// Sums of each row's codes over every `group` features.
    pub(crate) fn group_sums(&self, cpu: Cpu, group: usize) -> GroupSums {
        let groups = self.features.div_ceil(group);
        let mut sums = Buffer::for_overwrite(self.rows() * groups);
        let rows = self.codes.par_chunks(self.stride).zip(sums.par_chunks_mut(groups)).with_min_len(16);
        rows.for_each(|(codes, sums)| group_sums_of(cpu, &codes[..self.features], group, sums));
        GroupSums { group, groups, sums }
    }

    /// Every row, to be filled in.
    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = RowCodes<'_>> {
        let Self { codes, features, stride, scales, sums, .. } = self;
        let rows = codes.chunks_mut(*stride).zip(&mut **scales).zip(&mut **sums);
        rows.map(|((codes, scale), sum)| RowCodes { codes: &mut codes[..*features], scale, sum })
    }

    /// The same for several threads.
    pub(crate) fn par_rows_mut(&mut self) -> impl IndexedParallelIterator<Item = RowCodes<'_>> {
        let Self { codes, features, stride, scales, sums, .. } = self;
        let rows = codes.par_chunks_mut(*stride).zip(&mut **scales).zip(&mut **sums);
        rows.map(|((codes, scale), sum)| RowCodes { codes: &mut codes[..*features], scale, sum })
    }

    /// Every row, to be filled in: codes with their padding, codes from one row to the next, scales, sums. Padding stays 0.
    pub(crate) fn parts_mut(&mut self) -> (&mut [i8], usize, &mut [f32], &mut [i32]) {
        (&mut self.codes, self.stride, &mut self.scales, &mut self.sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_zero_whatever_lay_there_before() {
        for features in [1usize, 63, 64, 65, 100, 128, 1000] {
            let mut dirty = QuantRows::zeros(5, features + 1);
            dirty.parts_mut().0.fill(-1);
            drop(dirty);
            let rows = QuantRows::for_overwrite(5, features);
            let stride = rows.stride();
            assert!(stride >= features && stride.is_multiple_of(LINE) && !stride.is_multiple_of(2 * LINE));
            assert!(rows.codes.chunks_exact(stride).all(|row| row[features..].iter().all(|c| *c == 0)));
            assert!(QuantRows::zeros(5, features).codes.iter().all(|c| *c == 0));
        }
    }

    #[test]
    fn codes_are_laid_out_in_rows_with_their_sums() {
        let codes: Vec<i8> = (0..3 * 70).map(|i| (i % 255 - 127) as i8).collect();
        let rows = QuantRows::from_codes(&codes, 70, vec![0.5, 1.0, 2.0]);
        assert_eq!((rows.rows(), rows.features(), rows.scales()), (3, 70, &[0.5, 1.0, 2.0][..]));
        for (i, want) in codes.chunks_exact(70).enumerate() {
            assert_eq!(rows.row(i), want);
            assert_eq!(&rows.from_row(i)[..70], want);
            assert_eq!(i64::from(rows.sums()[i]), want.iter().map(|c| i64::from(*c)).sum::<i64>());
        }
        for cpu in Cpu::levels() {
            let sums = rows.group_sums(cpu, 32);
            for (i, row) in codes.chunks_exact(70).enumerate() {
                let want: Vec<i32> = row.chunks(32).map(|codes| codes.iter().map(|c| i32::from(*c)).sum()).collect();
                assert_eq!((sums.group(), sums.row(i)), (32, &want[..]));
            }
        }
    }
}
