//! Second moments of what a site's linears read: H = Σ x·xᵀ over the rows of calibration, the Hessian of their outputs'
//! squared error in a row of weights.

use mquant_kernels::{Backend, Rows};

use super::QuantizeError;
use super::error::Count;

/// Σ x·xᵀ over rows, in f32, row-major, lower triangle; the upper triangle means nothing. One is shared by all linears of
/// a site.
#[derive(Clone, Debug)]
pub struct Hessian {
    columns: usize,
    rows: u64,
    sum: Vec<f32>,
}

impl Hessian {
    /// No rows yet, of `columns` features.
    pub fn new(columns: usize) -> Self {
        Self { columns, rows: 0, sum: vec![0.0; columns * columns] }
    }

    /// Takes a sum over `rows` rows: columns × columns, row-major, of which the lower triangle is read.
    ///
    /// # Errors
    /// If it is no square of `columns`.
    pub fn from_sum(sum: Vec<f32>, columns: usize, rows: u64) -> Result<Self, QuantizeError> {
        let (expected, found) = (columns.saturating_mul(columns), sum.len());
        if expected != found {
            return Err(QuantizeError::Moments { expected: Count::Values(expected), found: Count::Values(found) });
        }
        Ok(Self { columns, rows, sum })
    }

    /// Adds the rows of `x`.
    ///
    /// # Panics
    /// If their features are not the columns.
    pub fn add(&mut self, backend: &dyn Backend, x: &Rows) {
        assert_eq!(x.features(), self.columns, "features and columns of second moments");
        backend.gram(x, &mut self.sum);
        self.rows += x.rows() as u64;
    }

    /// Adds what other rows summed up to.
    ///
    /// # Panics
    /// If columns differ.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.columns, other.columns, "columns of second moments");
        self.sum.iter_mut().zip(&other.sum).for_each(|(sum, more)| *sum += more);
        self.rows += other.rows;
    }

    /// Multiplies every moment: rows that were `by`^½ as large would have summed up to that.
    pub fn scale(&mut self, by: f32) {
        self.sum.iter_mut().for_each(|sum| *sum *= by);
    }

    /// Inputs of the site.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Rows seen.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The sum, row-major; only its lower triangle means anything.
    pub fn sum(&self) -> &[f32] {
        &self.sum
    }

    /// Entry (i, j), which is entry (j, i).
    pub fn at(&self, i: usize, j: usize) -> f32 {
        self.sum[i.max(j) * self.columns + i.min(j)]
    }
}
