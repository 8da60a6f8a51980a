//! GPTQ: columns are rounded one after another, each from the value that best makes up for the errors of those before
//! (see `factor` for the equations; MQuant, code of the weight quantiser). Scales are chosen from the original weights,
//! for each output or static group, so that the order of the columns leaves no trace in the result.
//!
//! Outputs are independent of each other. Panels of them are worked on each by one thread: blocks of columns take the
//! errors of all columns before as one matrix product, and those within the block column by column.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use mquant_kernels::{Cpu, IntWeight, Matrix, quantize_scalar};
use rayon::prelude::*;

use super::clip::code_range;
use super::error::Count;
use super::factor::DampingOutcome;
use super::layout::{Layout, read_output};
use super::rtn::rtn_but;
use super::{Clip, HessianFactor, IntFormat, QuantizeError};

/// Outputs that are worked on at once; twice as many rows fill the library's tiles.
const PANEL: usize = 96;
/// Columns of a block.
const BLOCK: usize = 128;
/// Share of the error by which GPTQ must be better than rounding to nearest: more than f32 sums are off by.
const MARGIN: f64 = 1e-6;

/// Quantises `weight` so that the error of its outputs under the Hessian is small. An output whose error (w−ŵ)·H·(w−ŵ)ᵀ
/// would be larger than that of rounding to nearest with the same scales gets the codes of the latter. Dead and excluded
/// columns get codes of 0 and have no part in the scales.
///
/// The same bytes with any number of threads and any `cpu`.
///
/// # Errors
/// A value that is not finite, a factor of other inputs than the weight's, or a shape or group that the kernels have not.
pub fn gptq(
    cpu: Cpu,
    weight: &Matrix,
    factor: &HessianFactor,
    format: IntFormat,
    clip: Clip,
) -> Result<IntWeight, QuantizeError> {
    let (expected, found) = (Count::Inputs(weight.cols()), Count::Inputs(factor.columns()));
    if expected != found {
        return Err(QuantizeError::Moments { expected, found });
    }
    if let DampingOutcome::Nearest(_) = factor.rung() {
        return rtn_but(cpu, weight, format, clip, factor.zeroed());
    }
    let layout = Layout::new(weight, format)?;
    let (mut codes, mut scales) = layout.buffers();
    let panels = codes.par_chunks_mut(PANEL * layout.row_bytes).zip(scales.par_chunks_mut(PANEL * layout.groups));
    panels.enumerate().try_for_each(|(i, (codes, scales))| {
        let rows = scales.len() / layout.groups;
        let mut values = vec![0f32; rows * weight.cols()];
        for (row, values) in values.chunks_exact_mut(weight.cols()).enumerate() {
            read_output(weight, i * PANEL + row, values)?;
            factor.zeroed().iter().for_each(|column| values[*column] = 0.0);
            let scales = &mut scales[row * layout.groups..][..layout.groups];
            for (values, scale) in values.chunks(layout.group_cols).zip(scales) {
                *scale = clip.scale(cpu, format.bits, values);
            }
        }
        let mut panel = Panel::new(factor, format, layout.group_cols, &values, scales);
        let mut end = factor.order.len();
        while end > 0 {
            let start = end.saturating_sub(BLOCK);
            panel.block(start..end);
            end = start;
        }
        let mut row_codes = vec![0i8; weight.cols()];
        for (row, bytes) in codes.chunks_exact_mut(layout.row_bytes).enumerate() {
            panel.read_codes(row, &mut row_codes);
            layout.store(&row_codes, bytes);
        }
        Ok::<(), QuantizeError>(())
    })?;
    layout.finish((codes, scales))
}

/// Outputs at work. Every column holds their corrected rounding first and then their rounding to nearest, so that the
/// errors of both come out of the same products.
struct Panel<'a> {
    factor: &'a HessianFactor,
    rows: usize,
    least: f32,
    most: f32,
    /// Original weights, position by position.
    weights: Vec<f32>,
    /// Group of each position.
    groups: Vec<usize>,
    /// Scales and their reciprocals, group by group.
    scales: Vec<f32>,
    inverses: Vec<f32>,
    /// w − ŵ and codes, position by position, both ways.
    errors: Vec<f32>,
    codes: Vec<i8>,
    /// What the columns of a block are rounded from.
    targets: Vec<f32>,
    /// Squared errors of the outputs under the damped Hessian, both ways.
    losses: Vec<f64>,
}

impl<'a> Panel<'a> {
    /// `values` is rows × columns, `scales` rows × groups.
    fn new(factor: &'a HessianFactor, format: IntFormat, group_cols: usize, values: &[f32], scales: &[f32]) -> Self {
        let (n, cols) = (factor.order.len(), factor.columns());
        let rows = values.len() / cols;
        let groups = scales.len() / rows;
        let (least, most) = code_range(format.bits);
        let scales: Vec<f32> = (0..groups * rows).map(|i| scales[i % rows * groups + i / rows]).collect();
        let inverses: Vec<f32> = scales.iter().map(|scale| 1.0 / scale).collect();
        let mut panel = Self {
            factor,
            rows,
            least,
            most,
            weights: vec![0.0; n * rows],
            groups: factor.order.iter().map(|column| column / group_cols).collect(),
            scales,
            inverses,
            errors: vec![0.0; n * 2 * rows],
            codes: vec![0; n * 2 * rows],
            targets: vec![0.0; BLOCK.min(n) * 2 * rows],
            losses: vec![0.0; 2 * rows],
        };
        for (k, column) in factor.order.iter().enumerate() {
            let (scales, at) = (panel.groups[k] * rows..(panel.groups[k] + 1) * rows, k * 2 * rows + rows);
            for (row, scale) in scales.enumerate() {
                let value = values[row * cols + column];
                let code = quantize_scalar(value, panel.inverses[scale], least, most);
                panel.weights[k * rows + row] = value;
                panel.codes[at + row] = code;
                panel.errors[at + row] = value - f32::from(code) * panel.scales[scale];
            }
        }
        panel
    }

    /// Rounds the positions of a block, after all positions beyond it.
    fn block(&mut self, block: Range<usize>) {
        let (rows, both, n) = (self.rows, 2 * self.rows, self.factor.order.len());
        let targets = &mut self.targets[..block.len() * both];
        for (k, target) in block.clone().zip(targets.chunks_exact_mut(both)) {
            target[..rows].copy_from_slice(&self.weights[k * rows..][..rows]);
            target[rows..].copy_from_slice(&self.errors[k * both + rows..][..rows]);
        }
        if block.end < n {
            let out = MatMut::from_column_major_slice_mut(&mut *targets, both, block.len());
            let errors = MatRef::from_column_major_slice(&self.errors[block.end * both..], both, n - block.end);
            let feedback = MatRef::from_column_major_slice(&self.factor.feedback, n, n);
            let feedback = feedback.submatrix(block.end, block.start, n - block.end, block.len());
            matmul(out, Accum::Add, errors, feedback, 1.0, Par::Seq);
        }
        for k in block.clone().rev() {
            let (before, target) = self.targets.split_at_mut((k - block.start) * both);
            let (errors, codes) = (&mut self.errors[k * both..][..both], &mut self.codes[k * both..][..rows]);
            let (weights, at) = (&self.weights[k * rows..][..rows], self.groups[k] * rows);
            let (scales, inverses) = (&self.scales[at..][..rows], &self.inverses[at..][..rows]);
            for row in 0..rows {
                codes[row] = quantize_scalar(target[row], inverses[row], self.least, self.most);
                let rounded = f32::from(codes[row]) * scales[row];
                errors[row] = weights[row] - rounded;
                target[row] -= rounded;
            }
            let pivot = self.factor.pivots[k];
            for (loss, rest) in self.losses.iter_mut().zip(&target[..both]) {
                *loss += pivot * f64::from(*rest) * f64::from(*rest);
            }
            for (j, target) in (block.start..k).zip(before.chunks_exact_mut(both)) {
                let feedback = self.factor.feedback[j * n + k];
                target.iter_mut().zip(&*errors).for_each(|(target, error)| *target += feedback * error);
            }
        }
    }

    /// The codes of an output in the order of its columns; those of zeroed columns are left as they are.
    fn read_codes(&self, row: usize, codes: &mut [i8]) {
        // Rounding to nearest has the smaller (w−ŵ)², so what is better with damping is better without. A loss that is not
        // a number is not better.
        let better = self.losses[row] < self.losses[self.rows + row] * (1.0 - MARGIN);
        let row = if better { row } else { self.rows + row };
        for (k, column) in self.factor.order.iter().enumerate() {
            codes[*column] = self.codes[k * 2 * self.rows + row];
        }
    }
}

#[cfg(test)]
mod tests;
