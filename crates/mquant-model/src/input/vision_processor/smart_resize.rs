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
    Ok(within((f64::from(width), f64::from(height)), [1.0, 1.0], target))
}

/// [`smart_resize`] of `frames` frames, `temporal` of them in a patch, whose pixels are counted together, frames rounded to
/// whole patches, halves to even. Sides below `factor` are enlarged first.
pub(super) fn smart_resize_video(
    frames: usize,
    temporal: usize,
    (width, height): (u32, u32),
    target: Target,
) -> Result<(u32, u32), ProcessorError> {
    if width == 0 || height == 0 {
        return Err(ProcessorError::Empty { width, height });
    }
    let (mut w, mut h) = (f64::from(width), f64::from(height));
    let factor = f64::from(target.factor);
    if w < factor || h < factor {
        let scale = (factor / h).max(factor / w);
        (w, h) = ((w * scale).trunc(), (h * scale).trunc());
    }
    if w.max(h) / w.min(h) > ASPECT as f64 {
        return Err(ProcessorError::Aspect { width, height });
    }
    let rounded = (frames as f64 / temporal as f64).round_ties_even() * temporal as f64;
    Ok(within((w, h), [frames as f64, rounded], target))
}

/// Sides within the bounds; `frames` of this size count, as they are and rounded.
fn within((w, h): (f64, f64), [frames, rounded_frames]: [f64; 2], target: Target) -> (u32, u32) {
    let factor = f64::from(target.factor);
    let (min, max) = (target.min_pixels as f64, target.max_pixels as f64);
    let rounded = [w, h].map(|side| (side / factor).round_ties_even() * factor);
    let pixels = rounded_frames * rounded[1] * rounded[0];
    let [width, height] = if pixels > max {
        let beta = ((frames * h * w) / max).sqrt();
        [w, h].map(|side| factor.max((side / beta / factor).floor() * factor))
    } else if pixels < min {
        let beta = (min / (frames * h * w)).sqrt();
        [w, h].map(|side| (side * beta / factor).ceil() * factor)
    } else {
        rounded
    };
    (width as u32, height as u32)
}
