//! How far the weights that share a scale are clipped.

use mquant_kernels::{Bits, Cpu, clipped_scale, scale_of};

/// What the scale of a group of weights is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clip {
    /// The largest magnitude has the largest code: nothing is clipped.
    None,
    /// Of the scales p · absmax / (2^(bits−1) − 1), p = 1, 0.99 … 0.21, the one with the least Σ|ŵ − w|^2.4.
    Search,
}

impl Clip {
    /// The scale of finite `values`: positive and finite.
    pub(super) fn scale(self, cpu: Cpu, bits: Bits, values: &[f32]) -> f32 {
        let (least, most) = code_range(bits);
        match self {
            Clip::None => scale_of(values.iter().fold(0.0, |most: f32, v| most.max(v.abs())), most),
            Clip::Search => clipped_scale(cpu, values, least, most),
        }
    }
}

/// The smallest and the largest code.
pub(super) fn code_range(bits: Bits) -> (f32, f32) {
    match bits {
        Bits::Eight => (-127.0, 127.0),
        Bits::Four => (-8.0, 7.0),
    }
}
