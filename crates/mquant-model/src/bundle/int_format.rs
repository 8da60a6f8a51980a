//! Sizes of integer codes.

use mquant_kernels::Bits;

/// How a weight is to become integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IntFormat {
    /// Bits of a code.
    pub bits: Bits,
    /// Inputs that share a scale: 32, 64 or 128; None where all of an output do.
    pub group: Option<usize>,
}

impl IntFormat {
    /// One scale for each output.
    pub fn per_channel(bits: Bits) -> Self {
        Self { bits, group: None }
    }
}
