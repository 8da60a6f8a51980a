//! Why a weight cannot be quantised.

use mquant_kernels::PackError;
use thiserror::Error;

use mquant_model::error::{Class, Explain};

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
    /// Second moments of other inputs than the weight has, or not a square of them.
    #[error("second moments of {found}, expected {expected}")]
    Moments {
        /// What the weight or the number of inputs asks for.
        expected: Count,
        /// What there is.
        found: Count,
    },
    /// A column that is not there is to be left out.
    #[error("column {column} is to be left out, but there are {columns}")]
    Excluded {
        /// Which column.
        column: usize,
        /// Number of columns.
        columns: usize,
    },
    /// Eigenvalues that were not found.
    #[error("the eigenvalues of second moments were not found")]
    Decomposition,
    /// The damping is no positive finite number.
    #[error("the damping is {found}, expected a positive finite number")]
    Damping {
        /// What it is.
        found: f64,
    },
    /// Two weights that should be one and the same differ in shape.
    #[error("a quantised weight of {found_rows} × {found_cols}, expected {rows} × {cols}")]
    Compared {
        /// Outputs of the float weight.
        rows: usize,
        /// Inputs of the float weight.
        cols: usize,
        /// Outputs of the quantised weight.
        found_rows: usize,
        /// Inputs of the quantised weight.
        found_cols: usize,
    },
}

/// A number of things that a message names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Inputs of a weight, columns of second moments.
    Inputs(usize),
    /// Values of a square matrix.
    Values(usize),
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Count::Inputs(n) => write!(f, "{n} inputs"),
            Count::Values(n) => write!(f, "{n} values"),
        }
    }
}

impl Explain for QuantizeError {
    fn class(&self) -> Class {
        match self {
            QuantizeError::NotFinite { .. } | QuantizeError::Decomposition => Class::Numeric,
            QuantizeError::Shape(_) => Class::Unsupported,
            QuantizeError::Damping { .. } => Class::Usage,
            QuantizeError::Moments { .. } | QuantizeError::Excluded { .. } | QuantizeError::Compared { .. } => {
                Class::Bug
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            QuantizeError::NotFinite { .. } => "WEIGHT_NOT_FINITE",
            QuantizeError::Shape(_) => "WEIGHT_SHAPE",
            QuantizeError::Moments { .. } => "HESSIAN_SHAPE",
            QuantizeError::Excluded { .. } => "HESSIAN_COLUMN",
            QuantizeError::Decomposition => "HESSIAN_EIGENVALUES",
            QuantizeError::Damping { .. } => "HESSIAN_DAMPING",
            QuantizeError::Compared { .. } => "WEIGHT_COMPARED",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            QuantizeError::Damping { .. } => Some("give a damping such as 0.01".into()),
            _ => None,
        }
    }
}
