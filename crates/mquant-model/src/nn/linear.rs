//! One weight and its bias.

use mquant_kernels::{Matrix, PackedWeight};

/// y = x·Wᵀ + b.
#[derive(Clone, Debug)]
pub struct Linear {
    /// out × in.
    pub weight: Weight,
    /// One value an output.
    pub bias: Option<Vec<f32>>,
    /// Codes for the input channels that its site computes beside the main product: out × channels.
    pub side: Option<PackedWeight>,
    /// Second halves of the site's low-rank branches, in their order: out × rank.
    pub branches: Vec<PackedWeight>,
}

/// A weight in the number format it is computed with.
#[derive(Clone, Debug)]
pub enum Weight {
    /// As published, or transformed.
    Float(Matrix),
    /// Integer codes with scales, laid out for the kernels.
    Int(PackedWeight),
}

impl Linear {
    /// A weight and its bias, with nothing beside them.
    pub fn plain(weight: Weight, bias: Option<Vec<f32>>) -> Self {
        Self { weight, bias, side: None, branches: Vec::new() }
    }

    /// y = x, in float.
    pub fn identity(features: usize) -> Self {
        let values = (0..features * features).map(|i| if i % (features + 1) == 0 { 1.0 } else { 0.0 });
        Self::plain(Weight::Float(Matrix::from_f32(values.collect(), features, features)), None)
    }
}

impl Weight {
    /// Number of outputs.
    pub fn rows(&self) -> usize {
        match self {
            Weight::Float(w) => w.rows(),
            Weight::Int(w) => w.rows(),
        }
    }

    /// Number of inputs.
    pub fn cols(&self) -> usize {
        match self {
            Weight::Float(w) => w.cols(),
            Weight::Int(w) => w.cols(),
        }
    }

    /// Bytes it takes, with its scales.
    pub fn byte_len(&self) -> usize {
        match self {
            Weight::Float(w) => w.byte_len(),
            Weight::Int(w) => w.byte_len(),
        }
    }

    /// The float weight, if it is one.
    pub fn float(&self) -> Option<&Matrix> {
        match self {
            Weight::Float(w) => Some(w),
            Weight::Int(_) => None,
        }
    }

    /// The float weight, if it is one, to be changed.
    pub fn float_mut(&mut self) -> Option<&mut Matrix> {
        match self {
            Weight::Float(w) => Some(w),
            Weight::Int(_) => None,
        }
    }
}
