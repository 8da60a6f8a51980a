//! The size a picture is resized to, in the reference's own floating-point steps.

use super::error::ProcessorError;

/// Bounds and unit of a size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// Both sides become multiples of this.
    pub(super) factor: u32,
    pub(super) min_pixels: u64,
    pub(super) max_pixels: u64,
}

/// Longest side over shortest.
const ASPECT: u64 = 200;

/// `(width, height)` to resize to: each at least `factor` and a multiple of it.
///
/// With `round` to even: sides rounded to multiples; if that is too many pixels, both divided by `√(h·w / max)` and rounded
/// down; if too few, both multiplied by `√(min / (h·w))` and rounded up.
pub(super) fn smart_resize((width, height): (u32, u32), target: Target) -> Result<(u32, u32), ProcessorError> {
    if width == 0 || height == 0 {
        return Err(ProcessorError::Empty { width, height });
    }
    let (long, short) = (u64::from(width.max(height)), u64::from(width.min(height)));
    if long > short * ASPECT {
        return Err(ProcessorError::Aspect { width, height });
    }
    let factor = f64::from(target.factor);
    let (w, h) = (f64::from(width), f64::from(height));
    let (min, max) = (target.min_pixels as f64, target.max_pixels as f64);
    let rounded = [w, h].map(|side| (side / factor).round_ties_even() * factor);
    let pixels = rounded[0] * rounded[1];
    let [width, height] = if pixels > max {
        let beta = ((h * w) / max).sqrt();
        [w, h].map(|side| factor.max((side / beta / factor).floor() * factor))
    } else if pixels < min {
        let beta = (min / (h * w)).sqrt();
        [w, h].map(|side| (side * beta / factor).ceil() * factor)
    } else {
        rounded
    };
    Ok((width as u32, height as u32))
}
