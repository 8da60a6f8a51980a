//! AVX-512: as AVX2, with 16 outputs of a vector of sums, so that 32 registers hold those of four rows and a whole panel.

use std::arch::x86_64::*;

use super::{MAX_ROWS, Row, Run, Tile};
use crate::features::{Kernel, Level};
use crate::int_weight::{Bits, STEP, step_len};

pub(super) const KERNEL: Kernel<Run> = Kernel { name: "avx512", needs: Level::Avx512.needs(), run: tile };

/// Bytes of a vector.
const CHUNK: usize = 64;
/// Outputs of a vector of sums.
const LANES: usize = 16;
/// How far ahead panels are fetched, in bytes.
const AHEAD: usize = 8192;

/// Sums of `R` rows with `V` vectors of bytes: low and high halves, of which 8-bit codes have the first only.
type Sums<const R: usize, const V: usize> = [[[__m512; 2]; V]; R];

/// # Safety
/// The CPU has the features; each row has as many inputs as the steps; `y` has as many rows.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn tile(tile: Tile<'_>, y: &mut [Row]) {
    // SAFETY: passed on.
    unsafe {
        match (tile.rows, tile.bits) {
            (1, Bits::Four) => rows::<1, 2, true>(tile, y),
            (2, Bits::Four) => rows::<2, 2, true>(tile, y),
            (3, Bits::Four) => rows::<3, 2, true>(tile, y),
            (4, Bits::Four) => rows::<4, 2, true>(tile, y),
            (1, Bits::Eight) => rows::<1, 4, false>(tile, y),
            (2, Bits::Eight) => rows::<2, 4, false>(tile, y),
            (3, Bits::Eight) => rows::<3, 4, false>(tile, y),
            (4, Bits::Eight) => rows::<4, 4, false>(tile, y),
            (rows, _) => unreachable!("a tile of {rows} rows, at most {MAX_ROWS}"),
        }
    }
}

/// # Safety
/// As [`tile`]; `tile.rows` is `R`, `FOUR` says that codes have 4 bits, and `V` vectors are a step.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn rows<const R: usize, const V: usize, const FOUR: bool>(tile: Tile<'_>, y: &mut [Row]) {
    let flip = _mm512_set1_epi8(if FOUR { 0x88u8 } else { 0x80 }.cast_signed());
    let step = step_len(tile.bits);
    let mut sums: Sums<R, V> = [[[_mm512_setzero_ps(); 2]; V]; R];
    let (mut at, mut x) = (tile.steps.as_ptr(), tile.x.as_ptr());
    for _ in 0..tile.steps.len() / step {
        // SAFETY: a step has `V` vectors. Fetching is no access: it may go beyond the end.
        let bytes: [__m512i; V] = std::array::from_fn(|v| unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD + v * CHUNK).cast());
            _mm512_xor_si512(_mm512_loadu_si512(at.add(v * CHUNK).cast()), flip)
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
    for (sums, y) in sums.iter().zip(y) {
        for (v, [low, high]) in sums.iter().enumerate() {
            if FOUR {
                let output = v * 2 * LANES;
                add(*low, &tile.scales[output..], &mut y[output..]);
                add(*high, &tile.scales[output + LANES..], &mut y[output + LANES..]);
            } else {
                add(*low, &tile.scales[v * LANES..], &mut y[v * LANES..]);
            }
        }
    }
}

/// Adds the products with one input, whose 4-bit codes are `LOW` and `HIGH` bits below the top, 8-bit codes `HIGH` bits.
///
/// # Safety
/// `R` inputs lie every `stride` values of `x`.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn input<const R: usize, const V: usize, const FOUR: bool, const LOW: u32, const HIGH: u32>(
    bytes: [__m512i; V],
    x: *const f32,
    stride: usize,
    sums: &mut Sums<R, V>,
) {
    // SAFETY: the caller promised these inputs.
    let x: [__m512; R] = std::array::from_fn(|r| unsafe { _mm512_set1_ps(*x.add(r * stride)) });
    for (v, bytes) in bytes.into_iter().enumerate() {
        let codes = if FOUR {
            [
                _mm512_srai_epi32::<28>(_mm512_slli_epi32::<LOW>(bytes)),
                _mm512_srai_epi32::<28>(_mm512_slli_epi32::<HIGH>(bytes)),
            ]
        } else {
            [_mm512_srai_epi32::<24>(_mm512_slli_epi32::<HIGH>(bytes)); 2]
        };
        let [low, high] = [_mm512_cvtepi32_ps(codes[0]), _mm512_cvtepi32_ps(codes[1])];
        for (sums, x) in sums.iter_mut().zip(x) {
            sums[v][0] = _mm512_fmadd_ps(x, low, sums[v][0]);
            if FOUR {
                sums[v][1] = _mm512_fmadd_ps(x, high, sums[v][1]);
            }
        }
    }
}

/// y = sum · scale + y, fused.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
fn add(sum: __m512, scales: &[f32], y: &mut [f32]) {
    let scales = scales.first_chunk::<LANES>().expect("scales of a vector");
    let y = y.first_chunk_mut::<LANES>().expect("results of a vector");
    // SAFETY: 16 scales and 16 results lie here.
    unsafe {
        let scaled = _mm512_fmadd_ps(sum, _mm512_loadu_ps(scales.as_ptr()), _mm512_loadu_ps(y.as_ptr()));
        _mm512_storeu_ps(y.as_mut_ptr(), scaled);
    }
}
