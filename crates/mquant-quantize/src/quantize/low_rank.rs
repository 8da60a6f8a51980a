//! Cross-modal compensation (MASQuant, sections 3.2 and 4.3, equations 22 to 25): the low-rank product that makes the rows X of
//! one modality lose least by what a weight is not.
//!
//! D is what the shared weight lacks for these rows, outputs × inputs; C = XᵀX. Of all products B·A of rank r, the one with the
//! least ‖X·(D − B·A)ᵀ‖ keeps the r largest singular values of D·C^½ (theorem 2, a weighted Eckart-Young). With more outputs
//! than inputs they come from T·DᵀD·Tᵀ with C = TᵀT, T = Λ^½·Pᵀ from the eigenvectors of C, whose small eigenvalues are
//! floored; no matrix is inverted. Otherwise from D·C·Dᵀ, of whose eigenvectors V the product is V·(Vᵀ·D), and C is not decomposed.
//!
//! A becomes 8-bit codes first; B is then the least-squares solution for those codes, and becomes codes too.

use std::ops::Range;

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use mquant_kernels::{Bits, IntWeight, Matrix};

use super::{Hessian, IntFormat, QuantizeError, rtn};

/// Eigenvalues below this share of the largest count as this much.
const FLOOR: f64 = 1e-7;
/// Squared singular values below this share of the largest are rounding errors.
const NOTHING: f64 = 1e-10;
/// Outputs whose difference is in memory at once.
const OUTPUTS: usize = 512;

/// Rows of a matrix of weights, made when they are asked for: outputs × inputs.
pub trait WeightRows: Sync {
    /// Number of outputs.
    fn outputs(&self) -> usize;
    /// Number of inputs.
    fn inputs(&self) -> usize;
    /// Writes the weights of an output.
    fn read(&self, output: usize, row: &mut [f64]);
}

/// How the sum of a fixed split of work is computed: the same with any number of threads.
fn parallel() -> Par {
    Par::rayon(16)
}

fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    matmul(out.as_mut(), Accum::Replace, a, b, 1.0, parallel());
    out
}

fn rows_of(weights: &dyn WeightRows, outputs: Range<usize>) -> Mat<f64> {
    let mut row = vec![0f64; weights.inputs()];
    let mut out = Mat::zeros(outputs.len(), weights.inputs());
    for (i, output) in outputs.enumerate() {
        weights.read(output, &mut row);
        row.iter().enumerate().for_each(|(j, v)| out[(i, j)] = *v);
    }
    out
}

fn chunks(weights: &dyn WeightRows) -> impl Iterator<Item = Range<usize>> {
    let outputs = weights.outputs();
    (0..outputs).step_by(OUTPUTS).map(move |first| first..outputs.min(first + OUTPUTS))
}

fn moments(hessian: &Hessian) -> Mat<f64> {
    Mat::from_fn(hessian.columns(), hessian.columns(), |i, j| f64::from(hessian.at(i, j)))
}

/// Eigenvalues and eigenvectors of a symmetric matrix, ascending.
fn eigen(matrix: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>), QuantizeError> {
    let n = matrix.nrows();
    let (mut values, mut vectors) = (Diag::zeros(n), Mat::zeros(n, n));
    let scratch = self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::Yes, parallel(), faer::Spec::default());
    let mut buffer = MemBuffer::try_new(scratch).map_err(|_| QuantizeError::Decomposition)?;
    let stack = MemStack::new(&mut buffer);
    let (s, u) = (values.as_mut(), Some(vectors.as_mut()));
    self_adjoint_evd(matrix, s, u, parallel(), stack, faer::Spec::default())
        .map_err(|_| QuantizeError::Decomposition)?;
    Ok((values.column_vector().iter().copied().collect(), vectors))
}

/// Σ over outputs of aᵀ·C·b: with `a` and `b` the same, the energy of the outputs over the rows that C is of.
///
/// # Panics
/// If shapes differ.
pub fn energy(hessian: &Hessian, a: &dyn WeightRows, b: &dyn WeightRows) -> f64 {
    let c = moments(hessian);
    chunks(a)
        .map(|outputs| {
            let (a, b) = (rows_of(a, outputs.clone()), rows_of(b, outputs));
            let seen = product(a.as_ref(), c.as_ref());
            (0..seen.nrows()).map(|i| (0..seen.ncols()).map(|j| seen[(i, j)] * b[(i, j)]).sum::<f64>()).sum::<f64>()
        })
        .sum()
}

/// What a shared weight lacks for the rows of a modality, taken apart.
pub struct Residual<'a> {
    difference: &'a dyn WeightRows,
    hessian: &'a Hessian,
    /// Squares of the singular values of D·C^½, descending.
    spectrum: Vec<f64>,
    /// Row k, times Σ_k^½, is row k of A: directions × inputs, descending.
    directions: Mat<f64>,
}

impl std::fmt::Debug for Residual<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Residual").field("directions", &self.spectrum.len()).finish_non_exhaustive()
    }
}

/// The two halves of a branch in 8-bit codes: y += (x·Aᵀ)·Bᵀ.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// A: rank × inputs.
    pub first: IntWeight,
    /// B: outputs × rank, of all linears one after the other.
    pub second: Matrix,
}

impl<'a> Residual<'a> {
    /// Takes `difference` apart, given the second moments of the rows.
    ///
    /// # Errors
    /// An eigenvalue problem that does not converge, or moments that are not finite.
    pub fn new(hessian: &'a Hessian, difference: &'a dyn WeightRows) -> Result<Self, QuantizeError> {
        let c = moments(hessian);
        let (outputs, inputs) = (difference.outputs(), difference.inputs());
        if outputs <= inputs {
            let d = rows_of(difference, 0..outputs);
            let seen = product(d.as_ref(), c.as_ref());
            let (values, vectors) = eigen(product(seen.as_ref(), d.as_ref().transpose()).as_ref())?;
            let order: Vec<usize> = (0..outputs).rev().collect();
            let spectrum: Vec<f64> = order.iter().map(|i| values[*i].max(0.0)).collect();
            // Vᵀ·D in units of its singular value.
            let projected = product(vectors.as_ref().transpose(), d.as_ref());
            let directions = Mat::from_fn(outputs, inputs, |k, j| projected[(order[k], j)] / root(spectrum[k]));
            return Ok(Self { difference, hessian, spectrum, directions });
        }
        let (values, p) = eigen(c.as_ref())?;
        let largest = values.iter().copied().fold(0.0, f64::max);
        let roots: Vec<f64> = values.iter().map(|v| v.max(FLOOR * largest).max(f64::MIN_POSITIVE).sqrt()).collect();
        let mut gram = Mat::<f64>::zeros(inputs, inputs);
        for rows in chunks(difference) {
            let d = rows_of(difference, rows);
            matmul(gram.as_mut(), Accum::Add, d.as_ref().transpose(), d.as_ref(), 1.0, parallel());
        }
        // T·DᵀD·Tᵀ with T = Λ^½·Pᵀ.
        let turned = product(product(p.as_ref().transpose(), gram.as_ref()).as_ref(), p.as_ref());
        let whitened = Mat::from_fn(inputs, inputs, |i, j| roots[i] * turned[(i, j)] * roots[j]);
        let (values, u) = eigen(whitened.as_ref())?;
        let order: Vec<usize> = (0..inputs).rev().collect();
        let spectrum: Vec<f64> = order.iter().map(|i| values[*i].max(0.0)).collect();
        // T⁻¹·U = P·Λ^−½·U, its columns as rows.
        let scaled = Mat::from_fn(inputs, inputs, |i, k| u[(i, order[k])] / roots[i]);
        let directions = product(scaled.as_ref().transpose(), p.as_ref().transpose());
        Ok(Self { difference, hessian, spectrum, directions })
    }

    /// The largest rank that takes something.
    pub fn largest_rank(&self) -> usize {
        let largest = self.spectrum.first().copied().unwrap_or(0.0);
        self.spectrum.iter().take_while(|square| **square > NOTHING * largest).count()
    }

    /// Squares of the singular values of D·C^½, descending: what each further rank takes from the squared error of the outputs.
    pub fn spectrum(&self) -> &[f64] {
        &self.spectrum
    }

    /// The branch of that rank.
    ///
    /// # Errors
    /// Values that are not finite.
    ///
    /// # Panics
    /// If the rank is 0 or above [`largest_rank`](Self::largest_rank).
    pub fn branch(&self, rank: usize) -> Result<LowRank, QuantizeError> {
        assert!((1..=self.largest_rank()).contains(&rank), "rank {rank} of at most {}", self.largest_rank());
        let inputs = self.difference.inputs();
        let first = Mat::from_fn(rank, inputs, |k, j| self.directions[(k, j)] * root(self.spectrum[k]).sqrt());
        let values = (0..rank).flat_map(|k| (0..inputs).map(move |j| (k, j))).map(|at| first[at] as f32).collect();
        let first = rtn(&Matrix::from_f32(values, rank, inputs), IntFormat::per_channel(Bits::Eight))?;
        // What the codes say, and B = D·C·Aᵀ·(A·C·Aᵀ)⁻¹.
        let a = Mat::from_fn(rank, inputs, |k, j| f64::from(first.code(k, j)) * f64::from(first.scales[k]));
        let seen = product(a.as_ref(), moments(self.hessian).as_ref());
        let (values, q) = eigen(product(seen.as_ref(), a.as_ref().transpose()).as_ref())?;
        let floor = FLOOR * values.iter().copied().fold(0.0, f64::max);
        let turned = product(q.as_ref().transpose(), seen.as_ref());
        let divided = Mat::from_fn(rank, inputs, |k, j| turned[(k, j)] / values[k].max(floor).max(f64::MIN_POSITIVE));
        let solved = product(q.as_ref(), divided.as_ref());
        let mut second = Vec::with_capacity(self.difference.outputs() * rank);
        for rows in chunks(self.difference) {
            let d = rows_of(self.difference, rows);
            let b = product(d.as_ref(), solved.as_ref().transpose());
            second.extend((0..b.nrows()).flat_map(|i| (0..rank).map(move |k| (i, k))).map(|at| b[at] as f32));
        }
        Ok(LowRank { first, second: Matrix::from_f32(second, self.difference.outputs(), rank) })
    }
}

/// The square root of an eigenvalue, never 0.
fn root(square: f64) -> f64 {
    square.max(f64::MIN_POSITIVE).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::reference::{Random, correlated};
    use super::*;

    struct Rows(Vec<Vec<f64>>);

    impl WeightRows for Rows {
        fn outputs(&self) -> usize {
            self.0.len()
        }
        fn inputs(&self) -> usize {
            self.0[0].len()
        }
        fn read(&self, output: usize, row: &mut [f64]) {
            row.copy_from_slice(&self.0[output]);
        }
    }

    fn problem(outputs: usize, inputs: usize) -> (Vec<Vec<f64>>, Rows, Hessian) {
        let mut random = Random(7);
        let x = correlated(&mut random, 400, inputs);
        let d = (0..outputs).map(|_| (0..inputs).map(|_| random.normal()).collect()).collect();
        let mut sum = vec![0f32; inputs * inputs];
        for i in 0..inputs {
            for j in 0..=i {
                sum[i * inputs + j] = x.iter().map(|row| row[i] * row[j]).sum::<f64>() as f32;
            }
        }
        (x, Rows(d), Hessian::from_sum(sum, inputs, 400).unwrap())
    }

    /// ‖X·(D − B·A)ᵀ‖².
    fn error(x: &[Vec<f64>], d: &Rows, branch: Option<&LowRank>) -> f64 {
        let inputs = d.inputs();
        let left = |output: usize| -> Vec<f64> {
            let mut row = d.0[output].clone();
            if let Some(LowRank { first, second }) = branch {
                for k in 0..first.rows {
                    let b = f64::from(second.to_f32()[output * first.rows + k]);
                    (0..inputs).for_each(|j| row[j] -= b * f64::from(first.code(k, j)) * f64::from(first.scales[k]));
                }
            }
            row
        };
        let left: Vec<Vec<f64>> = (0..d.outputs()).map(left).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        x.iter().map(|x| left.iter().map(|row| dot(x, row).powi(2)).sum::<f64>()).sum()
    }

    #[test]
    fn the_error_left_is_the_rest_of_the_spectrum() {
        for (outputs, inputs) in [(9, 24), (40, 24), (24, 24)] {
            let (x, d, hessian) = problem(outputs, inputs);
            let residual = Residual::new(&hessian, &d).unwrap();
            let spectrum = residual.spectrum();
            assert!(spectrum.is_sorted_by(|a, b| a >= b));
            let whole = error(&x, &d, None);
            assert!((spectrum.iter().sum::<f64>() / whole - 1.0).abs() < 1e-4, "{outputs} × {inputs}");
            assert!((energy(&hessian, &d, &d) / whole - 1.0).abs() < 1e-4);
            for rank in [1, 4, outputs.min(inputs)] {
                let branch = residual.branch(rank).unwrap();
                let found = error(&x, &d, Some(&branch)) / whole;
                let want = spectrum[rank.min(spectrum.len())..].iter().sum::<f64>() / whole;
                // The codes of A add little; those of B are not made here.
                assert!(found < want + 2e-4 && found > want - 1e-4, "{outputs} × {inputs}, {rank}: {found} {want}");
            }
        }
    }

    #[test]
    fn whitening_never_loses_to_the_plain_singular_values() {
        let (x, d, hessian) = problem(30, 20);
        let mut identity = vec![0f32; 400];
        (0..20).for_each(|i| identity[i * 21] = 1.0);
        let plain = Hessian::from_sum(identity, 20, 1).unwrap();
        for rank in [1, 3, 8, 15] {
            let of =
                |hessian: &Hessian| error(&x, &d, Some(&Residual::new(hessian, &d).unwrap().branch(rank).unwrap()));
            assert!(of(&hessian) <= of(&plain), "rank {rank}");
        }
    }
}
