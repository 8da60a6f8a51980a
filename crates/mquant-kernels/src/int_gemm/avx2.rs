//! AVX2: `vpmaddubsw` adds two products of unsigned weight bytes and signed codes in 16 bits.
//!
//! It would saturate at 255 · 128 · 2, so weight bytes go in as two 4-bit halves: a lane grows by at most
//! 2 · 15 · 128 = 3840 a step, and 8 steps (30 720) fit 16 bits. Epilogue lanes are widened into the i32 sums, halves of 8-bit
//! weights with factors 1 and 16; halves of 4-bit weights are two outputs. So one loop serves both.

use std::arch::x86_64::*;

use super::{Start, Sums, Tile, TileKernel};
use crate::features::{Features, Kernel};
use crate::int_weight::{Bits, PANEL, STEP, step_len};

pub(super) const KERNEL: Kernel<TileKernel> =
    Kernel { name: "avx2", needs: Features::AVX2, run: TileKernel { rows: 6, run: tile } };

/// Steps whose products fit 16 bits.
const STEPS_IN_16_BITS: usize = 8;
/// Bytes of a vector: 8 outputs or pairs of outputs of a step.
const CHUNK: usize = 32;
/// How far ahead panels are fetched where few rows pass them, in bytes.
const AHEAD_IN_MEMORY: usize = 8192;
/// Outputs of a vector of sums.
const LANES: usize = 8;

/// # Safety
/// The CPU has the features; the codes of each row reach as far as the panel's steps.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile(tile: Tile<'_>, sums: &mut Sums) {
    if tile.sums == Start::New {
        sums[..tile.rows].fill([0; PANEL]);
    }
    // Fewer rows take more vectors at once: 2 · rows · vectors lanes have to stay in 16 registers.
    // SAFETY: passed on.
    unsafe {
        match tile.rows {
            1 => rows::<1, 4>(tile, sums),
            2 => rows::<2, 2>(tile, sums),
            3 => rows::<3, 2>(tile, sums),
            4 => rows::<4, 1>(tile, sums),
            5 => rows::<5, 1>(tile, sums),
            6 => rows::<6, 1>(tile, sums),
            rows => unreachable!("a tile of {rows} rows"),
        }
    }
}

/// # Safety
/// As [`tile`]; `tile.rows` is `R`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn rows<const R: usize, const C: usize>(tile: Tile<'_>, sums: &mut Sums) {
    let step = step_len(tile.bits);
    for first in (0..step / CHUNK).step_by(C) {
        for (block, steps) in tile.panel.chunks(STEPS_IN_16_BITS * step).enumerate() {
            let codes = &tile.codes[block * STEPS_IN_16_BITS * STEP..];
            // SAFETY: the steps have vectors up to `first + C`, and the caller promised codes for all of them.
            let lanes =
                unsafe { block_of::<R, C>(&steps[first * CHUNK..], step, steps.len() / step, codes, tile.stride) };
            for (lanes, sums) in lanes.iter().zip(&mut *sums) {
                for (c, halves) in lanes.iter().enumerate() {
                    widen(tile.bits, first + c, *halves, sums);
                }
            }
        }
    }
}

/// 16-bit sums of low and high halves for `R` rows and `C` vectors over a few steps.
///
/// # Safety
/// `steps` times, `C` vectors lie every `step` bytes of `panel`, and 4 codes in each of `R` rows.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn block_of<const R: usize, const C: usize>(
    panel: &[u8],
    step: usize,
    steps: usize,
    codes: &[i8],
    stride: usize,
) -> [[[__m256i; 2]; C]; R] {
    let low = _mm256_set1_epi8(15);
    let mut lanes = [[[_mm256_setzero_si256(); 2]; C]; R];
    let (mut panel, mut codes) = (panel.as_ptr(), codes.as_ptr());
    for _ in 0..steps {
        // Few rows take weights from memory faster than they are fetched unasked. Fetching is no access: it may go beyond the end.
        if R <= 2 {
            for at in (0..C * CHUNK).step_by(64) {
                _mm_prefetch::<_MM_HINT_T0>(panel.wrapping_add(AHEAD_IN_MEMORY + at).cast());
            }
        }
        // SAFETY: the caller promised these vectors.
        let halves: [[__m256i; 2]; C] = std::array::from_fn(|c| unsafe {
            let bytes = _mm256_loadu_si256(panel.add(c * CHUNK).cast());
            [_mm256_and_si256(bytes, low), _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low)]
        });
        for (r, lanes) in lanes.iter_mut().enumerate() {
            // SAFETY: the caller promised these codes.
            let a = _mm256_set1_epi32(unsafe { codes.add(r * stride).cast::<i32>().read_unaligned() });
            for (lanes, halves) in lanes.iter_mut().zip(halves) {
                for (lane, half) in lanes.iter_mut().zip(halves) {
                    *lane = _mm256_add_epi16(*lane, _mm256_maddubs_epi16(half, a));
                }
            }
        }
        (panel, codes) = (panel.wrapping_add(step), codes.wrapping_add(STEP));
    }
    lanes
}

/// Adds the 16-bit sums of vector `chunk` of a step to the sums of its outputs.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn widen(bits: Bits, chunk: usize, [low, high]: [__m256i; 2], sums: &mut [i32]) {
    let one = _mm256_set1_epi16(1);
    match bits {
        Bits::Four => {
            let output = chunk / 2 * 32 + chunk % 2 * LANES;
            add(_mm256_madd_epi16(low, one), &mut sums[output..]);
            add(_mm256_madd_epi16(high, one), &mut sums[output + 16..]);
        }
        Bits::Eight => {
            let high = _mm256_madd_epi16(high, _mm256_set1_epi16(16));
            add(_mm256_add_epi32(_mm256_madd_epi16(low, one), high), &mut sums[chunk * LANES..]);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add(x: __m256i, sums: &mut [i32]) {
    let sums = sums.first_chunk_mut::<LANES>().expect("a vector of sums");
    // SAFETY: 8 sums lie here.
    unsafe {
        let before = _mm256_loadu_si256(sums.as_ptr().cast());
        _mm256_storeu_si256(sums.as_mut_ptr().cast(), _mm256_add_epi32(before, x));
    }
}
