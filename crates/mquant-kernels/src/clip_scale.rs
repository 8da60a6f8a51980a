//! The scale of codes that loses least when the largest values are clipped (MQuant, code of the weight quantiser: `w_clip`).
//!
//! For p = 1, 0.99 … 0.21: s = p · absmax / most, error = Σ|s · q(w, s) − w|^2.4; the p of the least error is kept, the
//! larger one of equals. Every level and any number of threads give the same scale: sums in fixed lanes, nothing fused.

use std::sync::LazyLock;

use crate::features::{Cpu, per_level};
use crate::quantize_rows::{SMALLEST_SCALE, absmax, scale_of};

/// Shrink factors that are tried: 1 − i/100.
const STEPS: usize = 80;
/// The norm of the error.
const NORM: f64 = 2.4;
/// Independent sums.
const LANES: usize = 64;
/// Chunks of `LANES` between two looks at the sum so far.
const LOOK: usize = 8;

/// p^2.4 of every shrink factor: turns errors in units of the scale into errors in units of the largest scale.
static UNITS: LazyLock<[f32; STEPS]> =
    LazyLock::new(|| std::array::from_fn(|i| libm::pow(f64::from(shrink(i)), NORM) as f32));

/// The scale for codes from `least` to `most` whose Σ|ŵ − w|^2.4 is least. Values are finite. Where the smallest scale
/// would be tried the search is not worth its while: the scale of the largest magnitude is returned.
pub fn clipped_scale(cpu: Cpu, values: &[f32], least: f32, most: f32) -> f32 {
    let largest = absmax(cpu, values);
    if largest * shrink(STEPS - 1) / most <= SMALLEST_SCALE {
        return scale_of(largest, most);
    }
    let (mut best, mut least_error) = (scale_of(largest, most), f32::INFINITY);
    for (i, unit) in UNITS.iter().enumerate() {
        let scale = scale_of(shrink(i) * largest, most);
        let error = unit * error_up_to(cpu, values, Codes { inverse: 1.0 / scale, least, most }, least_error / unit);
        if error < least_error {
            (best, least_error) = (scale, error);
        }
    }
    best
}

fn shrink(i: usize) -> f32 {
    (100 - i) as f32 / 100.0
}

/// How values become codes.
#[derive(Clone, Copy)]
struct Codes {
    inverse: f32,
    least: f32,
    most: f32,
}

/// |w/s − q|^2.4.
#[inline(always)]
fn error_of(value: f32, codes: Codes) -> f32 {
    let x = value * codes.inverse;
    let rest = x - x.round_ties_even().clamp(codes.least, codes.most);
    let square = rest * rest;
    // r ≈ square^(−1/5): a first guess from the exponent, two steps of Newton's method on r⁻⁵ = square.
    let guess = 1_277_900_000.0 - 0.2 * square.to_bits() as i32 as f32;
    // SAFETY: the bits of a float that is not negative are below 2³¹, so the guess lies between 8e8 and 1.3e9.
    let mut root = f32::from_bits(unsafe { guess.to_int_unchecked::<i32>() } as u32);
    for _ in 0..2 {
        let second = root * root;
        // In this order no product overflows, however small the square is.
        root *= 1.2 - 0.2 * (square * root * second * second);
    }
    let power = square * (root * root);
    power * power
}

/// Errors of all values in units of the scale, or a sum larger than `enough` as soon as it is.
#[inline(always)]
fn error_body(values: &[f32], codes: Codes, enough: f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (chunks, tail) = values.as_chunks::<LANES>();
    for some in chunks.chunks(LOOK) {
        for chunk in some {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane += error_of(*value, codes);
            }
        }
        // Sums only grow, so a scale that is left here could not have been the best.
        if total(lanes) > enough {
            return f32::INFINITY;
        }
    }
    for (lane, value) in lanes.iter_mut().zip(tail) {
        *lane += error_of(*value, codes);
    }
    total(lanes)
}

#[inline(always)]
fn total(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

per_level! { fn error_up_to(values: &[f32], codes: Codes, enough: f32) -> f32 = error_body }

#[cfg(test)]
mod tests {
    use super::*;

    /// Approximately normal values, one in a hundred of them ten times as large.
    fn values(n: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5
        };
        let one = move |i: usize| (0..6).map(|_| random()).sum::<f64>() * if i % 100 == 7 { 10.0 } else { 1.0 };
        (0..n).map(one).map(|v| v as f32 * 0.02).collect()
    }

    /// Σ|ŵ − w|^2.4 in f64, as it is written.
    fn exact(values: &[f32], scale: f32, least: f64, most: f64) -> f64 {
        let scale = f64::from(scale);
        let error = |v: &f32| {
            let v = f64::from(*v);
            ((v / scale).round_ties_even().clamp(least, most) * scale - v).abs().powf(2.4)
        };
        values.iter().map(error).sum()
    }

    #[test]
    fn the_power_is_close_everywhere() {
        let codes = Codes { inverse: 1.0, least: 0.0, most: 0.0 };
        let mut worst = 0f64;
        for i in 0..40_000 {
            let x = 1e-9f32 * 1.001f32.powi(i);
            let exact = f64::from(x).powf(2.4);
            if x > 1e6 {
                break;
            }
            worst = worst.max((f64::from(error_of(x, codes)) / exact - 1.0).abs());
        }
        assert!(worst < 1e-3, "relative error {worst:e}");
        assert_eq!(error_of(0.0, codes), 0.0);
        for tiny in [f32::from_bits(1), 1e-30, 1e-20] {
            assert!(error_of(tiny, codes) < 1e-40);
        }
    }

    #[test]
    fn the_scale_is_the_best_of_all_that_are_tried() {
        for n in [1, 2, 31, 32, 64, 65, 128, 600, 1536, 8960] {
            for seed in 1..6 {
                let values = values(n, seed);
                let largest = values.iter().fold(0f32, |m, v| m.max(v.abs()));
                for (least, most) in [(-8.0, 7.0), (-127.0, 127.0)] {
                    let found = clipped_scale(Cpu::detect(), &values, least, most);
                    let error = |s: f32| exact(&values, s, f64::from(least), f64::from(most));
                    let tried = (0..80).map(|i| (1.0 - i as f32 / 100.0) * largest / most);
                    let best = tried.clone().map(error).fold(f64::INFINITY, f64::min);
                    let noise = (f64::from(largest) * 1e-6).powf(2.4) * n as f64;
                    assert!(error(found) <= best * 1.001 + noise, "{n} values: {:e}, best {best:e}", error(found));
                    assert!(tried.clone().any(|s| (s / found - 1.0).abs() < 1e-5), "{n} values");
                }
            }
        }
    }

    #[test]
    fn an_outlier_is_clipped_and_equal_values_are_not() {
        let usual = values(4096, 3).into_iter().enumerate().filter(|(i, _)| i % 100 != 7);
        let many: Vec<f32> = usual.map(|(_, value)| value).chain([0.1]).collect();
        let all = scale_of(0.1, 7.0);
        let found = clipped_scale(Cpu::detect(), &many, -8.0, 7.0);
        assert!(found < all, "{found} of {all}");
        assert_eq!(clipped_scale(Cpu::detect(), &[0.5; 100], -8.0, 7.0), 0.5 / 7.0);
        assert_eq!(clipped_scale(Cpu::detect(), &[0.0; 100], -8.0, 7.0), SMALLEST_SCALE);
        assert_eq!(clipped_scale(Cpu::detect(), &[], -8.0, 7.0), SMALLEST_SCALE);
        for largest in [f32::from_bits(1), 1e-8, 1e-6, 1e-3, f32::MAX] {
            let found = clipped_scale(Cpu::detect(), &[largest, -largest / 3.0, 0.0], -127.0, 127.0);
            assert!(found.is_finite() && (SMALLEST_SCALE..=scale_of(largest, 127.0)).contains(&found));
        }
    }

    #[test]
    fn every_level_gives_the_same_scale_and_leaving_early_changes_nothing() {
        for n in [5, 64, 100, 700, 1536, 8960] {
            let values = values(n, n as u64);
            for (least, most) in [(-8.0, 7.0), (-127.0, 127.0)] {
                let expected = clipped_scale(Cpu::detect(), &values, least, most);
                for cpu in Cpu::levels() {
                    assert_eq!(clipped_scale(cpu, &values, least, most), expected, "{}", cpu.level());
                    let codes = Codes { inverse: 1.0 / expected, least, most };
                    let whole = error_up_to(cpu, &values, codes, f32::INFINITY);
                    assert_eq!(error_up_to(cpu, &values, codes, whole), whole);
                    assert_eq!(whole, error_body(&values, codes, f32::INFINITY), "{}", cpu.level());
                }
            }
        }
    }
}
