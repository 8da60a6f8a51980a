//! Canonical codes of a weight where they lie in their file, checked.

use mquant_kernels::{Bits, IntWeight};

use super::BundleError;
use super::specs;
use crate::bundle::IntFormat;
use crate::checkpoint::{Place, TensorSpec, Tensors};
use crate::excerpt::excerpt;

/// Canonical codes where they lie in their file.
#[derive(Debug)]
pub(super) struct Canonical {
    pub(super) weight: IntWeight,
    pub(super) place: Place,
}

/// Whether codes are read to find those that must be 0 and are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zeros {
    /// Two readers of one file must never see two models.
    Checked,
    /// They were when panels were made of them, which are kept.
    Known,
}

impl Canonical {
    /// The codes of a weight, and under their own names those of its side columns and low-rank branches.
    ///
    /// # Errors
    /// Codes or scales that the kernels would not accept, or codes that should be 0.
    pub(super) fn of(
        tensors: &Tensors,
        spec: &TensorSpec,
        stored: &specs::Stored<'_>,
        zeros: Zeros,
    ) -> Result<Vec<(String, Self)>, BundleError> {
        let Some(format) = stored.format else { return Ok(Vec::new()) };
        let main =
            Self::read(tensors, &specs::weight_names(&spec.name, format.bits), (stored.rows, stored.cols), format)?;
        if zeros == Zeros::Checked {
            let at = tensors.stored(&specs::weight_names(&spec.name, format.bits)[0]);
            let (file, tensor) = (at.file.to_string(), excerpt(&at.name));
            if let Some((output, found)) = padding_fault(&main.weight) {
                return Err(BundleError::Padding { file, tensor, output, found });
            }
            if let Some((output, input, found)) = side_fault(&main.weight, stored.side) {
                return Err(BundleError::SideCode { file, tensor, output, input, found });
            }
        }
        let mut out = vec![(spec.name.clone(), main)];
        for beside in stored.beside(spec) {
            let (shape, format) = ((beside.rows, beside.cols), IntFormat::per_channel(Bits::Eight));
            out.push((beside.name, Self::read(tensors, &beside.names, shape, format)?));
        }
        Ok(out)
    }

    fn read(
        tensors: &Tensors,
        [codes, scale]: &[String; 2],
        (rows, cols): (usize, usize),
        IntFormat { bits, group }: IntFormat,
    ) -> Result<Self, BundleError> {
        let stored = tensors.stored(codes);
        let weight = IntWeight { bits, rows, cols, codes: stored.bytes.clone(), scales: tensors.vector(scale), group };
        weight.check().map_err(|source| BundleError::Weight {
            file: stored.file.to_string(),
            tensor: excerpt(&stored.name),
            source,
        })?;
        Ok(Self { weight, place: stored.place.clone() })
    }
}

/// The first output that is padded with another code than 0, and that code.
fn padding_fault(weight: &IntWeight) -> Option<(usize, i8)> {
    if weight.bits != Bits::Four || weight.cols.is_multiple_of(8) {
        return None;
    }
    let padding = weight.cols..weight.cols.next_multiple_of(8);
    let rows = weight.codes.as_ref().chunks_exact(weight.row_bytes()).enumerate();
    rows.flat_map(|(output, row)| padding.clone().map(move |input| (output, nibble(row, input))))
        .find(|(_, code)| *code != 0)
}

/// The code of an input in a row of packed nibbles.
fn nibble(row: &[u8], input: usize) -> i8 {
    let byte = row[input / 2];
    (if input.is_multiple_of(2) { byte & 15 } else { byte >> 4 }) as i8 - 8
}

/// The first output with a code that is not 0 for one of the inputs `side`, that input and that code.
pub(super) fn side_fault(weight: &IntWeight, side: &[u32]) -> Option<(usize, u32, i8)> {
    let codes = (0..weight.rows).flat_map(|output| side.iter().map(move |input| (output, *input)));
    codes.map(|(output, input)| (output, input, weight.code(output, input as usize))).find(|(_, _, code)| *code != 0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mquant_kernels::Bytes;

    use super::*;

    #[test]
    fn padding_that_is_not_zero_is_found() {
        for cols in 1..=17usize {
            let (rows, row_bytes) = (3, cols.div_ceil(8) * 4);
            let weight = |codes: Vec<u8>| {
                let codes = Bytes::new(Arc::new(codes));
                IntWeight { bits: Bits::Four, rows, cols, codes, scales: vec![1.0; rows], group: None }
            };
            let good = vec![0x88; rows * row_bytes];
            assert_eq!(padding_fault(&weight(good.clone())), None);
            for input in 0..cols.next_multiple_of(8) {
                let mut codes = good.clone();
                codes[row_bytes + input / 2] ^= if input % 2 == 0 { 0x0f } else { 0xf0 };
                let expected = (input >= cols).then_some((1, -1));
                assert_eq!(padding_fault(&weight(codes)), expected, "{cols} inputs, input {input}");
            }
        }
    }

    #[test]
    fn side_columns_that_are_not_zero_are_found() {
        for bits in [Bits::Four, Bits::Eight] {
            let mut codes = vec![if bits == Bits::Four { 0x88 } else { 0 }; IntWeight::code_bytes(bits, 4, 16)];
            let at = IntWeight::code_bytes(bits, 2, 16) + if bits == Bits::Four { 2 } else { 5 };
            codes[at] ^= 0x30;
            let codes = Bytes::new(Arc::new(codes));
            let weight = IntWeight { bits, rows: 4, cols: 16, codes, scales: vec![1.0; 4], group: None };
            let found = if bits == Bits::Four { 3 } else { 0x30 };
            assert_eq!(side_fault(&weight, &[0, 5, 9]), Some((2, 5, found)));
            assert_eq!(side_fault(&weight, &[0, 4, 6, 15]), None);
        }
    }
}
