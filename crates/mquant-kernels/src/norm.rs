//! RMSNorm and LayerNorm of one row, with the same bits at every level: sums run in fixed lanes and nothing is fused.
//!
//! RMSNorm: y = x / √(mean(x²) + ε) · gain. LayerNorm: y = (x − mean(x)) / √(var(x) + ε) · gain + bias, var over the row.

use crate::features::per_level;

// Sums run in this many lanes, added up at the end: vectorises, and errs less than one running sum.
const LANES: usize = 32;

#[inline(always)]
fn sum_of(x: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for c in chunks {
        for (l, v) in lanes.iter_mut().zip(c) {
            *l = f(*v, *l);
        }
    }
    for (l, v) in lanes.iter_mut().zip(tail) {
        *l = f(*v, *l);
    }
    lanes.iter().sum()
}

/// 1 / √(mean(x²) + ε).
#[inline(always)]
fn rms_scale(x: &[f32], eps: f32) -> f32 {
    let mean_square = sum_of(x, |v, acc| v * v + acc) / x.len() as f32;
    1.0 / (mean_square + eps).sqrt()
}

#[inline(always)]
fn rms_row(x: &[f32], gain: &[f32], eps: f32, y: &mut [f32]) {
    let scale = rms_scale(x, eps);
    y.iter_mut().zip(x).zip(gain).for_each(|((y, x), g)| *y = x * scale * g);
}

#[inline(always)]
fn rms_in_place_row(x: &mut [f32], gain: &[f32], eps: f32) {
    let scale = rms_scale(x, eps);
    x.iter_mut().zip(gain).for_each(|(x, g)| *x = *x * scale * g);
}

/// mean(x) and 1 / √(var(x) + ε).
#[inline(always)]
fn layer_scale(x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = sum_of(x, |v, acc| v + acc) / n;
    let variance = sum_of(x, |v, acc| (v - mean) * (v - mean) + acc);
    // A short last chunk adds only real values, so the tail needs no correction.
    (mean, 1.0 / (variance / n + eps).sqrt())
}

#[inline(always)]
fn layer_row(x: &[f32], gain: &[f32], bias: &[f32], eps: f32, y: &mut [f32]) {
    let (mean, scale) = layer_scale(x, eps);
    for (((y, x), g), b) in y.iter_mut().zip(x).zip(gain).zip(bias) {
        *y = (x - mean) * scale * g + b;
    }
}

#[inline(always)]
fn layer_in_place_row(x: &mut [f32], gain: &[f32], bias: &[f32], eps: f32) {
    let (mean, scale) = layer_scale(x, eps);
    for ((x, g), b) in x.iter_mut().zip(gain).zip(bias) {
        *x = (*x - mean) * scale * g + b;
    }
}

per_level! {
    /// RMSNorm of a row `x` into `y`.
    pub(crate) fn rms(x: &[f32], gain: &[f32], eps: f32, y: &mut [f32]) = rms_row
}
per_level! {
    /// RMSNorm of a row where it lies: the bits of [`rms`].
    pub(crate) fn rms_in_place(x: &mut [f32], gain: &[f32], eps: f32) = rms_in_place_row
}
per_level! {
    /// LayerNorm of a row `x` into `y`.
    pub(crate) fn layer(x: &[f32], gain: &[f32], bias: &[f32], eps: f32, y: &mut [f32]) = layer_row
}
per_level! {
    /// LayerNorm of a row where it lies: the bits of [`layer`].
    pub(crate) fn layer_in_place(x: &mut [f32], gain: &[f32], bias: &[f32], eps: f32) = layer_in_place_row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Cpu;

    fn close(got: &[f32], want: impl Iterator<Item = f64>) {
        for (g, w) in got.iter().zip(want) {
            assert!((f64::from(*g) - w).abs() < 1e-5 * w.abs().max(1.0), "{g} against {w}");
        }
    }

    #[test]
    fn both_norms_follow_their_equations_at_every_width() {
        for n in [1usize, 7, 31, 32, 33, 96, 161] {
            let x: Vec<f32> = (0..2 * n).map(|i| ((i * 37 % 101) as f32 - 40.0) * 0.13).collect();
            let gain: Vec<f32> = (0..n).map(|i| 0.5 + i as f32 * 0.01).collect();
            let bias: Vec<f32> = (0..n).map(|i| i as f32 * 0.02 - 0.3).collect();
            let (mut rms_y, mut layer_y) = (vec![0.0; 2 * n], vec![0.0; 2 * n]);
            for r in 0..2 {
                let span = r * n..(r + 1) * n;
                rms(Cpu::detect(), &x[span.clone()], &gain, 1e-6, &mut rms_y[span.clone()]);
                layer(Cpu::detect(), &x[span.clone()], &gain, &bias, 1e-6, &mut layer_y[span]);
                let row: Vec<f64> = x[r * n..(r + 1) * n].iter().map(|v| f64::from(*v)).collect();
                let mean = row.iter().sum::<f64>() / n as f64;
                let square = row.iter().map(|v| v * v).sum::<f64>() / n as f64;
                let var = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
                let span = r * n..(r + 1) * n;
                close(&rms_y[span.clone()], (0..n).map(|i| row[i] / (square + 1e-6).sqrt() * f64::from(gain[i])));
                let normed = (0..n).map(|i| (row[i] - mean) / (var + 1e-6).sqrt());
                close(&layer_y[span], normed.enumerate().map(|(i, v)| v * f64::from(gain[i]) + f64::from(bias[i])));
            }
        }
    }
    #[test]
    fn every_level_gives_the_same_bits_in_place_or_not() {
        let scalar = Cpu::detect().capped(crate::features::Level::Scalar).unwrap();
        for n in (1..100).chain([1280, 1536, 1537, 8960]) {
            let x: Vec<f32> = (0..n).map(|i| ((i * 7919 % 4001) as f32 - 1900.0) * 0.0071).collect();
            let gain: Vec<f32> = (0..n).map(|i| 0.5 + (i * 31 % 101) as f32 * 0.013).collect();
            let bias: Vec<f32> = (0..n).map(|i| (i * 17 % 103) as f32 * 0.02 - 0.7).collect();
            let bits = |y: &[f32]| y.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
            let (mut rms_y, mut layer_y) = (x.clone(), x.clone());
            rms(scalar, &x, &gain, 1e-6, &mut rms_y);
            layer(scalar, &x, &gain, &bias, 1e-6, &mut layer_y);
            for cpu in Cpu::levels() {
                let (mut in_place, mut y) = (x.clone(), vec![0.0; n]);
                rms(cpu, &x, &gain, 1e-6, &mut y);
                rms_in_place(cpu, &mut in_place, &gain, 1e-6);
                assert_eq!((bits(&y), bits(&in_place)), (bits(&rms_y), bits(&rms_y)), "RMS of {n} at {}", cpu.level());
                in_place.copy_from_slice(&x);
                layer(cpu, &x, &gain, &bias, 1e-6, &mut y);
                layer_in_place(cpu, &mut in_place, &gain, &bias, 1e-6);
                assert_eq!((bits(&y), bits(&in_place)), (bits(&layer_y), bits(&layer_y)), "layer {n} {}", cpu.level());
            }
        }
    }
}
