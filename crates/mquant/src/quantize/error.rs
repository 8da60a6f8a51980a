//! Why a weight cannot be quantised.

use mquant_kernels::PackError;
use thiserror::Error;

use crate::error::{Class, Explain};

/// Why a weight cannot be quantised.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// A value is NaN or infinite.
    #[error("the weight of output {output} for input {input} is {found}, expected a finite number")]
    NotFinite {
        /// Row of the weight.
        output: usize,
        /// Column of the weight.
        input: usize,
        /// The value.
        found: f32,
    },
    /// The kernels have no such weight.
    #[error(transparent)]
    Shape(#[from] PackError),
}

impl Explain for QuantizeError {
    fn class(&self) -> Class {
        match self {
            QuantizeError::NotFinite { .. } => Class::Numeric,
            QuantizeError::Shape(_) => Class::Unsupported,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            QuantizeError::NotFinite { .. } => "WEIGHT_NOT_FINITE",
            QuantizeError::Shape(_) => "WEIGHT_SHAPE",
        }
    }
}
