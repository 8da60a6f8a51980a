//! AVX-VNNI: `vpdpbusd` of 256 bits, VEX-encoded, adds four products of unsigned weight bytes and signed codes to each i32.
//!
//! A vector holds 8 outputs of a step, or 8 outputs in its low and 8 in its high halves of bytes. Sums of R rows × C vectors,
//! twice as many for halves, stay in 16 registers with the weights and one broadcast of 4 codes.

use std::arch::x86_64::*;
use std::array;

use super::{Start, Sums, Tile, TileKernel};
use crate::features::{Kernel, Level};
use crate::int_weight::{Bits, STEP, step_len};

pub(super) const KERNEL: Kernel<TileKernel> =
    Kernel { name: "avxvnni", needs: Level::AvxVnni.needs(), run: TileKernel { rows: 6, run: tile } };

/// Outputs of a vector of sums.
const LANES: usize = 8;
/// Bytes of a vector of weights.
const CHUNK: usize = 32;
/// How far ahead panels are fetched where few rows pass them, in bytes.
const AHEAD_IN_MEMORY: usize = 8192;

/// The one instruction that AVX2 has not: tests put another in its place, to run the rest where it is missing.
pub(super) trait Dot {
    /// sums[i] + Σ_j w[4i + j] · a[4i + j] over four bytes, `w` unsigned and `a` signed, wrapping.
    ///
    /// # Safety
    /// The CPU has the instruction.
    unsafe fn dot(sums: __m256i, w: __m256i, a: __m256i) -> __m256i;
}

struct Vnni;

impl Dot for Vnni {
    #[inline(always)]
    unsafe fn dot(sums: __m256i, w: __m256i, a: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_dpbusd_avx_epi32(sums, w, a) }
    }
}

/// # Safety
/// The CPU has the features; the codes of each row reach as far as the panel's steps.
#[target_feature(enable = "avx2,avxvnni")]
unsafe fn tile(tile: Tile<'_>, sums: &mut Sums) {
    // SAFETY: the caller's promise.
    unsafe { body::<Vnni>(tile, sums) }
}

/// # Safety
/// The function this is compiled into enables AVX2 and the instruction of `D`; codes are as [`tile`] says.
#[inline(always)]
pub(super) unsafe fn body<D: Dot>(tile: Tile<'_>, sums: &mut Sums) {
    macro_rules! by_rows {
        ($($rows:literal: $four:literal $eight:literal,)*) => {
            match (tile.rows, tile.bits) {
                // SAFETY: passed on.
                $(($rows, Bits::Four) => unsafe { four_bits::<D, $rows, $four>(tile, sums) },
                // SAFETY: passed on.
                ($rows, Bits::Eight) => unsafe { eight_bits::<D, $rows, $eight>(tile, sums) },)*
                (rows, _) => unreachable!("a tile of {rows} rows"),
            }
        };
    }
    // Fewer rows take more vectors at once: 4 of 4-bit codes and 8 of 8-bit codes make a step.
    by_rows!(1: 4 8, 2: 2 4, 3: 1 4, 4: 1 2, 5: 1 2, 6: 1 2,);
}

/// # Safety
/// As [`body`]; `tile.rows` is `R`, weight codes have 4 bits, and `C` divides 4.
#[inline(always)]
unsafe fn four_bits<D: Dot, const R: usize, const C: usize>(tile: Tile<'_>, sums: &mut Sums) {
    let step = step_len(Bits::Four);
    for first in (0..step / CHUNK).step_by(C) {
        // SAFETY: the caller's promise; `first + C` vectors are in a step.
        unsafe {
            let low = _mm256_set1_epi8(15);
            let mut acc = [[[_mm256_setzero_si256(); 2]; C]; R];
            for (k, bytes) in tile.panel.chunks_exact(step).enumerate() {
                let halves = weights::<R, C>(&bytes[first * CHUNK..])
                    .map(|bytes| [_mm256_and_si256(bytes, low), _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low)]);
                for (r, acc) in acc.iter_mut().enumerate() {
                    let a = four_codes(&tile, r, k);
                    for (acc, half) in acc.as_flattened_mut().iter_mut().zip(halves.as_flattened()) {
                        *acc = D::dot(*acc, *half, a);
                    }
                }
            }
            for (acc, sums) in acc.iter().zip(&mut *sums) {
                for (c, [low, high]) in acc.iter().enumerate() {
                    let chunk = first + c;
                    let output = chunk / 2 * 32 + chunk % 2 * LANES;
                    put(*low, tile.sums, &mut sums[output..]);
                    put(*high, tile.sums, &mut sums[output + 16..]);
                }
            }
        }
    }
}

/// # Safety
/// As [`body`]; `tile.rows` is `R`, weight codes have 8 bits, and `C` divides 8.
#[inline(always)]
unsafe fn eight_bits<D: Dot, const R: usize, const C: usize>(tile: Tile<'_>, sums: &mut Sums) {
    let step = step_len(Bits::Eight);
    for first in (0..step / CHUNK).step_by(C) {
        // SAFETY: the caller's promise; `first + C` vectors are in a step.
        unsafe {
            let mut acc = [[_mm256_setzero_si256(); C]; R];
            for (k, bytes) in tile.panel.chunks_exact(step).enumerate() {
                let w = weights::<R, C>(&bytes[first * CHUNK..]);
                for (r, acc) in acc.iter_mut().enumerate() {
                    let a = four_codes(&tile, r, k);
                    for (acc, w) in acc.iter_mut().zip(w) {
                        *acc = D::dot(*acc, w, a);
                    }
                }
            }
            for (acc, sums) in acc.iter().zip(&mut *sums) {
                for (c, acc) in acc.iter().enumerate() {
                    put(*acc, tile.sums, &mut sums[(first + c) * LANES..]);
                }
            }
        }
    }
}

/// The first `C` vectors of `bytes`. Asks for weights that few rows will soon take from memory.
#[inline]
#[target_feature(enable = "avx2")]
fn weights<const R: usize, const C: usize>(bytes: &[u8]) -> [__m256i; C] {
    if R <= 2 {
        for at in (0..C * CHUNK).step_by(64) {
            // Fetching is no access: it may go beyond the end.
            _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().wrapping_add(AHEAD_IN_MEMORY + at).cast());
        }
    }
    let chunks = &bytes.as_chunks::<CHUNK>().0[..C];
    // SAFETY: a chunk is a vector.
    array::from_fn(|c| unsafe { _mm256_loadu_si256(chunks[c].as_ptr().cast()) })
}

/// The codes of step `k` in row `r` of a tile, in every lane.
///
/// # Safety
/// The row has codes for that step.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn four_codes(tile: &Tile<'_>, r: usize, k: usize) -> __m256i {
    // SAFETY: the caller's promise.
    _mm256_set1_epi32(unsafe { tile.codes.as_ptr().add(r * tile.stride + k * STEP).cast::<i32>().read_unaligned() })
}

/// Writes a vector of sums, or adds it to what is there.
#[inline]
#[target_feature(enable = "avx2")]
fn put(acc: __m256i, start: Start, sums: &mut [i32]) {
    let sums = sums.first_chunk_mut::<LANES>().expect("a vector of sums");
    // SAFETY: 8 sums lie here.
    unsafe {
        let sum = match start {
            Start::New => acc,
            Start::Continued => _mm256_add_epi32(_mm256_loadu_si256(sums.as_ptr().cast()), acc),
        };
        _mm256_storeu_si256(sums.as_mut_ptr().cast(), sum);
    }
}
