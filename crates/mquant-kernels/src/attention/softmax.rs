//! Exponentials of scores relative to a whole power of two.
//!
//! A score s weighs 2^(s · scale − highest), `scale` holding log₂ e and `highest` being a whole number not below any score
//! so far. Raising `highest` therefore changes weights and sums by exact powers of two: which keys came before, and so how
//! a prompt was cut into passes, leaves the rounding of a weight as it is.

use crate::features::fma;

/// `highest` before any score.
pub(super) const NOTHING: f32 = f32::MIN;

/// Minimax coefficients of (2ʳ − 1)/r on |r| ≤ 1/2, highest first; with 1 below them they give 2ʳ within 2e-7.
#[expect(clippy::approx_constant, reason = "near ln 2, but a coefficient of its own")]
pub(super) const EXP2: [f32; 5] = [0.001_326_472_7, 0.009_671_513, 0.055_507_336, 0.240_222_42, 0.693_147];
/// Weights below 2 to this are 0.
const LEAST: f32 = -126.0;
// 1.5 · 2²³: adding and subtracting it rounds to the nearest integer.
const ROUND: f32 = 12_582_912.0;

/// 2ⁿ of a whole `n` ≤ 0; 0 below −126.
#[inline(always)]
pub(super) fn power(n: f32) -> f32 {
    if n < LEAST { 0.0 } else { f32::from_bits(((n as i32).wrapping_add(127) as u32) << 23) }
}

/// 2ˣ of x ≤ 0.
#[inline(always)]
fn exp2<const FMA: bool>(x: f32) -> f32 {
    let t = if x < LEAST { LEAST } else { x };
    let n = t + ROUND;
    let r = t - (n - ROUND);
    let mut p = EXP2[0];
    for c in [EXP2[1], EXP2[2], EXP2[3], EXP2[4], 1.0] {
        p = fma::<FMA>(p, r, c);
    }
    // The rounded exponent sits in the low bits of `n`; shifting it up makes it the exponent field.
    let scale = f32::from_bits(n.to_bits().wrapping_add(127) << 23);
    if x < LEAST { 0.0 } else { p * scale }
}

/// The bf16 nearest to a value, ties to even, as an f32.
#[inline(always)]
pub(super) fn round_bf16(x: f32) -> f32 {
    f32::from_bits(bf16_bits(x) << 16)
}

/// The bits of the bf16 nearest to a value, ties to even.
#[inline(always)]
pub(super) fn bf16_bits(x: f32) -> u32 {
    let bits = x.to_bits();
    bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16
}

/// Weights of a multiple of 16 scores, as f32 words, rounded to bf16 if `ROUNDED`. Returns the new `highest`, at least
/// `before`, and the sum of the weights.
#[inline(always)]
pub(super) fn weigh<const FMA: bool, const ROUNDED: bool>(
    scores: &[f32],
    scale: f32,
    before: f32,
    weights: &mut [u32],
) -> (f32, f32) {
    let (scores, _) = scores.as_chunks::<16>();
    let (weights, _) = weights.as_chunks_mut::<16>();
    let mut most = [f32::NEG_INFINITY; 16];
    for chunk in scores {
        for (m, s) in most.iter_mut().zip(chunk) {
            *m = if *s > *m { *s } else { *m };
        }
    }
    let most = most.into_iter().fold(f32::NEG_INFINITY, f32::max);
    // The same product as below, so no difference from it is positive, however large the scores are.
    let highest = before.max((most * scale).ceil());
    let mut lanes = [0f32; 16];
    for (chunk, out) in scores.iter().zip(weights) {
        for ((s, out), lane) in chunk.iter().zip(out).zip(&mut lanes) {
            let weight = exp2::<FMA>(*s * scale - highest);
            let weight = if ROUNDED { round_bf16(weight) } else { weight };
            *out = weight.to_bits();
            *lane += weight;
        }
    }
    (highest, sum(lanes))
}

/// The sum of sixteen values, added up in halves.
#[inline(always)]
fn sum(mut lanes: [f32; 16]) -> f32 {
    for half in [8, 4, 2, 1] {
        let (low, high) = lanes.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(l, h)| *l += *h);
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_close_everywhere_and_exact_at_whole_exponents() {
        let mut worst = 0f64;
        for i in -1_259_000..=10_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp2();
            for got in [exp2::<true>(x), exp2::<false>(x)] {
                worst = worst.max((f64::from(got) - exact).abs() / exact);
            }
        }
        assert!(worst < 3e-7, "relative error {worst:e}");
        for n in -126..=0 {
            let exact = (n as f32).exp2();
            assert_eq!((exp2::<true>(n as f32), power(n as f32)), (exact, exact), "2^{n}");
        }
        for x in [-126.5, -1e4, f32::NEG_INFINITY] {
            assert_eq!((exp2::<true>(x), power(x)), (0.0, 0.0));
        }
        assert!(exp2::<true>(f32::NAN).is_nan());
    }

    #[test]
    fn bf16_rounds_to_nearest_and_ties_to_even() {
        for i in 0..100_000u32 {
            let x = f32::from_bits(i.wrapping_mul(2_654_435_761));
            if x.is_finite() {
                assert_eq!(bf16_bits(x), u32::from(half::bf16::from_f32(x).to_bits()), "{x:e}");
            }
        }
        assert_eq!((round_bf16(1.0 + 1.0 / 256.0), round_bf16(1.0 + 3.0 / 256.0)), (1.0, 1.0 + 4.0 / 256.0));
    }
}
