//! The rotation of a post-norm tower (GLM-4V, EVA2-CLIP; MQuant, appendix A.14): x ← x + LN(down(f(up(x)))).
//!
//! The gain α sits behind the norm, where it does not commute with a rotation R, so it moves onto the residual path. With
//! z = R·(x / α′), α′ the gain before (1 at the beginning), a branch becomes
//!
//! z ← R·diag(α′/α)·Rᵀ·z + N(down′(f(up′(z)))) + R·(β/α)
//!
//! where up′ has rows R·(w ∘ α′), down′ has columns and bias R·(c − mean(c)), and N is an RMSNorm without gain and with the
//! LayerNorm's ε. Whoever reads the stream after the last branch has rows R·(w ∘ α). The residual path costs one dense
//! product a branch. A gain of 0 cannot be divided by.

use mquant_kernels::Matrix;

use super::wide::{float, map_outputs, map_rows};
use super::{Rotation, TransformError};
use crate::nn::{Linear, Norm, NormKind, SiteId, Tower};

/// A branch of a post-norm tower, before or after.
#[derive(Clone, Debug)]
pub struct PostNormBranch {
    /// Reads the stream.
    pub up: Linear,
    /// Feeds the norm.
    pub down: Linear,
    /// Behind `down`: a LayerNorm before; after, an RMSNorm without gain.
    pub norm: Norm,
    /// Applied to the stream before the branch is added, features × features; None leaves it as it is.
    pub residual: Option<Matrix>,
    /// Added to the stream with the branch.
    pub offset: Option<Vec<f32>>,
}

impl PostNormBranch {
    /// Rotates the branches of a tower in place. Returns the gain that the reader of the stream after them has to take:
    /// its weight rows become R·(w ∘ gain).
    ///
    /// # Errors
    /// A branch whose norm subtracts no mean, or has a gain of 0; `id` names its site.
    pub fn rotate_all(
        branches: &mut [(SiteId, PostNormBranch)],
        tower: Tower,
        rotation: &Rotation,
    ) -> Result<Vec<f64>, TransformError> {
        let width = rotation.width();
        let matrix = matrix_of(rotation);
        let mut before = vec![1f64; width];
        for (site, branch) in branches {
            let in_the_way = |found| TransformError::NormInTheWay { site: *site, tower, found };
            let NormKind::Layer { bias } = &branch.norm.kind else { return Err(in_the_way("subtracts no mean")) };
            let gain: Vec<f64> = branch.norm.gain.iter().map(|g| f64::from(*g)).collect();
            if gain.contains(&0.0) {
                return Err(in_the_way("has a gain of 0"));
            }
            let mut offset: Vec<f64> = bias.iter().zip(&gain).map(|(b, g)| f64::from(*b) / g).collect();
            rotation.rotate(&mut offset);
            map_rows(float(&mut branch.up), |row| {
                row.iter_mut().zip(&before).for_each(|(w, gain)| *w *= gain);
                rotation.rotate(row);
            });
            map_outputs(&mut branch.down, |column| {
                let mean = column.iter().sum::<f64>() / width as f64;
                column.iter_mut().for_each(|v| *v -= mean);
                rotation.rotate(column);
            });
            let ratio: Vec<f64> = before.iter().zip(&gain).map(|(before, gain)| before / gain).collect();
            branch.residual = Some(residual(&matrix, &ratio));
            branch.offset = Some(offset.into_iter().map(|v| v as f32).collect());
            branch.norm.kind = NormKind::Rms;
            branch.norm.gain.fill(1.0);
            before = gain;
        }
        Ok(before)
    }
}

/// Row-major: column i is what the rotation makes of the i-th unit vector.
fn matrix_of(rotation: &Rotation) -> Vec<f64> {
    let n = rotation.width();
    let mut matrix = vec![0f64; n * n];
    for i in 0..n {
        let mut column = vec![0f64; n];
        column[i] = 1.0;
        rotation.rotate(&mut column);
        column.into_iter().enumerate().for_each(|(row, v)| matrix[row * n + i] = v);
    }
    matrix
}

/// R·diag(ratio)·Rᵀ.
fn residual(rotation: &[f64], ratio: &[f64]) -> Matrix {
    let n = ratio.len();
    let row = |i: usize| &rotation[i * n..(i + 1) * n];
    let value = |i: usize, j: usize| -> f64 { row(i).iter().zip(row(j)).zip(ratio).map(|((a, b), r)| a * b * r).sum() };
    Matrix::from_f32((0..n * n).map(|at| value(at / n, at % n) as f32).collect(), n, n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{BlockSite, Weight};
    use crate::transform::RotationKind;

    const WIDTH: usize = 12;
    const HIDDEN: usize = 20;

    fn noise(seed: usize, n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
    }

    fn linear(seed: usize, rows: usize, cols: usize) -> Linear {
        let weight = Weight::Float(Matrix::from_f32(noise(seed, rows * cols), rows, cols));
        Linear { weight, bias: Some(noise(seed + 1, rows)), side: None }
    }

    fn branch(k: usize) -> (SiteId, PostNormBranch) {
        let gain = noise(9 + k, WIDTH).into_iter().map(|g| 1.0 + 0.8 * g).collect();
        let norm = Norm { kind: NormKind::Layer { bias: noise(20 + k, WIDTH) }, gain, eps: 1e-5, repeat: 1 };
        let (up, down) = (linear(30 + k, HIDDEN, WIDTH), linear(60 + k, WIDTH, HIDDEN));
        let id = SiteId::Block(Tower::Vision, k, BlockSite::Up);
        (id, PostNormBranch { up, down, norm, residual: None, offset: None })
    }

    fn times(linear: &Linear, x: &[f64]) -> Vec<f64> {
        let w = linear.weight.float().unwrap().to_f32();
        let bias = linear.bias.as_ref().unwrap();
        let rows = w.chunks_exact(x.len()).zip(bias);
        rows.map(|(w, b)| f64::from(*b) + w.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>()).collect()
    }

    /// One branch as the module's documentation has it, in f64.
    fn step(branch: &PostNormBranch, x: &[f64]) -> Vec<f64> {
        let hidden: Vec<f64> = times(&branch.up, x).into_iter().map(|v| v * v.tanh()).collect();
        let mut y = times(&branch.down, &hidden);
        if let NormKind::Layer { .. } = branch.norm.kind {
            let mean = y.iter().sum::<f64>() / y.len() as f64;
            y.iter_mut().for_each(|v| *v -= mean);
        }
        let size = (y.iter().map(|v| v * v).sum::<f64>() / y.len() as f64 + f64::from(branch.norm.eps)).sqrt();
        y.iter_mut().zip(&branch.norm.gain).for_each(|(v, g)| *v *= f64::from(*g) / size);
        if let NormKind::Layer { bias } = &branch.norm.kind {
            y.iter_mut().zip(bias).for_each(|(v, b)| *v += f64::from(*b));
        }
        if let Some(offset) = &branch.offset {
            y.iter_mut().zip(offset).for_each(|(v, o)| *v += f64::from(*o));
        }
        let kept = match &branch.residual {
            None => x.to_vec(),
            Some(m) => times(&Linear { weight: Weight::Float(m.clone()), bias: Some(vec![0.0; WIDTH]), side: None }, x),
        };
        y.into_iter().zip(kept).map(|(y, x)| y + x).collect()
    }

    #[test]
    fn a_rotated_post_norm_tower_is_the_same_function() {
        for kind in [RotationKind::Hadamard, RotationKind::OnesPreserving] {
            let before: Vec<_> = (0..3).map(branch).collect();
            let mut after = before.clone();
            let rotation = Rotation::new(kind, WIDTH, 5, "post-norm").unwrap();
            let last = PostNormBranch::rotate_all(&mut after, Tower::Vision, &rotation).unwrap();
            let reader = linear(99, 4, WIDTH);
            let mut rotated_reader = reader.clone();
            map_rows(float(&mut rotated_reader), |row| {
                row.iter_mut().zip(&last).for_each(|(w, gain)| *w *= gain);
                rotation.rotate(row);
            });
            let x: Vec<f64> = noise(3, WIDTH).into_iter().map(f64::from).collect();
            let mut z = x.clone();
            rotation.rotate(&mut z);
            let expected = before.iter().fold(x, |x, (_, branch)| step(branch, &x));
            let found = after.iter().fold(z, |z, (_, branch)| step(branch, &z));
            for (a, b) in times(&reader, &expected).into_iter().zip(times(&rotated_reader, &found)) {
                assert!((a - b).abs() < 2e-5, "{kind:?}: {a} and {b}");
            }
        }
    }

    #[test]
    fn what_cannot_be_rotated_is_named() {
        let rotation = Rotation::new(RotationKind::Hadamard, WIDTH, 5, "post-norm").unwrap();
        let mut zero = [branch(0)];
        zero[0].1.norm.gain[3] = 0.0;
        let error = PostNormBranch::rotate_all(&mut zero, Tower::Vision, &rotation).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the norm of vision.0.up has a gain of 0, so the vision stream cannot be rotated"
        );
        let mut rms = [branch(1)];
        rms[0].1.norm.kind = NormKind::Rms;
        assert!(PostNormBranch::rotate_all(&mut rms, Tower::Vision, &rotation).is_err());
    }
}
