//! Fake quantisation of values that share a scale, and its gradient.
//!
//! step = absmax / most in f32, at least [`SMALLEST_SCALE`]; code = clamp(round-half-even(x / step), −most, most);
//! x̂ = code · step, with most = 2^(bits−1) − 1.
//!
//! Gradient, with g = ∂L/∂x̂, n the code before it is clamped, and k the place of the largest magnitude:
//!
//! ∂L/∂x_i = g_i·\[|n_i| ≤ most\] + \[i = k\]·sign(x_k)/most · Σ_l g_l·(code_l − (x_l/step)·\[|n_l| ≤ most\])
//!
//! The first term is the straight-through rule for rounding; the second is the true gradient through the scale, which
//! follows the largest magnitude. Where the scale is at its lower bound there is no second term.

use mquant_kernels::{SMALLEST_SCALE, scale_of};

/// The largest code of so many bits.
pub(crate) fn most_of(bits: u32) -> f32 {
    ((1u32 << (bits - 1)) - 1) as f32
}

/// The nearest whole number, ties to even, of a magnitude below 2^22, as all codes are: in f32 the sum has no place for a
/// fraction. Unlike `round_ties_even` it calls no function, so loops are vectorised.
#[inline(always)]
fn nearest(x: f32) -> f32 {
    const WHOLE: f32 = 12_582_912.0;
    (x + WHOLE) - WHOLE
}

/// The largest magnitude and its place; of several the first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Largest {
    pub(crate) magnitude: f32,
    pub(crate) at: usize,
}

impl Largest {
    /// Of some values.
    pub(crate) fn of(values: &[f32]) -> Self {
        let magnitude = values.iter().fold(0f32, |most, v| most.max(v.abs()));
        let at = values.iter().position(|v| v.abs() == magnitude).unwrap_or(0);
        Self { magnitude, at }
    }
}

/// A scale and its largest code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    step: f32,
    inverse: f32,
    most: f32,
    /// Whether the scale follows the largest magnitude.
    follows: bool,
}

impl Grid {
    /// The grid of values with this largest magnitude.
    pub(crate) fn new(absmax: f32, most: f32) -> Self {
        let step = scale_of(absmax, most);
        Self { step, inverse: 1.0 / step, most, follows: step > SMALLEST_SCALE && step < f32::MAX }
    }

    /// x ← x̂.
    pub(crate) fn round(&self, values: &mut [f32]) {
        for v in values {
            *v = nearest(*v * self.inverse).clamp(-self.most, self.most) * self.step;
        }
    }

    /// Σ_l g_l·(code_l − (x_l/step)·\[|n_l| ≤ most\]) of `values` before rounding.
    pub(crate) fn scale_gradient(&self, values: &[f32], gradient: &[f32]) -> f32 {
        let of = |(v, g): (&f32, &f32)| {
            let position = v * self.inverse;
            let n = nearest(position);
            let rest = if n.abs() > self.most { n.clamp(-self.most, self.most) } else { n - position };
            g * rest
        };
        values.iter().zip(gradient).map(of).sum()
    }

    /// gradient ← the straight-through part.
    pub(crate) fn pass(&self, values: &[f32], gradient: &mut [f32]) {
        for (v, g) in values.iter().zip(gradient) {
            if nearest(v * self.inverse).abs() > self.most {
                *g = 0.0;
            }
        }
    }

    /// What is added at the place of the largest magnitude, whose value is `largest`.
    pub(crate) fn at_largest(&self, largest: f32, scale_gradient: f32) -> f32 {
        if self.follows { largest.signum() / self.most * scale_gradient } else { 0.0 }
    }
}

/// Rounds each `group` values by a scale of their own.
pub(crate) fn round_groups(values: &mut [f32], group: usize, most: f32) {
    for values in values.chunks_mut(group) {
        Grid::new(Largest::of(values).magnitude, most).round(values);
    }
}

/// Gradient of [`round_groups`]: `values` before rounding, `gradient` ∂L/∂x̂ on entry and ∂L/∂x on return.
pub(crate) fn round_groups_backward(values: &[f32], gradient: &mut [f32], group: usize, most: f32) {
    for (values, gradient) in values.chunks(group).zip(gradient.chunks_mut(group)) {
        let largest = Largest::of(values);
        let grid = Grid::new(largest.magnitude, most);
        let scale = grid.scale_gradient(values, gradient);
        grid.pass(values, gradient);
        gradient[largest.at] += grid.at_largest(values[largest.at], scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_reach_the_largest_and_no_further() {
        for bits in [2, 4, 6, 8] {
            let most = most_of(bits);
            let mut values: Vec<f32> = (0..301).map(|i| (i as f32 - 171.0) * 0.37).collect();
            let absmax = Largest::of(&values).magnitude;
            round_groups(&mut values, 301, most);
            let codes: Vec<f32> = values.iter().map(|v| v / scale_of(absmax, most)).collect();
            assert!(codes.iter().all(|c| (c - c.round()).abs() < 1e-4 && c.abs() < most + 1e-3), "{bits} bits");
            assert!((Largest::of(&values).magnitude - absmax).abs() < 1e-5 * absmax);
        }
    }

    /// Where no value crosses a rounding boundary, x̂ = code · absmax/most is differentiable in the largest magnitude, and
    /// the scale's share of the gradient is that derivative less what goes straight through.
    #[test]
    fn the_share_of_the_scale_is_its_derivative() {
        let values = [0.33f32, -1.4, 0.05, 0.71];
        let gradient = [0.7f32, -0.2, 1.3, 0.4];
        let most = most_of(4);
        let loss = |x: &[f32]| {
            let mut rounded = x.to_vec();
            round_groups(&mut rounded, 4, most);
            rounded.iter().zip(gradient).map(|(x, g)| f64::from(x * g)).sum::<f64>()
        };
        let step = 1e-3f32;
        let (mut up, mut down) = (values, values);
        up[1] += step;
        down[1] -= step;
        let numeric = (loss(&up) - loss(&down)) / f64::from(2.0 * step);
        // The straight-through terms of the other values, which this derivative does not have, cancel in the formula:
        // ∂L/∂x_k of the codes held fixed is sign(x_k)/most · Σ g_l·code_l.
        let mut ours = gradient;
        round_groups_backward(&values, &mut ours, 4, most);
        let absmax = 1.4f32;
        let straight: f32 = values.iter().zip(gradient).map(|(x, g)| g * x / (absmax / most)).sum();
        let fixed = f64::from(ours[1] - gradient[1]) + f64::from(-1.0 / most * straight);
        assert!((fixed - numeric).abs() < 2e-3, "{fixed} and {numeric}");
        assert_eq!(ours[0], gradient[0]);
    }

    #[test]
    fn whole_numbers_are_nearest_and_ties_even() {
        for i in -140_000..140_000 {
            let x = i as f32 * 0.25;
            assert_eq!(nearest(x), x.round_ties_even(), "{x}");
        }
        assert!(nearest(f32::NAN).is_nan());
    }

    #[test]
    fn zeros_have_no_scale_to_follow() {
        let mut gradient = [1.0f32, 2.0];
        round_groups_backward(&[0.0, 0.0], &mut gradient, 2, 7.0);
        assert_eq!(gradient, [1.0, 2.0]);
    }
}
