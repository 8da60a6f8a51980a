//! The low-rank branch of a modality: the projection onto the leading directions of a whitened difference.
//!
//! With C = M·Mᵀ the second moments of the rows a linear reads, and D the difference of two weights (inputs × outputs), the
//! error of outputs is ‖Mᵀ(D − L)‖_F, and the L of rank r that makes it least is M⁻ᵀ·U·Uᵀ·Mᵀ·D, U being the r leading left
//! singular vectors of Mᵀ·D (MASQuant, section 4.3, theorem 2). M is the Cholesky factor of C with each channel's own
//! moment enlarged a little. U is found by iteration of subspaces; everything is in f64 and starts from a seed.

use candle_core::Tensor;
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::triangular_solve::solve_upper_triangular_in_place;
use faer::{Mat, MatMut, MatRef, Par};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::product::{Factor, product, threads};
use crate::tensor::tensor;

/// Shares of a channel's moment that it is enlarged by, tried in turn.
const DAMPING: [f64; 6] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1];
/// Directions that the iteration carries beyond the rank.
const MORE: usize = 8;
/// Iterations of subspaces.
const ITERATIONS: usize = 3;

/// L = A·C·D for whatever difference D.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    /// inputs × rank.
    pub(crate) a: Tensor,
    /// rank × inputs.
    pub(crate) c: Tensor,
}

/// The lower Cholesky factor of second moments, row-major; None if they have none with any damping.
pub(crate) fn whiten(moment: &[f64], channels: usize) -> Option<Vec<f64>> {
    // A channel that no row uses can have any weight: 1 in units of the mean.
    let mean = (0..channels).map(|i| moment[i * channels + i]).sum::<f64>() / channels.max(1) as f64;
    if !(mean > 0.0 && mean.is_finite()) {
        return None;
    }
    DAMPING.iter().find_map(|share| {
        let mut factor = moment.to_vec();
        for i in 0..channels {
            let own = &mut factor[i * channels + i];
            *own += share * own.max(mean * 1e-6);
        }
        let mut memory = MemBuffer::new(cholesky_in_place_scratch::<f64>(channels, threads(), Default::default()));
        // The library sees the transpose, whose lower triangle is the same: the matrix is symmetric.
        let view = MatMut::from_row_major_slice_mut(&mut factor, channels, channels);
        let stack = MemStack::new(&mut memory);
        cholesky_in_place(view, Default::default(), threads(), stack, Default::default()).ok()?;
        for i in 0..channels {
            factor[i * channels + i + 1..(i + 1) * channels].fill(0.0);
        }
        factor.iter().all(|v| v.is_finite()).then_some(factor)
    })
}

/// The branch of `rank` for the difference `d` (outputs × inputs, as weights are) of what rows with the Cholesky factor `m` read.
pub(crate) fn branch(m: &[f64], d: &[f32], outputs: usize, rank: usize, seed: u64) -> candle_core::Result<Branch> {
    let channels = d.len() / outputs.max(1);
    let d: Vec<f64> = d.iter().map(|v| f64::from(*v)).collect();
    let m = Factor::new(m, channels, channels);
    // Whitened, inputs × outputs.
    let whitened = product(m.t(), Factor::new(&d, outputs, channels).t());
    let whitened = Factor::new(&whitened, channels, outputs);
    let u = leading(whitened, rank, seed)?;
    let rank = u.len() / channels.max(1);
    // C = Uᵀ·Mᵀ and A = M⁻ᵀ·U; `u` has a direction in each row.
    let c = product(Factor::new(&u, rank, channels), m.t());
    let mut a = Mat::from_fn(channels, rank, |i, j| u[j * channels + i]);
    solve_upper_triangular_in_place(m.t().view(), a.as_mut(), threads());
    let a: Vec<f32> =
        (0..channels).flat_map(|i| (0..rank).map(move |j| (i, j))).map(|(i, j)| a[(i, j)] as f32).collect();
    let c: Vec<f32> = c.into_iter().map(|v| v as f32).collect();
    Ok(Branch { a: tensor(a, (channels, rank))?, c: tensor(c, (rank, channels))? })
}

/// The leading left singular vectors of a matrix, one in each row of the result.
fn leading(x: Factor<'_, f64>, rank: usize, seed: u64) -> candle_core::Result<Vec<f64>> {
    let (rows, cols) = x.shape();
    let carried = (rank + MORE).min(rows).min(cols);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let start: Vec<f64> = (0..carried * cols).map(|_| rng.random::<f64>() - 0.5).collect();
    // Directions are rows, which lie together.
    let mut left = product(Factor::new(&start, carried, cols), x.t());
    for _ in 0..ITERATIONS {
        orthonormalise(&mut left, rows);
        let mut right = product(Factor::new(&left, carried, rows), x);
        orthonormalise(&mut right, cols);
        left = product(Factor::new(&right, carried, cols), x.t());
    }
    orthonormalise(&mut left, rows);
    // Within the subspace: eigenvectors of (Q·x)·(Q·x)ᵀ.
    let inside = product(Factor::new(&left, carried, rows), x);
    let inside = Factor::new(&inside, carried, cols);
    let gram = product(inside, inside.t());
    let mut memory = MemBuffer::new(self_adjoint_evd_scratch::<f64>(
        carried,
        ComputeEigenvectors::Yes,
        Par::Seq,
        Default::default(),
    ));
    let mut vectors = Mat::<f64>::zeros(carried, carried);
    let mut values = Diag::<f64>::zeros(carried);
    self_adjoint_evd(
        MatRef::from_row_major_slice(&gram, carried, carried),
        values.as_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut memory),
        Default::default(),
    )
    .map_err(|e| candle_core::Error::Msg(format!("eigenvectors of a branch: {e:?}")))?;
    // Eigenvalues ascend.
    let rank = rank.min(carried);
    let weights: Vec<f64> =
        (0..rank).flat_map(|j| (0..carried).map(move |i| (i, carried - 1 - j))).map(|at| vectors[at]).collect();
    Ok(product(Factor::new(&weights, rank, carried), Factor::new(&left, carried, rows)))
}

/// Makes rows of `len` values orthonormal, one after the other and twice; those that depend on others become 0.
fn orthonormalise(rows: &mut [f64], len: usize) {
    let count = rows.len() / len.max(1);
    for i in 0..count {
        let (before, rest) = rows.split_at_mut(i * len);
        let row = &mut rest[..len];
        let norm = |row: &[f64]| row.iter().map(|v| v * v).sum::<f64>().sqrt();
        let first = norm(row);
        for _ in 0..2 {
            for other in before.chunks(len) {
                let along: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
                row.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
            }
        }
        let left = norm(row);
        let scale = if left > 1e-12 * first && left > 0.0 { 1.0 / left } else { 0.0 };
        row.iter_mut().for_each(|v| *v *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::with_values;

    fn noise(n: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..n).map(|_| rng.random::<f64>() - 0.5).collect()
    }

    fn norm(values: &[f64]) -> f64 {
        values.iter().map(|v| v * v).sum::<f64>().sqrt()
    }

    /// ‖X·(D − A·C·D)‖ for rows X and a difference D.
    fn error(x: &[f64], d: &[f32], outputs: usize, branch: &Branch) -> f64 {
        let channels = d.len() / outputs;
        let wide = |t: &Tensor| with_values(t, |v| Ok(v.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>())).unwrap();
        let (a, c, d) = (wide(&branch.a), wide(&branch.c), d.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>());
        let rank = a.len() / channels;
        let rows = x.len() / channels;
        let d = Factor::new(&d, outputs, channels).t();
        let cd = product(Factor::new(&c, rank, channels), d);
        let l = product(Factor::new(&a, channels, rank), Factor::new(&cd, rank, outputs));
        let x = Factor::new(x, rows, channels);
        let (want, got) = (product(x, d), product(x, Factor::new(&l, channels, outputs)));
        norm(&want.iter().zip(got).map(|(w, g)| w - g).collect::<Vec<f64>>())
    }

    /// Section 4.3, theorem 2: no branch of the rank does better on the rows, the plain truncation included; at full rank nothing is
    /// left.
    #[test]
    fn a_branch_is_the_best_of_its_rank() {
        let (rows, channels, outputs) = (120, 24, 17);
        let mut x = noise(rows * channels, 1);
        x.iter_mut().enumerate().for_each(|(i, v)| *v *= 1.0 + ((i % channels) % 5) as f64 * 3.0);
        let d: Vec<f32> = noise(outputs * channels, 2).into_iter().map(|v| v as f32).collect();
        let f = Factor::new(&x, rows, channels);
        let m = whiten(&product(f.t(), f), channels).unwrap();
        let identity: Vec<f64> =
            (0..channels * channels).map(|i| f64::from(u8::from(i % (channels + 1) == 0))).collect();
        let mut last = f64::INFINITY;
        for rank in [1, 3, 8, 17] {
            let ours = error(&x, &d, outputs, &branch(&m, &d, outputs, rank, 5).unwrap());
            let plain = error(&x, &d, outputs, &branch(&identity, &d, outputs, rank, 5).unwrap());
            assert!(ours <= plain * 1.001 + 1e-4 && ours < last, "rank {rank}: {ours}, unwhitened {plain}");
            last = ours;
        }
        assert!(last < 1e-3, "{last} at full rank");
    }

    #[test]
    fn moments_of_a_few_rows_are_whitened_and_of_none_are_not() {
        let x = noise(3 * 10, 4);
        let f = Factor::new(&x, 3, 10);
        assert!(whiten(&product(f.t(), f), 10).is_some());
        assert!(whiten(&[0.0; 100], 10).is_none());
    }
}
