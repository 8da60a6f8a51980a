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
        let precision = (0..MAX_PRECISION)
            .find(|&p| (0.5 + largest * f64::from(1u32 << (p + 1))) as i32 >= 1 << 15)
            .unwrap_or(MAX_PRECISION);
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
    let (row, out_row) = (from.0 * 3, to * 3);
    let mut output = vec![0; from.1 * out_row];
    // One value of LANES rows side by side: sums over columns then run on whole vectors.
    let mut tile = vec![[0u8; LANES]; row];
    let mut out_tile = vec![[0u8; LANES]; out_row];
    for (rows, out_rows) in pixels.chunks(LANES * row).zip(output.chunks_mut(LANES * out_row)) {
        rows_to_tile(rows, row, &mut tile);
        for ((first, range), out) in weights.taps.iter().zip(out_tile.as_chunks_mut::<3>().0) {
            let (inputs, _) = tile[first * 3..].as_chunks::<3>();
            let mut sums = [[weights.half(); LANES]; 3];
            for (&w, input) in weights.values[range.clone()].iter().zip(inputs) {
                for (sum, values) in sums.iter_mut().zip(input) {
                    for (s, &v) in sum.iter_mut().zip(values) {
                        *s = s.wrapping_add(i32::from(w) * i32::from(v));
                    }
                }
            }
            *out = sums.map(|sum| sum.map(|s| byte(s, weights.precision)));
        }
        tile_to_rows(&out_tile, out_rows, out_row);
    }
    output
}

/// Lane `l` of value `i` becomes byte `i` of row `l`; lanes without a row are left as zeros.
fn rows_to_tile(rows: &[u8], row: usize, tile: &mut [[u8; LANES]]) {
    for (block, values) in tile.chunks_mut(8).enumerate() {
        let columns = block * 8..block * 8 + values.len();
        for half in (0..LANES).step_by(8) {
            let mut words = [0u64; 8];
            for (word, row) in words.iter_mut().zip(rows.chunks_exact(row).skip(half)) {
                let bytes = &row[columns.clone()];
                *word = u64::from_le_bytes(bytes.try_into().unwrap_or_else(|_| {
                    let mut padded = [0; 8];
                    padded[..bytes.len()].copy_from_slice(bytes);
                    padded
                }));
            }
            transpose(&mut words);
            for (value, word) in values.iter_mut().zip(words) {
                value[half..half + 8].copy_from_slice(&word.to_le_bytes());
            }
        }
    }
}

/// The inverse of [`rows_to_tile`].
fn tile_to_rows(tile: &[[u8; LANES]], rows: &mut [u8], row: usize) {
    for (block, values) in tile.chunks(8).enumerate() {
        let columns = block * 8..block * 8 + values.len();
        for half in (0..LANES).step_by(8) {
            let mut words = [0u64; 8];
            for (word, value) in words.iter_mut().zip(values) {
                let (_, lanes) = value.split_at(half);
                *word = u64::from_le_bytes(*lanes.first_chunk().expect("LANES is a multiple of 8"));
            }
            transpose(&mut words);
            for (word, row) in words.iter().zip(rows.chunks_exact_mut(row).skip(half)) {
                row[columns.clone()].copy_from_slice(&word.to_le_bytes()[..values.len()]);
            }
        }
    }
}

/// Byte `j` of word `i` changes places with byte `i` of word `j`.
fn transpose(words: &mut [u64; 8]) {
    for (distance, mask) in [(4, 0x0000_0000_ffff_ffff), (2, 0x0000_ffff_0000_ffff), (1, 0x00ff_00ff_00ff_00ff)] {
        for i in (0..8).filter(|i| i & distance == 0) {
            let swap = ((words[i] >> (distance * 8)) ^ words[i + distance]) & mask;
            words[i + distance] ^= swap;
            words[i] ^= swap << (distance * 8);
        }
    }
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
