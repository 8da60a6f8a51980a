//! `exp` in f32, written so that it vectorises.

use crate::features::fma;

const LOG2_E: f32 = std::f32::consts::LOG2_E;
// ln 2 in two parts: the upper one has so few bits that its product with an exponent is exact (Cody and Waite).
const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -2.121_944_4e-4;
// 1.5 · 2²³: adding and subtracting it rounds to the nearest integer.
const ROUND: f32 = 12_582_912.0;

/// eˣ within 2 units in the last place; 0 below −87.3, at most e^88.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    let t = x.clamp(-87.3, 88.0);
    let n = fma::<FMA>(t, LOG2_E, ROUND) - ROUND;
    let r = fma::<FMA>(n, -LN2_LO, fma::<FMA>(n, -LN2_HI, t));
    // Taylor coefficients suffice on |r| <= ln 2 / 2: the first one left out contributes 3e-9.
    let mut p = 1.0 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = fma::<FMA>(p, r, c);
    }
    // The rounded exponent sits in the low bits of `n + ROUND`; shifting it up makes it the exponent field.
    let scale = f32::from_bits((n + ROUND).to_bits().wrapping_add(127) << 23);
    if x < -87.3 { 0.0 } else { p * scale }
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
pub(crate) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_to_the_exact_value_everywhere() {
        let mut worst = 0f64;
        for i in -870_000..=880_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            for got in [exp::<true>(x), exp::<false>(x)] {
                worst = worst.max((f64::from(got) - exact).abs() / exact);
            }
        }
        assert!(worst < 3e-7, "relative error {worst:e}");
        assert_eq!(exp::<true>(-1e4), 0.0);
        assert_eq!(exp::<true>(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp::<true>(0.0), 1.0);
        assert!(exp::<true>(f32::NAN).is_nan());
    }
}
