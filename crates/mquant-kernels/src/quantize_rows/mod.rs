//! From f32 rows to 8-bit codes: the one quantiser.
//!
//! q = clamp(round-half-even(x · (1/s)), −127, 127) with s = absmax/127 in f32, at least 1e-8. Static scales are given;
//! per-token scales are found from the row. Not-a-number becomes 0.

use crate::features::per_level;

/// The smallest scale.
pub const SMALLEST_SCALE: f32 = 1e-8;

/// Where the scales of rows come from.
#[derive(Clone, Copy, Debug)]
pub enum RowScales<'a> {
    /// Known before: one for each row, filled from one number (per-tensor) or one a modality.
    Static(&'a [f32]),
    /// The largest magnitude of each row maps to 127.
    PerToken,
}

/// The scale that maps magnitudes up to `absmax` to codes of at most `largest`: absmax / largest, at least 1e-8.
pub fn scale_of(absmax: f32, largest: f32) -> f32 {
    (absmax / largest).max(SMALLEST_SCALE)
}

/// The definition: one value's code for a scale whose reciprocal is `inverse`, at most `largest` either way.
#[inline(always)]
pub fn quantize_scalar(x: f32, inverse: f32, least: f32, most: f32) -> i8 {
    (x * inverse).round_ties_even().clamp(least, most) as i8
}

#[inline(always)]
fn quantize_body(x: &[f32], inverse: f32, codes: &mut [i8]) -> i32 {
    let mut sum = 0;
    for (code, x) in codes.iter_mut().zip(x) {
        *code = quantize_scalar(*x, inverse, -127.0, 127.0);
        sum += i32::from(*code);
    }
    sum
}

#[inline(always)]
fn absmax_body(x: &[f32]) -> f32 {
    let mut lanes = [0f32; 64];
    let (chunks, tail) = x.as_chunks::<64>();
    for c in chunks {
        lanes.iter_mut().zip(c).for_each(|(l, v)| *l = l.max(v.abs()));
    }
    lanes.iter_mut().zip(tail).for_each(|(l, v)| *l = l.max(v.abs()));
    lanes.into_iter().fold(0.0, f32::max)
}

per_level! {
    /// Codes of `x` for the scale whose reciprocal is `inverse`; returns their sum.
    pub(crate) fn quantize(x: &[f32], inverse: f32, codes: &mut [i8]) -> i32 = quantize_body
}
per_level! {
    /// The largest magnitude.
    pub(crate) fn absmax(x: &[f32]) -> f32 = absmax_body
}
