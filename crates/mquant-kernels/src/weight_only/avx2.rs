//! AVX2 and FMA: a vector of bytes holds the codes of 8 outputs (8 bits) or of two times 8 (4 bits) for four inputs. Flipping
//! the highest bit of a code makes it a number in two's complement; a shift to the left brings the code of one input to the
//! top of each 32-bit lane, one to the right extends its sign.

use std::arch::x86_64::*;

use super::{MAX_ROWS, Row, Run, Tile};
use crate::features::{Kernel, Level};
use crate::int_weight::{Bits, STEP, step_len};

pub(super) const KERNEL: Kernel<Run> = Kernel { name: "avx2", needs: Level::Avx2.needs(), run: tile };

/// Bytes of a vector.
const CHUNK: usize = 32;
/// Outputs of a vector of sums.
const LANES: usize = 8;
/// How far ahead panels are fetched where few rows pass them, in bytes.
const AHEAD: usize = 8192;

/// Sums of `R` rows with `V` vectors of bytes: low and high halves, of which 8-bit codes have the first only.
type Sums<const R: usize, const V: usize> = [[[__m256; 2]; V]; R];

/// # Safety
/// The CPU has the features; each row has as many inputs as the steps; `y` has as many rows.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile(tile: Tile<'_>, y: &mut [Row]) {
    // Sums have to stay in 16 registers: fewer rows take more vectors at once.
    // SAFETY: passed on.
    unsafe {
        match (tile.rows, tile.bits) {
            (1, Bits::Four) => rows::<1, 4, true>(tile, y),
            (2, Bits::Four) => rows::<2, 2, true>(tile, y),
            (3, Bits::Four) => rows::<3, 1, true>(tile, y),
            (4, Bits::Four) => rows::<4, 1, true>(tile, y),
            (1, Bits::Eight) => rows::<1, 8, false>(tile, y),
            (2, Bits::Eight) => rows::<2, 4, false>(tile, y),
            (3, Bits::Eight) => rows::<3, 2, false>(tile, y),
            (4, Bits::Eight) => rows::<4, 2, false>(tile, y),
            (rows, _) => unreachable!("a tile of {rows} rows, at most {MAX_ROWS}"),
        }
    }
}

/// # Safety
/// As [`tile`]; `tile.rows` is `R`, and `FOUR` says that codes have 4 bits.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn rows<const R: usize, const V: usize, const FOUR: bool>(tile: Tile<'_>, y: &mut [Row]) {
    let flip = _mm256_set1_epi8(if FOUR { 0x88u8 } else { 0x80 }.cast_signed());
    let step = step_len(tile.bits);
    for first in (0..step / CHUNK).step_by(V) {
        let mut sums: Sums<R, V> = [[[_mm256_setzero_ps(); 2]; V]; R];
        let (mut at, mut x) = (tile.steps[first * CHUNK..].as_ptr(), tile.x.as_ptr());
        for _ in 0..tile.steps.len() / step {
            // Few rows take weights from memory faster than they are fetched unasked. Fetching is no access: it may go
            // beyond the end.
            if R <= 2 {
                for line in (0..V * CHUNK).step_by(64) {
                    _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD + line).cast());
                }
            }
            // SAFETY: a step has vectors up to `first + V`.
            let bytes: [__m256i; V] = std::array::from_fn(|v| unsafe {
                _mm256_xor_si256(_mm256_loadu_si256(at.add(v * CHUNK).cast()), flip)
            });
            // SAFETY: the caller promised inputs of every row for this step.
            unsafe {
                input::<R, V, FOUR, 28, 24>(bytes, x, tile.stride, &mut sums);
                input::<R, V, FOUR, 20, 16>(bytes, x.add(1), tile.stride, &mut sums);
                input::<R, V, FOUR, 12, 8>(bytes, x.add(2), tile.stride, &mut sums);
                input::<R, V, FOUR, 4, 0>(bytes, x.add(3), tile.stride, &mut sums);
            }
            (at, x) = (at.wrapping_add(step), x.wrapping_add(STEP));
        }
        for (sums, y) in sums.iter().zip(&mut *y) {
            for (v, [low, high]) in sums.iter().enumerate() {
                let vector = first + v;
                if FOUR {
                    let output = vector / 2 * 32 + vector % 2 * LANES;
                    add(*low, &tile.scales[output..], &mut y[output..]);
                    add(*high, &tile.scales[output + 16..], &mut y[output + 16..]);
                } else {
                    add(*low, &tile.scales[vector * LANES..], &mut y[vector * LANES..]);
                }
            }
        }
    }
}

/// Adds the products with one input, whose 4-bit codes are `LOW` and `HIGH` bits below the top, 8-bit codes `HIGH` bits.
///
/// # Safety
/// `R` inputs lie every `stride` values of `x`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn input<const R: usize, const V: usize, const FOUR: bool, const LOW: i32, const HIGH: i32>(
    bytes: [__m256i; V],
    x: *const f32,
    stride: usize,
    sums: &mut Sums<R, V>,
) {
    // SAFETY: the caller promised these inputs.
    let x: [__m256; R] = std::array::from_fn(|r| unsafe { _mm256_set1_ps(*x.add(r * stride)) });
    for (v, bytes) in bytes.into_iter().enumerate() {
        let codes = if FOUR {
            [
                _mm256_srai_epi32::<28>(_mm256_slli_epi32::<LOW>(bytes)),
                _mm256_srai_epi32::<28>(_mm256_slli_epi32::<HIGH>(bytes)),
            ]
        } else {
            [_mm256_srai_epi32::<24>(_mm256_slli_epi32::<HIGH>(bytes)); 2]
        };
        let [low, high] = [_mm256_cvtepi32_ps(codes[0]), _mm256_cvtepi32_ps(codes[1])];
        for (sums, x) in sums.iter_mut().zip(x) {
            sums[v][0] = _mm256_fmadd_ps(x, low, sums[v][0]);
            if FOUR {
                sums[v][1] = _mm256_fmadd_ps(x, high, sums[v][1]);
            }
        }
    }
}

/// y = sum · scale + y, fused.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add(sum: __m256, scales: &[f32], y: &mut [f32]) {
    let scales = scales.first_chunk::<LANES>().expect("scales of a vector");
    let y = y.first_chunk_mut::<LANES>().expect("results of a vector");
    // SAFETY: 8 scales and 8 results lie here.
    unsafe {
        let scaled = _mm256_fmadd_ps(sum, _mm256_loadu_ps(scales.as_ptr()), _mm256_loadu_ps(y.as_ptr()));
        _mm256_storeu_ps(y.as_mut_ptr(), scaled);
    }
}
