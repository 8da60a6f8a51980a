//! AVX-512: 16 values an instruction, narrowed by a saturating move.

use std::arch::x86_64::*;

use super::MOST;

const LANES: usize = 16;

#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn quantize(x: &[f32], inverse: f32, codes: &mut [i8]) -> i32 {
    assert_eq!(x.len(), codes.len());
    let inverse = _mm512_set1_ps(inverse);
    let (chunks, tail) = x.as_chunks::<LANES>();
    let (code_chunks, code_tail) = codes.as_chunks_mut::<LANES>();
    let mut sum = _mm512_setzero_si512();
    for (x, codes) in chunks.iter().zip(code_chunks) {
        // SAFETY: 16 values are there.
        let rounded = rounded(unsafe { _mm512_loadu_ps(x.as_ptr()) }, inverse);
        sum = _mm512_add_epi32(sum, rounded);
        // SAFETY: 16 codes are there.
        unsafe { _mm_storeu_si128(codes.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(rounded)) };
    }
    let mask = (1u16 << tail.len()) - 1;
    // SAFETY: the mask keeps to the values that are there.
    let rounded = rounded(unsafe { _mm512_maskz_loadu_ps(mask, tail.as_ptr()) }, inverse);
    // Masked values were read as 0 and become 0, or not-a-number and then 0.
    sum = _mm512_add_epi32(sum, rounded);
    // SAFETY: the mask keeps to the codes that are there.
    unsafe { _mm512_mask_cvtepi32_storeu_epi8(code_tail.as_mut_ptr(), mask, rounded) };
    _mm512_reduce_add_epi32(sum)
}

/// The codes of 16 values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn rounded(x: __m512, inverse: __m512) -> __m512i {
    let scaled = _mm512_mul_ps(x, inverse);
    // Clamping to integers before rounding gives what clamping after does.
    let clamped = _mm512_min_ps(_mm512_max_ps(scaled, _mm512_set1_ps(-MOST)), _mm512_set1_ps(MOST));
    _mm512_maskz_cvtps_epi32(_mm512_cmp_ps_mask::<_CMP_ORD_Q>(scaled, scaled), clamped)
}
