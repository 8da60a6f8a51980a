//! From f32 rows to 8-bit codes: the one quantiser.
//!
//! q = clamp(round-half-even(x · (1/s)), −127, 127) with s = absmax/127 in f32, at least 1e-8. Static scales are given;
//! per-token scales are found from the row. Not-a-number becomes 0, an infinity ±127. Every level gives the same codes.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

#[cfg(target_arch = "x86_64")]
use crate::features::Level;
use crate::features::{Cpu, Features, Kernel, per_level, pick};

/// The smallest scale.
pub const SMALLEST_SCALE: f32 = 1e-8;

/// The largest code; the smallest is its negative.
const MOST: f32 = 127.0;

/// Where the scales of rows come from.
#[derive(Clone, Copy, Debug)]
pub enum RowScales<'a> {
    /// Known before: one for each row, filled from one number (per-tensor) or one a modality.
    Static(&'a [f32]),
    /// The largest magnitude of each row maps to 127.
    PerToken,
    /// The largest magnitude of each row maps to 31: 6 bits, in 8-bit codes.
    PerTokenSix,
}

/// The scale that maps magnitudes up to `absmax` to codes of at most `largest`: absmax / largest, at least 1e-8 and finite.
pub fn scale_of(absmax: f32, largest: f32) -> f32 {
    let scale = (absmax / largest).max(SMALLEST_SCALE);
    if scale.is_finite() { scale } else { f32::MAX }
}

/// The definition: one value's code for a scale whose reciprocal is `inverse`, between `least` and `most`.
#[inline(always)]
pub fn quantize_scalar(x: f32, inverse: f32, least: f32, most: f32) -> i8 {
    (x * inverse).round_ties_even().clamp(least, most) as i8
}

/// Codes of `x` for the scale whose reciprocal is `inverse`; returns their sum.
///
/// # Panics
/// If there are not as many codes as values.
pub(crate) fn quantize(cpu: Cpu, x: &[f32], inverse: f32, codes: &mut [i8]) -> i32 {
    assert_eq!(x.len(), codes.len(), "values and codes");
    // SAFETY: `pick` gives a kernel whose features the CPU has.
    unsafe { (pick(KERNELS, cpu).run)(x, inverse, codes) }
}

/// Codes of values for the reciprocal of a scale, and their sum.
type Quantize = unsafe fn(&[f32], f32, &mut [i8]) -> i32;

/// Every kernel, best first; the last is the definition.
pub(crate) const KERNELS: &[Kernel<Quantize>] = &[
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "avx512", needs: Level::Avx512.needs(), run: avx512::quantize },
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "avx2", needs: Level::Avx2.needs(), run: avx2::quantize },
    Kernel { name: "scalar", needs: Features::NONE, run: scalar::quantize },
];

/// Values that the largest magnitude is looked for in at once.
const LANES: usize = 64;

#[inline(always)]
fn absmax_body(x: &[f32]) -> f32 {
    // Not-a-number is never larger.
    let larger = |most: &mut f32, v: &f32| *most = if v.abs() > *most { v.abs() } else { *most };
    let mut lanes = [0f32; LANES];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(most, v)| larger(most, v));
    }
    lanes.iter_mut().zip(tail).for_each(|(most, v)| larger(most, v));
    lanes.into_iter().fold(0.0, f32::max)
}

per_level! {
    /// The largest magnitude; not-a-number counts as 0.
    pub(crate) fn absmax(x: &[f32]) -> f32 = absmax_body
}

#[cfg(test)]
mod tests;
