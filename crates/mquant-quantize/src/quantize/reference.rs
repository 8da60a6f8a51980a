//! What the tests of this folder compare with: the textbook's GPTQ in f64, and problems made up for it.

use mquant_kernels::{IntWeight, Matrix};

use super::Hessian;

/// Numbers that look random, always the same.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// Between 0 and 1.
    pub(super) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as f64 + 0.5) / (1u64 << 31) as f64
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }

    /// Mean 0, variance 1.
    pub(super) fn normal(&mut self) -> f64 {
        let (radius, angle) = ((-2.0 * self.uniform().ln()).sqrt(), std::f64::consts::TAU * self.uniform());
        radius * angle.cos()
    }
}

/// Rows whose columns share a few causes and differ in size.
pub(super) fn correlated(random: &mut Random, rows: usize, cols: usize) -> Vec<Vec<f64>> {
    let causes = (cols / 4).max(1);
    let mixing: Vec<f64> = (0..cols * causes).map(|_| random.normal() / (causes as f64).sqrt()).collect();
    let sizes: Vec<f64> = (0..cols).map(|_| (0.7 * random.normal()).exp()).collect();
    let mut row = || {
        let cause: Vec<f64> = (0..causes).map(|_| random.normal()).collect();
        let mixed = |c: usize| mixing[c * causes..][..causes].iter().zip(&cause).map(|(m, v)| m * v).sum::<f64>();
        (0..cols).map(|c| sizes[c] * (mixed(c) + 0.3 * random.normal())).collect()
    };
    (0..rows).map(|_| row()).collect()
}

/// d·H·dᵀ.
pub(super) fn error_under(hessian: &Hessian, difference: &[f64]) -> f64 {
    let n = difference.len();
    let row = |i: usize| (0..n).map(|j| f64::from(hessian.at(i, j)) * difference[j]).sum::<f64>();
    (0..n).map(|i| difference[i] * row(i)).sum()
}

/// Codes and scales.
pub(super) fn bytes(weight: &IntWeight) -> (Vec<u8>, Vec<u32>) {
    (weight.codes.as_ref().to_vec(), weight.scales.iter().map(|scale| scale.to_bits()).collect())
}

/// What the textbook's GPTQ gives.
pub(super) struct Plain {
    /// Codes of each output.
    pub(super) codes: Vec<Vec<i8>>,
    /// (w−ŵ)·H·(w−ŵ)ᵀ of each output, without damping.
    pub(super) errors: Vec<f64>,
}

/// H⁻¹ by Gauss-Jordan elimination.
fn inverse(mut a: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let n = a.len();
    let mut result: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for k in 0..n {
        let pivot = a[k][k];
        for j in 0..n {
            a[k][j] /= pivot;
            result[k][j] /= pivot;
        }
        let (row, done) = (a[k].clone(), result[k].clone());
        for i in (0..n).filter(|i| *i != k) {
            let factor = a[i][k];
            for j in 0..n {
                a[i][j] -= factor * row[j];
                result[i][j] -= factor * done[j];
            }
        }
    }
    result
}

/// Column by column, each error handed on to the columns to come by the upper Cholesky factor U of H⁻¹ = Uᵀ·U. Scales are
/// those of `scales`.
pub(super) fn plain_gptq(weight: &Matrix, hessian: &Hessian, scales: &IntWeight, descending: bool) -> Plain {
    let n = weight.cols();
    let mut order: Vec<usize> = (0..n).collect();
    if descending {
        order.sort_by(|a, b| hessian.at(*b, *b).total_cmp(&hessian.at(*a, *a)));
    }
    let mean = (0..n).map(|i| f64::from(hessian.at(i, i))).sum::<f64>() / n as f64;
    let damped =
        |i: usize, j: usize| f64::from(hessian.at(order[i], order[j])) + if i == j { 0.01 * mean } else { 0.0 };
    let inverse = inverse((0..n).map(|i| (0..n).map(|j| damped(i, j)).collect()).collect());
    let mut upper = vec![vec![0f64; n]; n];
    for i in 0..n {
        for j in i..n {
            let known: f64 = (0..i).map(|k| upper[k][i] * upper[k][j]).sum();
            upper[i][j] = if i == j { (inverse[i][i] - known).sqrt() } else { (inverse[i][j] - known) / upper[i][i] };
        }
    }
    let (least, most) = if scales.bits.count() == 4 { (-8.0, 7.0) } else { (-127.0, 127.0) };
    let mut plain = Plain { codes: Vec::new(), errors: Vec::new() };
    for (row, values) in weight.to_f32().chunks(n).enumerate() {
        let mut left: Vec<f64> = order.iter().map(|column| f64::from(values[*column])).collect();
        let (mut codes, mut difference) = (vec![0i8; n], vec![0f64; n]);
        for k in 0..n {
            let column = order[k];
            let scale =
                f64::from(scales.scales[row * scales.groups() + scales.group.map_or(0, |group| column / group)]);
            let code = (left[k] / scale).round_ties_even().clamp(least, most);
            codes[column] = code as i8;
            difference[column] = f64::from(values[column]) - code * scale;
            let error = (left[k] - code * scale) / upper[k][k];
            for j in k..n {
                left[j] -= error * upper[k][j];
            }
        }
        plain.errors.push(error_under(hessian, &difference));
        plain.codes.push(codes);
    }
    plain
}
