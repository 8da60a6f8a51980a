//! AVX2: four vectors of 8 values, packed to 32 codes.

use std::arch::x86_64::*;

use super::{MOST, scalar};

const LANES: usize = 8;

#[target_feature(enable = "avx2")]
pub(super) fn quantize(x: &[f32], scale_inverse: f32, codes: &mut [i8]) -> i32 {
    assert_eq!(x.len(), codes.len());
    let inverse = _mm256_set1_ps(scale_inverse);
    let (chunks, tail) = x.as_chunks::<{ 4 * LANES }>();
    let (code_chunks, code_tail) = codes.as_chunks_mut::<{ 4 * LANES }>();
    let mut sums = [_mm256_setzero_si256(); 4];
    // Packing works within halves, so eighths of the result arrive in this order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (x, codes) in chunks.iter().zip(code_chunks) {
        let mut r = [_mm256_setzero_si256(); 4];
        for (i, r) in r.iter_mut().enumerate() {
            // SAFETY: four times 8 values are there.
            *r = rounded(unsafe { _mm256_loadu_ps(x.as_ptr().add(i * LANES)) }, inverse);
            sums[i] = _mm256_add_epi32(sums[i], *r);
        }
        let packed = _mm256_packs_epi16(_mm256_packs_epi32(r[0], r[1]), _mm256_packs_epi32(r[2], r[3]));
        // SAFETY: 32 codes are there.
        unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast(), _mm256_permutevar8x32_epi32(packed, order)) };
    }
    let sum = _mm256_add_epi32(_mm256_add_epi32(sums[0], sums[1]), _mm256_add_epi32(sums[2], sums[3]));
    let half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
    let pair = _mm_add_epi32(half, _mm_unpackhi_epi64(half, half));
    let [a, b] = [_mm_extract_epi32::<0>(pair), _mm_extract_epi32::<1>(pair)];
    a.wrapping_add(b).wrapping_add(scalar::quantize(tail, scale_inverse, code_tail))
}

/// The codes of 8 values.
#[inline]
#[target_feature(enable = "avx2")]
fn rounded(x: __m256, inverse: __m256) -> __m256i {
    let scaled = _mm256_mul_ps(x, inverse);
    // Clamping to integers before rounding gives what clamping after does.
    let clamped = _mm256_min_ps(_mm256_max_ps(scaled, _mm256_set1_ps(-MOST)), _mm256_set1_ps(MOST));
    let number = _mm256_cmp_ps::<_CMP_ORD_Q>(scaled, scaled);
    _mm256_and_si256(_mm256_cvtps_epi32(clamped), _mm256_castps_si256(number))
}
