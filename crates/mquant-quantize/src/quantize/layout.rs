//! Where the codes and scales of a weight lie while they are made: the one place that checks shapes and writes bytes.

use std::sync::Arc;

use mquant_kernels::{Bits, Bytes, IntWeight, Matrix, PackError};

use super::{IntFormat, QuantizeError};

/// Sizes of the integer weight that a matrix becomes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    format: IntFormat,
    rows: usize,
    cols: usize,
    /// Inputs that share a scale.
    pub(super) group_cols: usize,
    /// Scales of an output.
    pub(super) groups: usize,
    /// Bytes of an output's codes.
    pub(super) row_bytes: usize,
}

impl Layout {
    /// # Errors
    /// A shape or group that the kernels have not.
    pub(super) fn new(weight: &Matrix, format: IntFormat) -> Result<Self, QuantizeError> {
        let IntFormat { bits, group } = format;
        let (rows, cols) = (weight.rows(), weight.cols());
        if rows == 0 || cols == 0 {
            return Err(PackError::Empty { rows, cols }.into());
        }
        if let Some(found) = group.filter(|group| ![32, 64, 128].contains(group)) {
            return Err(PackError::Group { found }.into());
        }
        let most = IntWeight::most_inputs(bits);
        if cols > most {
            return Err(PackError::Inputs { found: cols, most, bits }.into());
        }
        let group_cols = group.unwrap_or(cols);
        let row_bytes = IntWeight::code_bytes(bits, 1, cols);
        Ok(Self { format, rows, cols, group_cols, groups: cols.div_ceil(group_cols), row_bytes })
    }

    /// Codes of 0 bytes and scales of 0, all to be written.
    pub(super) fn buffers(&self) -> (Vec<u8>, Vec<f32>) {
        (vec![0; self.rows * self.row_bytes], vec![0.0; self.rows * self.groups])
    }

    /// The canonical bytes of one output.
    pub(super) fn store(&self, codes: &[i8], bytes: &mut [u8]) {
        match self.format.bits {
            Bits::Eight => bytes.iter_mut().zip(codes).for_each(|(byte, code)| *byte = *code as u8),
            Bits::Four => {
                bytes.fill(0x88);
                for (byte, pair) in bytes.iter_mut().zip(codes.chunks(2)) {
                    let nibble = |code: i8| (code + 8) as u8;
                    *byte = nibble(pair[0]) | pair.get(1).map_or(8, |code| nibble(*code)) << 4;
                }
            }
        }
    }

    /// # Errors
    /// What the kernels would refuse.
    pub(super) fn finish(&self, (codes, scales): (Vec<u8>, Vec<f32>)) -> Result<IntWeight, QuantizeError> {
        let IntFormat { bits, group } = self.format;
        let (rows, cols) = (self.rows, self.cols);
        let weight = IntWeight { bits, rows, cols, codes: Bytes::new(Arc::new(codes)), scales, group };
        weight.check()?;
        Ok(weight)
    }
}

/// Output `output` of `weight` in f32.
///
/// # Errors
/// A value that is not finite.
pub(super) fn read_output(weight: &Matrix, output: usize, values: &mut [f32]) -> Result<(), QuantizeError> {
    weight.read_rows(output..output + 1, values);
    match values.iter().position(|v| !v.is_finite()) {
        Some(input) => Err(QuantizeError::NotFinite { output, input, found: values[input] }),
        None => Ok(()),
    }
}
