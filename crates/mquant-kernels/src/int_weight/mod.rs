//! Integer weights: canonical codes as a bundle stores them, and [panels] as the kernels read them.

mod panels;

use std::fmt;
use std::ops::Range;

use thiserror::Error;

use crate::data::Bytes;

pub use panels::PackedWeight;
pub(crate) use panels::{PANEL, STEP, code, step_len};

/// Bits of a weight code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bits {
    /// −8…7.
    Four,
    /// −128…127; the quantiser makes −127…127.
    Eight,
}

impl Bits {
    /// The number.
    pub fn count(self) -> u32 {
        match self {
            Bits::Four => 4,
            Bits::Eight => 8,
        }
    }

    /// What is added to a code in a panel.
    pub(crate) fn offset(self) -> i32 {
        match self {
            Bits::Four => 8,
            Bits::Eight => 128,
        }
    }

    /// The largest magnitude of a code.
    fn largest(self) -> i64 {
        i64::from(self.offset())
    }
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.count().fmt(f)
    }
}

/// Codes and scales of a weight, out × in, as `docs/format.md` lays them out: `w[j][k] = code[j][k] · scale[j][k / group]`.
#[derive(Clone, Debug)]
pub struct IntWeight {
    /// Bits of a code.
    pub bits: Bits,
    /// Number of outputs.
    pub rows: usize,
    /// Number of inputs.
    pub cols: usize,
    /// Row-major. 8 bits: one byte a code. 4 bits: ⌈in/8⌉ little-endian words a row, code + 8, lowest nibble first.
    pub codes: Bytes,
    /// out × groups; one group where the scale belongs to the whole output.
    pub scales: Vec<f32>,
    /// Inputs that share a scale; None where all of an output do.
    pub group: Option<usize>,
}

/// Why a weight cannot be used.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum PackError {
    /// The codes are of another length than the shape says.
    #[error("expected {expected} bytes of codes, found {found}")]
    Codes {
        /// Bytes the shape needs.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// The scales are of another number than the shape says.
    #[error("expected {expected} scales, found {found}")]
    Scales {
        /// Scales the shape needs.
        expected: usize,
        /// Scales there are.
        found: usize,
    },
    /// A scale is not a positive finite number.
    #[error("the scale of output {output} is {found}, expected a positive finite number")]
    Scale {
        /// Whose scale.
        output: usize,
        /// What it is.
        found: f32,
    },
    /// A group that the kernels have not.
    #[error("groups of {found} inputs, expected 32, 64 or 128")]
    Group {
        /// Inputs of a group.
        found: usize,
    },
    /// A sum of so many products may not fit 32 bits.
    #[error("{found} inputs of {bits}-bit codes, expected at most {most}: a sum might not fit 32 bits")]
    Inputs {
        /// Number of inputs.
        found: usize,
        /// The most there may be.
        most: usize,
        /// Bits of a code.
        bits: Bits,
    },
    /// No outputs or no inputs.
    #[error("a weight of {rows} × {cols} values")]
    Empty {
        /// Number of outputs.
        rows: usize,
        /// Number of inputs.
        cols: usize,
    },
}

impl IntWeight {
    /// Bytes the codes of this shape take.
    pub fn code_bytes(bits: Bits, rows: usize, cols: usize) -> usize {
        match bits {
            Bits::Four => rows * cols.div_ceil(8) * 4,
            Bits::Eight => rows * cols,
        }
    }

    /// Most inputs whose sum of products with activation codes (−128…127) fits an i32.
    pub fn most_inputs(bits: Bits) -> usize {
        (i64::from(i32::MAX) / (128 * bits.largest())) as usize
    }

    /// Bytes the codes of one output take.
    pub fn row_bytes(&self) -> usize {
        Self::code_bytes(self.bits, 1, self.cols)
    }

    /// Outputs `range` as a weight of their own; shares the codes.
    ///
    /// # Panics
    /// If the range is not inside, or codes or scales are of another length than the shape says.
    pub fn row_range(&self, range: Range<usize>) -> Self {
        let (bytes, groups) = (self.row_bytes(), self.groups());
        let codes = self.codes.slice(range.start * bytes..range.end * bytes);
        let scales = self.scales[range.start * groups..range.end * groups].to_vec();
        Self { rows: range.len(), codes, scales, ..*self }
    }

    /// Scales of an output.
    pub fn groups(&self) -> usize {
        self.group.map_or(1, |group| self.cols.div_ceil(group))
    }

    /// Code of output `row` for input `col`.
    pub fn code(&self, row: usize, col: usize) -> i8 {
        let codes = self.codes.as_ref();
        match self.bits {
            Bits::Eight => codes[row * self.cols + col] as i8,
            Bits::Four => {
                let byte = codes[row * self.cols.div_ceil(8) * 4 + col / 2];
                (if col.is_multiple_of(2) { byte & 15 } else { byte >> 4 }) as i8 - 8
            }
        }
    }

    /// Checks lengths, scales and the bound on sums.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn check(&self) -> Result<(), PackError> {
        let Self { bits, rows, cols, .. } = *self;
        if rows == 0 || cols == 0 {
            return Err(PackError::Empty { rows, cols });
        }
        let (expected, found) = (Self::code_bytes(bits, rows, cols), self.codes.as_ref().len());
        if expected != found {
            return Err(PackError::Codes { expected, found });
        }
        if let Some(group) = self.group.filter(|group| ![32, 64, 128].contains(group)) {
            return Err(PackError::Group { found: group });
        }
        let (expected, found) = (rows * self.groups(), self.scales.len());
        if expected != found {
            return Err(PackError::Scales { expected, found });
        }
        if let Some(i) = self.scales.iter().position(|s| !(s.is_finite() && *s > 0.0)) {
            return Err(PackError::Scale { output: i / self.groups(), found: self.scales[i] });
        }
        let most = Self::most_inputs(bits);
        if cols > most { Err(PackError::Inputs { found: cols, most, bits }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    pub(super) fn weight(bits: Bits, rows: usize, cols: usize, group: Option<usize>) -> IntWeight {
        let len = IntWeight::code_bytes(bits, rows, cols);
        let codes: Vec<u8> = (0..len).map(|i| (i * 151 + i / 7 * 13) as u8).collect();
        let groups = group.map_or(1, |g| cols.div_ceil(g));
        let scales = (0..rows * groups).map(|i| 0.5 + i as f32).collect();
        IntWeight { bits, rows, cols, codes: Bytes::new(Arc::new(codes)), scales, group }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let good = weight(Bits::Eight, 3, 8, None);
        assert!(good.check().is_ok());
        assert!(matches!(IntWeight { cols: 9, ..good.clone() }.check(), Err(PackError::Codes { .. })));
        assert!(matches!(IntWeight { scales: vec![1.0], ..good.clone() }.check(), Err(PackError::Scales { .. })));
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let found = IntWeight { scales: vec![1.0, bad, 1.0], ..good.clone() }.check();
            assert!(matches!(found, Err(PackError::Scale { output: 1, .. })), "{bad}");
        }
        assert!(matches!(IntWeight { group: Some(48), ..good.clone() }.check(), Err(PackError::Group { found: 48 })));
        for bits in [Bits::Four, Bits::Eight] {
            let most = IntWeight::most_inputs(bits);
            assert!(weight(bits, 1, most, None).check().is_ok());
            assert!(matches!(weight(bits, 1, most + 1, None).check(), Err(PackError::Inputs { .. })));
            let bound = 128 * i64::from(bits.offset());
            assert!(most as i64 * bound <= i64::from(i32::MAX) && (most as i64 + 1) * bound > i64::from(i32::MAX));
        }
    }
}
