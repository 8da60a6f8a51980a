//! AVX-512 with byte dot products: `vpdpbusd` adds four products of unsigned weight bytes and signed codes to each i32.
//!
//! A tile of 6 rows × 64 outputs keeps 24 sums, 4 weight vectors and one broadcast of 4 codes in the 32 registers.

use std::arch::x86_64::*;

use super::{Start, Sums, Tile, TileKernel};
use crate::features::{Kernel, Level};
use crate::int_weight::{Bits, PANEL, STEP, step_len};

pub(super) const KERNEL: Kernel<TileKernel> =
    Kernel { name: "avx512vnni", needs: Level::Avx512Vnni.needs(), run: TileKernel { rows: 6, run: tile } };

/// Outputs of a vector of sums.
const LANES: usize = 16;
/// Vectors of a row of a panel.
const VECTORS: usize = PANEL / LANES;
/// How far ahead panels are fetched, in bytes: from the second-level cache where many rows pass them, from memory where few do.
const AHEAD: usize = 1024;
const AHEAD_IN_MEMORY: usize = 8192;

/// # Safety
/// The CPU has the features; the codes of each row reach as far as the panel's steps.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn tile(tile: Tile<'_>, sums: &mut Sums) {
    macro_rules! by_rows {
        ($($rows:literal)*) => {
            match (tile.rows, tile.bits) {
                // SAFETY: passed on.
                $(($rows, Bits::Four) => unsafe { rows::<$rows, true>(tile, sums) },
                // SAFETY: passed on.
                ($rows, Bits::Eight) => unsafe { rows::<$rows, false>(tile, sums) },)*
                (rows, _) => unreachable!("a tile of {rows} rows"),
            }
        };
    }
    by_rows!(1 2 3 4 5 6);
}

/// # Safety
/// As [`tile`]; `tile.rows` is `R`, and `FOUR` says that weight codes have 4 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn rows<const R: usize, const FOUR: bool>(tile: Tile<'_>, sums: &mut Sums) {
    let mut acc = [[_mm512_setzero_si512(); VECTORS]; R];
    let bits = if FOUR { Bits::Four } else { Bits::Eight };
    let (mut panel, mut codes) = (tile.panel.as_ptr(), tile.codes.as_ptr());
    for _ in 0..tile.panel.len() / step_len(bits) {
        // SAFETY: a step of the panel lies here.
        let w = unsafe { weights::<FOUR>(panel, if R <= 2 { AHEAD_IN_MEMORY } else { AHEAD }) };
        for (r, acc) in acc.iter_mut().enumerate() {
            // SAFETY: the caller promised as many codes in each row as the panel has inputs.
            let a = _mm512_set1_epi32(unsafe { codes.add(r * tile.stride).cast::<i32>().read_unaligned() });
            for (acc, w) in acc.iter_mut().zip(w) {
                *acc = _mm512_dpbusd_epi32(*acc, w, a);
            }
        }
        // SAFETY: at most one past the end of what was read.
        (panel, codes) = unsafe { (panel.add(step_len(bits)), codes.add(STEP)) };
    }
    for (acc, sums) in acc.iter().zip(sums) {
        for (acc, sums) in acc.iter().zip(sums.as_chunks_mut::<LANES>().0) {
            // SAFETY: 16 sums lie here.
            unsafe {
                let sum = match tile.sums {
                    Start::New => *acc,
                    Start::Continued => _mm512_add_epi32(_mm512_loadu_si512(sums.as_ptr().cast()), *acc),
                };
                _mm512_storeu_si512(sums.as_mut_ptr().cast(), sum);
            }
        }
    }
}

/// The bytes of one step, 4 for each of the 64 outputs.
///
/// # Safety
/// A step lies at `panel`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn weights<const FOUR: bool>(panel: *const u8, ahead: usize) -> [__m512i; VECTORS] {
    // Fetching is no access: it may go beyond the end.
    _mm_prefetch::<_MM_HINT_T0>(panel.wrapping_add(ahead).cast());
    _mm_prefetch::<_MM_HINT_T0>(panel.wrapping_add(ahead + 64).cast());
    if FOUR {
        let low = _mm512_set1_epi8(15);
        // SAFETY: the caller promised a step of 128 bytes.
        let (a, b) = unsafe { (_mm512_loadu_si512(panel.cast()), _mm512_loadu_si512(panel.add(64).cast())) };
        [
            _mm512_and_si512(a, low),
            _mm512_and_si512(_mm512_srli_epi16::<4>(a), low),
            _mm512_and_si512(b, low),
            _mm512_and_si512(_mm512_srli_epi16::<4>(b), low),
        ]
    } else {
        _mm_prefetch::<_MM_HINT_T0>(panel.wrapping_add(ahead + 128).cast());
        _mm_prefetch::<_MM_HINT_T0>(panel.wrapping_add(ahead + 192).cast());
        // SAFETY: the caller promised a step of 256 bytes.
        [0, 64, 128, 192].map(|at| unsafe { _mm512_loadu_si512(panel.add(at).cast()) })
    }
}
