//! The search for NaN and infinity in stored weights: one integer comparison of the exponent bits per value.

use std::fmt;

use mquant_kernels::Dtype;
use rayon::prelude::*;

use crate::excerpt::excerpt;

/// Bytes one task scans.
const CHUNK: usize = 1 << 20;

/// A tensor that holds values that are not finite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFinite {
    /// The family's name of it.
    pub tensor: String,
    /// How many values are NaN or infinite.
    pub count: usize,
    /// Row-major index of the first of them.
    pub first: usize,
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} values, the first at index {}", excerpt(&self.tensor), self.count, self.first)
    }
}

/// A tensor to scan: little-endian values of `dtype`.
pub(crate) struct Scan<'a> {
    pub(crate) tensor: &'a str,
    pub(crate) dtype: Dtype,
    pub(crate) bytes: &'a [u8],
}

/// The tensors that hold values that are not finite, in the order given.
pub(crate) fn scan(tensors: &[Scan<'_>]) -> Vec<NotFinite> {
    let chunks: Vec<(usize, usize)> = tensors
        .iter()
        .enumerate()
        .flat_map(|(i, tensor)| (0..tensor.bytes.len().div_ceil(CHUNK)).map(move |chunk| (i, chunk)))
        .collect();
    let faults: Vec<(usize, usize, usize)> = chunks
        .into_par_iter()
        .filter_map(|(i, chunk)| {
            let Scan { dtype, bytes, .. } = tensors[i];
            let begin = chunk * CHUNK;
            let part = &bytes[begin..bytes.len().min(begin + CHUNK)];
            if all_finite(dtype, part) {
                return None;
            }
            let (count, first) = locate(dtype, part);
            Some((i, count, begin / dtype.bytes() + first))
        })
        .collect();

    let mut found: Vec<(usize, NotFinite)> = Vec::new();
    for (i, count, first) in faults {
        match found.last_mut() {
            Some((last, fault)) if *last == i => fault.count += count,
            _ => found.push((i, NotFinite { tensor: tensors[i].tensor.to_owned(), count, first })),
        }
    }
    found.into_iter().map(|(_, fault)| fault).collect()
}

/// Exponent bits of a 16-bit type; all set means NaN or infinity.
fn exponent16(dtype: Dtype) -> u16 {
    if dtype == Dtype::F16 { 0x7c00 } else { 0x7f80 }
}

/// Exponent bits of an f32.
const EXPONENT32: u32 = 0x7f80_0000;

/// Branch-free over the whole part, so that it runs at the speed of memory: one more in the lowest exponent bit carries into
/// the sign bit exactly when all exponent bits are set. Mask, add and or exist for vectors on every CPU.
fn all_finite(dtype: Dtype, part: &[u8]) -> bool {
    match dtype {
        Dtype::F32 => {
            let carry = |seen: u32, x: u32| seen | (x & EXPONENT32).wrapping_add(0x0080_0000);
            let seen = match bytemuck::try_cast_slice::<u8, u32>(part) {
                Ok(words) => words.iter().fold(0, |seen, x| carry(seen, *x)),
                // A file whose header is no multiple of four bytes long.
                Err(_) => {
                    part.chunks_exact(4).fold(0, |seen, b| carry(seen, u32::from_le_bytes([b[0], b[1], b[2], b[3]])))
                }
            };
            seen >> 31 == 0
        }
        Dtype::F16 | Dtype::Bf16 => {
            let exponent = exponent16(dtype);
            let lowest = exponent & exponent.wrapping_neg();
            let values = part.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
            values.fold(0, |seen, x| seen | (x & exponent).wrapping_add(lowest)) >> 15 == 0
        }
    }
}

/// How many values of a part are not finite, and the index of the first.
fn locate(dtype: Dtype, part: &[u8]) -> (usize, usize) {
    let bad = part.chunks_exact(dtype.bytes()).enumerate().filter(|(_, value)| !all_finite(dtype, value));
    bad.fold((0, usize::MAX), |(count, first), (i, _)| (count + 1, first.min(i)))
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    fn one(dtype: Dtype, bytes: &[u8]) -> Vec<NotFinite> {
        scan(&[Scan { tensor: "w", dtype, bytes }])
    }

    #[test]
    fn every_half_pattern_is_judged_as_its_float() {
        for bits in 0..=u16::MAX {
            let bytes = bits.to_le_bytes();
            assert_eq!(all_finite(Dtype::F16, &bytes), f16::from_bits(bits).is_finite(), "f16 {bits:#06x}");
            assert_eq!(all_finite(Dtype::Bf16, &bytes), bf16::from_bits(bits).is_finite(), "bf16 {bits:#06x}");
            let wide = (u32::from(bits) << 16 | 0x1234).to_le_bytes();
            assert_eq!(all_finite(Dtype::F32, &wide), f32::from_le_bytes(wide).is_finite(), "f32 {bits:#06x}1234");
        }
    }

    #[test]
    fn faults_are_counted_across_chunks() {
        let per_chunk = CHUNK / 4;
        let mut values = vec![1.0f32; 2 * per_chunk + 7];
        for (i, bad) in [(per_chunk - 1, f32::NAN), (per_chunk, f32::INFINITY), (values.len() - 1, f32::NEG_INFINITY)] {
            values[i] = bad;
        }
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let expected = NotFinite { tensor: "w".into(), count: 3, first: per_chunk - 1 };
        assert_eq!(one(Dtype::F32, &bytes), [expected]);
        // The same values where no word is aligned.
        let shifted: Vec<u8> = std::iter::once(0).chain(bytes).collect();
        assert_eq!(one(Dtype::F32, &shifted[1..])[0].count, 3);
    }

    #[test]
    fn extremes_and_subnormals_are_finite() {
        let values = [f32::MAX, f32::MIN, f32::MIN_POSITIVE, f32::from_bits(1), 0.0, -0.0];
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert!(one(Dtype::F32, &bytes).is_empty());
        assert!(one(Dtype::F16, &[]).is_empty());
    }
}
