//! Round to nearest: s for each output or group of inputs as [`Clip`] says, without clipping absmax / (2^(bits−1) − 1) in
//! f32, at least 1e-8; q = clamp(round-half-even(w · (1/s)), −127, 127) for 8 bits, −8…7 for 4. The baseline that every
//! other method refines.

use mquant_kernels::{Cpu, IntWeight, Matrix, quantize_scalar};
use rayon::prelude::*;

use super::clip::code_range;
use super::layout::{Layout, read_output};
use super::{Clip, IntFormat, QuantizeError};

/// [`rtn_clipped`] without clipping.
///
/// # Errors
/// As there.
pub fn rtn(weight: &Matrix, format: IntFormat) -> Result<IntWeight, QuantizeError> {
    // Nothing is searched, so there is nothing to be faster with.
    rtn_clipped(Cpu::SCALAR, weight, format, Clip::None)
}

/// Quantises each output of `weight` by itself: the result of a range of outputs is that range of the result.
/// The instructions of `cpu` do not change it.
///
/// # Errors
/// A value that is not finite, or a shape or group that the kernels have not.
pub fn rtn_clipped(cpu: Cpu, weight: &Matrix, format: IntFormat, clip: Clip) -> Result<IntWeight, QuantizeError> {
    rtn_but(cpu, weight, format, clip, &[])
}

/// [`rtn_clipped`] of a weight whose columns `zeroed` are 0.
pub(super) fn rtn_but(
    cpu: Cpu,
    weight: &Matrix,
    format: IntFormat,
    clip: Clip,
    zeroed: &[usize],
) -> Result<IntWeight, QuantizeError> {
    let layout = Layout::new(weight, format)?;
    let (mut codes, mut scales) = layout.buffers();
    let outputs = codes.par_chunks_mut(layout.row_bytes).zip(scales.par_chunks_mut(layout.groups)).enumerate();
    outputs.try_for_each_init(
        || (vec![0f32; weight.cols()], vec![0i8; weight.cols()]),
        |(values, codes), (output, (bytes, scales))| {
            read_output(weight, output, values)?;
            zeroed.iter().for_each(|column| values[*column] = 0.0);
            let pieces = values.chunks(layout.group_cols).zip(codes.chunks_mut(layout.group_cols));
            for ((values, codes), scale) in pieces.zip(scales) {
                *scale = clip.scale(cpu, format.bits, values);
                round(format, *scale, values, codes);
            }
            layout.store(codes, bytes);
            Ok::<(), QuantizeError>(())
        },
    )?;
    layout.finish((codes, scales))
}

/// Codes of values that share a scale.
fn round(format: IntFormat, scale: f32, values: &[f32], codes: &mut [i8]) {
    let ((least, most), inverse) = (code_range(format.bits), 1.0 / scale);
    for (code, value) in codes.iter_mut().zip(values) {
        *code = quantize_scalar(*value, inverse, least, most);
    }
}

#[cfg(test)]
mod tests {
    use mquant_kernels::{Bits, PackError};

    use super::*;
    use mquant_model::error::Explain;

    /// The rule once more, in whole numbers where it rounds: no float rounding instruction, no clamp of floats.
    fn restated(bits: Bits, group: &[f32]) -> (f32, Vec<i64>) {
        let (least, most) = if bits == Bits::Four { (-8, 7) } else { (-127, 127) };
        let largest = group.iter().map(|v| v.to_bits() & 0x7fff_ffff).max().map_or(0.0, f32::from_bits);
        let quotient = largest / most as f32;
        let scale = if quotient > 1e-8 { quotient } else { 1e-8 };
        let inverse = 1.0 / scale;
        let codes = group.iter().map(|v| {
            let product = v * inverse;
            // Codes are small; whatever is beyond them is cut off below.
            let magnitude = product.abs().min(1000.0);
            let whole = magnitude as i64;
            let rest = magnitude - whole as f32; // exact: both lie on the grid of the larger
            let up = rest > 0.5 || rest == 0.5 && whole % 2 == 1;
            let rounded = (whole + i64::from(up)) * if product < 0.0 { -1 } else { 1 };
            rounded.max(least).min(most)
        });
        (scale, codes.collect())
    }

    fn check(rows: usize, cols: usize, values: &[f32]) {
        for bits in [Bits::Four, Bits::Eight] {
            for group in [None, Some(32), Some(64), Some(128)] {
                let matrix = Matrix::from_f32(values.to_vec(), rows, cols);
                let made = rtn(&matrix, IntFormat { bits, group }).unwrap();
                made.check().unwrap();
                let size = group.unwrap_or(cols);
                for row in 0..rows {
                    for (g, part) in values[row * cols..][..cols].chunks(size).enumerate() {
                        let (scale, codes) = restated(bits, part);
                        let found = made.scales[row * made.groups() + g];
                        assert_eq!(found.to_bits(), scale.to_bits(), "{bits} bits, scale of row {row}, group {g}");
                        for (i, code) in codes.iter().enumerate() {
                            let found = made.code(row, g * size + i);
                            assert_eq!(i64::from(found), *code, "{bits} bits, {} · 1/{scale}", part[i]);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn codes_and_scales_follow_the_rule() {
        let mut state = 7u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        for (rows, cols) in [(1, 1), (3, 7), (2, 8), (5, 130), (2, 300)] {
            let values: Vec<f32> = (0..rows * cols).map(|_| random() * random()).collect();
            check(rows, cols, &values);
        }
        // Halves of a scale, both ways.
        let halves: Vec<f32> = (-14..=14).map(|i| i as f32 * 0.5).chain([7.0, -7.0]).collect();
        check(1, halves.len(), &halves);
        let halves: Vec<f32> = (-254..=254).map(|i| i as f32 * 0.5).collect();
        check(1, halves.len(), &halves);
    }

    #[test]
    fn nothing_and_extremes_have_codes() {
        let denormal = f32::from_bits(1);
        check(3, 4, &[0.0, -0.0, 0.0, 0.0, denormal, -denormal, 0.0, 1e-38, f32::MAX, f32::MIN, 1.0, -f32::MAX / 2.0]);
        check(2, 2, &[1e-8, -1.27e-6, f32::MIN_POSITIVE, 1e-7]);
        let zero = rtn(&Matrix::from_f32(vec![0.0; 8], 2, 4), IntFormat::per_channel(Bits::Four)).unwrap();
        assert_eq!((zero.scales, zero.codes.as_ref().to_vec()), (vec![1e-8; 2], vec![0x88; 8]));
    }

    #[test]
    fn what_is_not_finite_is_named() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = vec![1.0; 12];
            values[7] = bad;
            let error = rtn(&Matrix::from_f32(values, 3, 4), IntFormat::per_channel(Bits::Eight)).unwrap_err();
            assert_eq!(error.code(), "WEIGHT_NOT_FINITE");
            assert!(error.to_string().contains("output 1 for input 3"), "{error}");
        }
    }

    #[test]
    fn shapes_the_kernels_have_not_are_refused() {
        let format = |bits, group| IntFormat { bits, group };
        let refused =
            |rows, cols, format| rtn(&Matrix::from_f32(vec![1.0; rows * cols], rows, cols), format).unwrap_err();
        assert!(matches!(refused(1, 64, format(Bits::Four, Some(48))), QuantizeError::Shape(PackError::Group { .. })));
        let most = IntWeight::most_inputs(Bits::Eight);
        assert_eq!(refused(1, most + 1, format(Bits::Eight, None)).code(), "WEIGHT_SHAPE");
        assert_eq!(refused(0, 4, format(Bits::Eight, None)).code(), "WEIGHT_SHAPE");
    }

    #[test]
    fn outputs_are_quantised_each_by_itself() {
        let values: Vec<f32> = (0..10 * 40).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
        let matrix = Matrix::from_f32(values, 10, 40);
        let format = IntFormat { bits: Bits::Four, group: Some(32) };
        let (whole, part) = (rtn(&matrix, format).unwrap(), rtn(&matrix.row_range(3..8), format).unwrap());
        let expected = whole.row_range(3..8);
        assert_eq!(part.codes.as_ref(), expected.codes.as_ref());
        assert_eq!(part.scales, expected.scales);
    }
}
