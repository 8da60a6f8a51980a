//! AVX2, AVX-512, and AVX-512 with products of bf16 pairs.

use std::arch::x86_64::*;

use super::lanes::{Group, Lanes, attend};
use super::softmax::{EXP2, weigh};

/// Eight words of one f32.
struct Avx2<const ROUNDED: bool>;

impl<const ROUNDED: bool> Lanes for Avx2<ROUNDED> {
    type Sums = __m256;
    type Words = __m256;
    const COUNT: usize = 8;
    const PER: usize = 1;
    const WIDE: usize = 2;

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        // SAFETY: the trait's promise.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: the trait's promise.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, sums: __m256) {
        // SAFETY: the trait's promise.
        unsafe { _mm256_storeu_ps(to, sums) }
    }

    #[inline(always)]
    unsafe fn words(from: *const u32) -> __m256 {
        // SAFETY: the trait's promise.
        unsafe { _mm256_loadu_ps(from.cast()) }
    }

    #[inline(always)]
    unsafe fn splat(from: *const u32) -> __m256 {
        // SAFETY: the trait's promise.
        unsafe { _mm256_broadcast_ss(&*from.cast()) }
    }

    #[inline(always)]
    unsafe fn dot(sums: __m256, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the trait's promise.
        unsafe { _mm256_fmadd_ps(a, b, sums) }
    }

    #[inline(always)]
    unsafe fn weigh(scores: &[f32], scale: f32, before: f32, weights: &mut [u32]) -> (f32, f32) {
        weigh::<true, ROUNDED>(scores, scale, before, weights)
    }
}

/// Sixteen words of one f32.
struct Avx512<const ROUNDED: bool>;

impl<const ROUNDED: bool> Lanes for Avx512<ROUNDED> {
    type Sums = __m512;
    type Words = __m512;
    const COUNT: usize = 16;
    const PER: usize = 1;
    const WIDE: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: the trait's promise.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: the trait's promise.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, sums: __m512) {
        // SAFETY: the trait's promise.
        unsafe { _mm512_storeu_ps(to, sums) }
    }

    #[inline(always)]
    unsafe fn words(from: *const u32) -> __m512 {
        // SAFETY: the trait's promise.
        unsafe { _mm512_loadu_ps(from.cast()) }
    }

    #[inline(always)]
    unsafe fn splat(from: *const u32) -> __m512 {
        // SAFETY: the trait's promise.
        unsafe { _mm512_set1_ps(from.cast::<f32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn dot(sums: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the trait's promise.
        unsafe { _mm512_fmadd_ps(a, b, sums) }
    }

    #[inline(always)]
    unsafe fn weigh(scores: &[f32], scale: f32, before: f32, weights: &mut [u32]) -> (f32, f32) {
        weigh::<true, ROUNDED>(scores, scale, before, weights)
    }
}

/// Sixteen words of two bf16.
struct Pairs;

impl Lanes for Pairs {
    type Sums = __m512;
    type Words = __m512bh;
    const COUNT: usize = 16;
    const PER: usize = 2;
    const WIDE: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: the trait's promise.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: the trait's promise.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, sums: __m512) {
        // SAFETY: the trait's promise.
        unsafe { _mm512_storeu_ps(to, sums) }
    }

    #[inline(always)]
    unsafe fn words(from: *const u32) -> __m512bh {
        // SAFETY: the trait's promise; both types are 64 bytes.
        unsafe { std::mem::transmute(_mm512_loadu_si512(from.cast())) }
    }

    #[inline(always)]
    unsafe fn splat(from: *const u32) -> __m512bh {
        // SAFETY: the trait's promise; both types are 64 bytes.
        unsafe { std::mem::transmute(_mm512_set1_epi32(from.cast::<i32>().read_unaligned())) }
    }

    #[inline(always)]
    unsafe fn dot(sums: __m512, a: __m512bh, b: __m512bh) -> __m512 {
        // SAFETY: the trait's promise.
        unsafe { _mm512_dpbf16_ps(sums, a, b) }
    }

    #[inline(always)]
    unsafe fn weigh(scores: &[f32], scale: f32, before: f32, weights: &mut [u32]) -> (f32, f32) {
        // SAFETY: the trait's promise.
        unsafe { weigh_pairs(scores, scale, before, weights) }
    }
}

/// [`weigh`] into words of two bf16.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
#[inline]
fn weigh_pairs(scores: &[f32], scale: f32, before: f32, weights: &mut [u32]) -> (f32, f32) {
    let (scores, _) = scores.as_chunks::<32>();
    let (weights, _) = weights.as_chunks_mut::<16>();
    let load = |chunk: &[f32; 32], half: usize| {
        // SAFETY: sixteen of 32 values, from the first or the seventeenth on.
        unsafe { _mm512_loadu_ps(chunk.as_ptr().add(half * 16)) }
    };
    let mut most = [_mm512_set1_ps(f32::NEG_INFINITY); 2];
    for chunk in scores {
        for (half, most) in most.iter_mut().enumerate() {
            *most = _mm512_max_ps(load(chunk, half), *most);
        }
    }
    let most = _mm512_reduce_max_ps(_mm512_max_ps(most[0], most[1]));
    let highest = before.max((most * scale).ceil());
    let (by, from) = (_mm512_set1_ps(scale), _mm512_set1_ps(highest));
    let one = _mm512_set1_epi16(0x3f80);
    let mut total = _mm512_setzero_ps();
    for (chunk, out) in scores.iter().zip(weights) {
        let low = exp2(_mm512_sub_ps(_mm512_mul_ps(load(chunk, 0), by), from));
        let high = exp2(_mm512_sub_ps(_mm512_mul_ps(load(chunk, 1), by), from));
        let pairs = _mm512_cvtne2ps_pbh(high, low);
        // SAFETY: both types are 64 bytes; `out` holds sixteen words.
        unsafe {
            total = _mm512_dpbf16_ps(total, pairs, std::mem::transmute::<__m512i, __m512bh>(one));
            _mm512_storeu_si512(out.as_mut_ptr().cast(), std::mem::transmute::<__m512bh, __m512i>(pairs));
        }
    }
    (highest, _mm512_reduce_add_ps(total))
}

/// 2ˣ of each x ≤ 0.
#[target_feature(enable = "avx512f")]
#[inline]
fn exp2(x: __m512) -> __m512 {
    // The second operand is what `max` gives for not-a-number.
    let t = _mm512_max_ps(_mm512_set1_ps(-200.0), x);
    let n = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(t);
    let r = _mm512_sub_ps(t, n);
    let mut p = _mm512_set1_ps(EXP2[0]);
    for c in [EXP2[1], EXP2[2], EXP2[3], EXP2[4], 1.0] {
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
    }
    _mm512_scalef_ps(p, n)
}

/// Factors in f32.
#[target_feature(enable = "avx2,fma")]
pub(super) fn avx2_single(group: &mut Group<'_>) {
    // SAFETY: this function has the features.
    unsafe { attend::<Avx2<false>>(group) }
}

/// Factors in f32 that were rounded to bf16.
#[target_feature(enable = "avx2,fma")]
pub(super) fn avx2_rounded(group: &mut Group<'_>) {
    // SAFETY: this function has the features.
    unsafe { attend::<Avx2<true>>(group) }
}

/// Factors in f32.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn avx512_single(group: &mut Group<'_>) {
    // SAFETY: this function has the features.
    unsafe { attend::<Avx512<false>>(group) }
}

/// Factors in f32 that were rounded to bf16.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn avx512_rounded(group: &mut Group<'_>) {
    // SAFETY: this function has the features.
    unsafe { attend::<Avx512<true>>(group) }
}

/// Factors in pairs of bf16.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(super) fn avx512_pairs(group: &mut Group<'_>) {
    // SAFETY: this function has the features.
    unsafe { attend::<Pairs>(group) }
}
