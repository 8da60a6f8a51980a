//! Antialiased bicubic resampling (`a = −0.5`) of 8-bit RGB, bit for bit as the reference does it.
//!
//! Per axis, with `scale = n_in / n_out`: output `i` is centred at `scale·(i + ½)`; its filter is `cubic(t / max(scale, 1))`
//! over the inputs within `2·max(scale, 1)`, normalised to 1 in f64, then rounded to 16-bit integers with the largest common
//! power of two that keeps every weight of the axis below 2¹⁵. A pass sums `weight·value` in i32, adds one half, shifts and
//! clamps to a byte. Columns first, rows second; an axis that keeps its length is skipped. See decision 003.

use super::image::RgbImage;

/// Rows that share a pass over the columns: enough for wide vector registers, few enough for the cache.
const LANES: usize = 16;

/// Largest power of two that weights are scaled by. The weights of one output sum to at most 1.3 in magnitude, so a sum stays
/// below `1.3 · 2²² · 255 < 2³¹`; it is added with wrapping so that checked builds keep their vector loops.
const MAX_PRECISION: u32 = 22;

/// `image` resampled to `width × height`, both at least 1.
///
/// # Panics
/// If a side is 0.
pub fn resize(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    assert!(width > 0 && height > 0, "resize to {width}×{height}");
    let from = (image.width() as usize, image.height() as usize);
    let to = (width as usize, height as usize);
    let columns = (from.0 != to.0).then(|| resample_columns(image.pixels(), from, to.0));
    let pixels = columns.as_deref().unwrap_or(image.pixels());
    let pixels = if from.1 == to.1 { pixels.to_vec() } else { resample_rows(pixels, to.0 * 3, from.1, to.1) };
    RgbImage::new(width, height, pixels).expect("a pass fills its output")
}

/// Integer weights of one axis.
struct Weights {
    /// First input and range in `values`, per output.
    taps: Vec<(usize, std::ops::Range<usize>)>,
    values: Vec<i16>,
    /// The weights are multiples of `2^-precision`.
    precision: u32,
}

impl Weights {
    fn new(inputs: usize, outputs: usize) -> Self {
        let scale = inputs as f64 / outputs as f64;
        let (support, inverse) = if scale >= 1.0 { (2.0 * scale, 1.0 / scale) } else { (2.0, 1.0) };
        let mut taps = Vec::with_capacity(outputs);
        let mut exact = Vec::new();
        for i in 0..outputs {
            let center = scale * (i as f64 + 0.5);
            // Casting truncates towards zero and saturates at it, which is the lower clamp.
            let first = (center - support + 0.5) as usize;
            let last = ((center + support + 0.5) as usize).min(inputs);
            let start = exact.len();
            exact.extend((first..last).map(|j| cubic((j as f64 - center + 0.5) * inverse)));
            let sum: f64 = exact[start..].iter().sum();
            exact[start..].iter_mut().for_each(|w| *w /= sum);
            taps.push((first, start..exact.len()));
        }
        let largest = exact.iter().copied().fold(0.0, f64::max);
        let precision = (0..MAX_PRECISION).find(|&p| (0.5 + largest * f64::from(1u32 << (p + 1))) as i32 >= 1 << 15).unwrap_or(MAX_PRECISION);
        let one = f64::from(1u32 << precision);
        let values = exact.iter().map(|w| (w * one + 0.5f64.copysign(*w)) as i16).collect();
        Self { taps, values, precision }
    }

    /// Half of the unit, so that the shift rounds to nearest.
    fn half(&self) -> i32 {
        1 << (self.precision - 1)
    }
}

/// The Catmull-Rom kernel.
fn cubic(t: f64) -> f64 {
    const A: f64 = -0.5;
    let t = t.abs();
    if t < 1.0 {
        ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0
    } else if t < 2.0 {
        (((t - 5.0) * t + 8.0) * t - 4.0) * A
    } else {
        0.0
    }
}

/// `from = (width, height)`; the result is `height × to × 3`.
fn resample_columns(pixels: &[u8], from: (usize, usize), to: usize) -> Vec<u8> {
    let weights = Weights::new(from.0, to);
    let mut output = vec![0; from.1 * to * 3];
    // One value of LANES rows side by side: the sum over columns then runs on whole vectors.
    let mut tile = vec![[0i16; LANES]; from.0 * 3];
    for (rows, out_rows) in pixels.chunks(LANES * from.0 * 3).zip(output.chunks_mut(LANES * to * 3)) {
        for (lane, row) in rows.chunks_exact(from.0 * 3).enumerate() {
            for (values, &v) in tile.iter_mut().zip(row) {
                values[lane] = i16::from(v);
            }
        }
        for (x, (first, range)) in weights.taps.iter().enumerate() {
            let mut sums = [[weights.half(); LANES]; 3];
            let (inputs, _) = tile[first * 3..].as_chunks::<3>();
            for (&w, input) in weights.values[range.clone()].iter().zip(inputs) {
                for (sum, values) in sums.iter_mut().zip(input) {
                    for (s, &v) in sum.iter_mut().zip(values) {
                        *s = s.wrapping_add(i32::from(w) * i32::from(v));
                    }
                }
            }
            for (lane, row) in out_rows.chunks_exact_mut(to * 3).enumerate() {
                for (out, sum) in row[x * 3..x * 3 + 3].iter_mut().zip(&sums) {
                    *out = byte(sum[lane], weights.precision);
                }
            }
        }
    }
    output
}

/// `row` values in each of `from` rows; the result has `to` rows.
fn resample_rows(pixels: &[u8], row: usize, from: usize, to: usize) -> Vec<u8> {
    let weights = Weights::new(from, to);
    let mut output = vec![0; row * to];
    let mut sums = vec![0i32; row];
    for ((first, range), out) in weights.taps.iter().zip(output.chunks_exact_mut(row)) {
        sums.fill(weights.half());
        for (&w, input) in weights.values[range.clone()].iter().zip(pixels[first * row..].chunks_exact(row)) {
            for (s, &v) in sums.iter_mut().zip(input) {
                *s = s.wrapping_add(i32::from(w) * i32::from(v));
            }
        }
        for (o, &s) in out.iter_mut().zip(&sums) {
            *o = byte(s, weights.precision);
        }
    }
    output
}

fn byte(sum: i32, precision: u32) -> u8 {
    (sum >> precision).clamp(0, 255) as u8
}
