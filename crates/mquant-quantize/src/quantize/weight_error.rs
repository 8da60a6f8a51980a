//! How far a quantised weight is from its original: in itself, and in what it makes of the inputs of calibration.

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, MatMut, MatRef, Par};
use mquant_kernels::{IntWeight, Matrix};
use rayon::prelude::*;

use super::error::Count;
use super::layout::read_output;
use super::{Hessian, QuantizeError};

/// Outputs that are compared at once.
const PANEL: usize = 96;

/// Signal over noise in decibels, 10·log₁₀(signal/noise); infinite where there is no noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightError {
    /// Σw² over Σ(w−ŵ)².
    pub sqnr_db: f64,
    /// Σ w·H·wᵀ over Σ (w−ŵ)·H·(w−ŵ)ᵀ: the same of the outputs. None without a Hessian.
    pub output_sqnr_db: Option<f64>,
}

/// Compares `made` with `weight` it was made from. Columns `excluded` are computed elsewhere and have no part in it.
///
/// # Errors
/// Shapes that differ, a column to be excluded that there is not, a weight that is not finite.
pub fn relative_error(
    weight: &Matrix,
    made: &IntWeight,
    excluded: &[usize],
    hessian: Option<&Hessian>,
) -> Result<WeightError, QuantizeError> {
    let (rows, cols) = (weight.rows(), weight.cols());
    if (made.rows, made.cols) != (rows, cols) {
        return Err(QuantizeError::Compared { rows, cols, found_rows: made.rows, found_cols: made.cols });
    }
    made.check()?;
    if let Some(column) = excluded.iter().copied().find(|column| *column >= cols) {
        return Err(QuantizeError::Excluded { column, columns: cols });
    }
    if let Some(found) = hessian.map(Hessian::columns).filter(|found| *found != cols) {
        return Err(QuantizeError::Moments { expected: Count::Inputs(cols), found: Count::Inputs(found) });
    }
    let panels = (0..rows.div_ceil(PANEL)).into_par_iter().map(|panel| {
        let outputs = panel * PANEL..rows.min((panel + 1) * PANEL);
        // The weights of all outputs, then their errors.
        let mut both = vec![0f32; 2 * outputs.len() * cols];
        let (values, errors) = both.split_at_mut(outputs.len() * cols);
        for (output, (values, errors)) in outputs.zip(values.chunks_mut(cols).zip(errors.chunks_mut(cols))) {
            read_output(weight, output, values)?;
            excluded.iter().for_each(|column| values[*column] = 0.0);
            let scales = &made.scales[output * made.groups()..];
            for (column, (value, error)) in values.iter().zip(&mut *errors).enumerate() {
                let scale = scales[made.group.map_or(0, |group| column / group)];
                *error = value - f32::from(made.code(output, column)) * scale;
            }
            excluded.iter().for_each(|column| errors[*column] = 0.0);
        }
        let squares = |values: &[f32]| values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>();
        let half = both.len() / 2;
        let plain = [squares(&both[..half]), squares(&both[half..])];
        let [outputs, noise] = hessian.map_or([0.0; 2], |hessian| output_squares(hessian, &both));
        Ok([plain[0], plain[1], outputs, noise])
    });
    // Added up in the order of the panels: the same with any number of threads.
    let panels: Vec<[f64; 4]> = panels.collect::<Result<_, QuantizeError>>()?;
    let sum = |i: usize| panels.iter().map(|panel| panel[i]).sum::<f64>();
    Ok(WeightError { sqnr_db: decibels(sum(0), sum(1)), output_sqnr_db: hessian.map(|_| decibels(sum(2), sum(3))) })
}

fn decibels(signal: f64, noise: f64) -> f64 {
    if noise > 0.0 { 10.0 * (signal / noise).log10() } else { f64::INFINITY }
}

/// Σ v·H·vᵀ over the first and over the second half of the rows of `values`.
fn output_squares(hessian: &Hessian, values: &[f32]) -> [f64; 2] {
    let n = hessian.columns();
    let rows = values.len() / n;
    let mut products = vec![0f32; values.len()];
    let out = MatMut::from_row_major_slice_mut(&mut products, rows, n);
    let left = MatRef::from_row_major_slice(values, rows, n);
    let lower = MatRef::from_row_major_slice(hessian.sum(), n, n);
    use BlockStructure::{Rectangular, TriangularLower};
    triangular::matmul(out, Rectangular, Accum::Replace, left, Rectangular, lower, TriangularLower, 1.0, Par::Seq);
    let square = |range: std::ops::Range<usize>| {
        let rows = values[range.clone()].chunks_exact(n).zip(products[range].chunks_exact(n));
        let of_row = |(v, p): (&[f32], &[f32])| -> f64 {
            // The lower triangle counts twice, the diagonal once.
            let term =
                |i: usize| f64::from(v[i]) * (2.0 * f64::from(p[i]) - f64::from(hessian.at(i, i)) * f64::from(v[i]));
            (0..n).map(term).sum()
        };
        rows.map(of_row).sum::<f64>().max(0.0)
    };
    let half = values.len() / 2;
    [square(0..half), square(half..values.len())]
}

#[cfg(test)]
mod tests;
