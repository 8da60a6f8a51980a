//! Activations in 8-bit codes, with one scale a row.

use rayon::prelude::*;

/// Codes beyond the last feature are 0, up to a multiple of 64 that is odd: rows of a multiple of 4 KiB would share cache sets.
const LINE: usize = 64;

/// x[i][k] ≈ code[i][k] · scale[i], codes −127…127 in 8 bits. Per-tensor, per-modality and per-token quantisation differ
/// only in how the scales came about (MQuant, section 3.1: modality enters as a row factor).
#[derive(Clone, Debug, PartialEq)]
pub struct QuantRows {
    codes: Vec<i8>,
    features: usize,
    stride: usize,
    scales: Vec<f32>,
    sums: Vec<i32>,
}

/// A row of [`QuantRows`] while it is made.
pub(crate) struct QuantRow<'a> {
    pub(crate) codes: &'a mut [i8],
    pub(crate) scale: &'a mut f32,
    pub(crate) sum: &'a mut i32,
}

impl QuantRows {
    /// `rows × features` codes of 0 with scales of 0.
    pub fn zeros(rows: usize, features: usize) -> Self {
        let stride = (features.div_ceil(LINE) | 1) * LINE;
        Self { codes: vec![0; rows * stride], features, stride, scales: vec![0.0; rows], sums: vec![0; rows] }
    }

    /// Takes row-major codes and one scale for each row.
    ///
    /// # Panics
    /// If the lengths disagree.
    pub fn from_codes(codes: &[i8], features: usize, scales: Vec<f32>) -> Self {
        assert_eq!(codes.len(), features * scales.len(), "codes of {} rows of {features}", scales.len());
        let mut rows = Self::zeros(scales.len(), features);
        for (row, codes) in rows.rows_mut().zip(codes.chunks_exact(features)) {
            row.codes.copy_from_slice(codes);
            *row.sum = codes.iter().map(|c| i32::from(*c)).sum();
        }
        rows.scales = scales;
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

    /// Codes from row `i` on, with their padding; rows begin every [`stride`](Self::stride) codes.
    pub(crate) fn from_row(&self, i: usize) -> &[i8] {
        &self.codes[i * self.stride..]
    }

    /// Codes from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Every row, to be filled in. Padding stays 0.
    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = QuantRow<'_>> {
        let features = self.features;
        let codes = self.codes.chunks_exact_mut(self.stride).map(move |row| &mut row[..features]);
        let rest = self.scales.iter_mut().zip(&mut self.sums);
        codes.zip(rest).map(|(codes, (scale, sum))| QuantRow { codes, scale, sum })
    }

    /// Computes the sum of each row's codes, after codes were written.
    pub(crate) fn add_up(&mut self) {
        let features = self.features;
        let rows = self.codes.par_chunks(self.stride).zip(&mut self.sums).with_min_len(16);
        rows.for_each(|(codes, sum)| *sum = codes[..features].iter().map(|c| i32::from(*c)).sum());
    }

    /// The same rows for many threads: codes with their padding, scale, sum.
    pub(crate) fn parts_mut(&mut self) -> (&mut [i8], usize, &mut [f32], &mut [i32]) {
        (&mut self.codes, self.stride, &mut self.scales, &mut self.sums)
    }
}
