//! The table of tensors that are not as a model's configuration implies.

use std::fmt::Write as _;

use super::stored_dtype::StoredDtype;
use super::tensor_spec::Elements;
use crate::excerpt::{excerpt, rows};

/// Most rows of one kind in a message.
const ROWS: usize = 8;

/// One tensor that is not as the configuration implies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The family's name of it.
    pub tensor: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is required and not there.
    Missing {
        /// Dimensions it should have.
        expected: Vec<usize>,
        /// Element types it may have.
        elements: Elements,
    },
    /// It has other dimensions.
    Shape {
        /// Dimensions it should have.
        expected: Vec<usize>,
        /// Dimensions it has.
        found: Vec<usize>,
    },
    /// It has an element type that is not computed with, or not here.
    Dtype {
        /// Types it may have.
        expected: Elements,
        /// Type it has.
        found: StoredDtype,
    },
    /// Two published names mean it.
    Collision {
        /// Both published names.
        published: [String; 2],
    },
    /// It is there, but the configuration has no place for it.
    Unexpected {
        /// Type it has.
        dtype: StoredDtype,
        /// Dimensions it has.
        found: Vec<usize>,
    },
}

impl Mismatch {
    /// Whether only a float type that is not computed with is in the way.
    pub(crate) fn is_dtype(&self) -> bool {
        matches!(self.problem, Problem::Dtype { expected: Elements::Float, .. })
    }

    fn code(&self) -> &'static str {
        match self.problem {
            Problem::Missing { .. } => "TENSOR_MISSING",
            Problem::Shape { .. } => "TENSOR_SHAPE",
            Problem::Dtype { .. } => "TENSOR_DTYPE",
            Problem::Collision { .. } => "TENSOR_COLLISION",
            Problem::Unexpected { .. } => "TENSOR_UNEXPECTED",
        }
    }

    fn row(&self, width: usize) -> String {
        let (expected, found) = match &self.problem {
            Problem::Missing { expected, elements: Elements::Float } => (format!("{expected:?}"), "nothing".to_owned()),
            Problem::Missing { expected, elements } => (format!("{expected:?} {elements}"), "nothing".to_owned()),
            Problem::Shape { expected, found } => (format!("{expected:?}"), format!("{found:?}")),
            Problem::Dtype { expected, found } => (expected.to_string(), found.to_string()),
            Problem::Collision { published: [a, b] } => {
                ("one tensor".to_owned(), format!("{} and {}", excerpt(a), excerpt(b)))
            }
            Problem::Unexpected { dtype, found } => ("nothing".to_owned(), format!("{found:?} {dtype}")),
        };
        format!("{:width$}  expected {expected}, found {found}", excerpt(&self.tensor))
    }
}

/// The code of the one kind of problem there is, or that of a mixture.
pub(crate) fn code(mismatches: &[Mismatch]) -> &'static str {
    match mismatches.first().map(Mismatch::code) {
        Some(code) if mismatches.iter().all(|m| m.code() == code) => code,
        _ => "TENSORS_DISAGREE",
    }
}

/// How many tensors have which problem, and the first few of each kind.
pub(crate) fn table(mismatches: &[Mismatch]) -> String {
    let kinds = [
        ("TENSOR_MISSING", "missing"),
        ("TENSOR_SHAPE", "of another shape"),
        ("TENSOR_DTYPE", "of another element type"),
        ("TENSOR_COLLISION", "published twice"),
        ("TENSOR_UNEXPECTED", "unexpected"),
    ];
    let mut out = format!("{} tensors are not as the configuration implies", mismatches.len());
    for (code, title) in kinds {
        let these: Vec<&Mismatch> = mismatches.iter().filter(|m| m.code() == code).collect();
        if these.is_empty() {
            continue;
        }
        let width = these.iter().take(ROWS).map(|m| excerpt(&m.tensor).chars().count()).max().unwrap_or(0);
        let lines: Vec<String> = these.iter().map(|m| m.row(width)).collect();
        // Writing to a string cannot fail.
        let _ = write!(out, "\n{} {title}:{}", these.len(), rows(&lines, ROWS));
    }
    out
}

/// Advice when the whole picture is a known one.
pub(crate) fn hint(mismatches: &[Mismatch]) -> Option<String> {
    let packed =
        [".qweight", ".qzeros", ".weight_packed", ".weight_scale", ".weight_scale_inv", ".quant_state", ".absmax"];
    let quantised = mismatches
        .iter()
        .any(|m| matches!(m.problem, Problem::Unexpected { .. }) && packed.iter().any(|end| m.tensor.ends_with(end)));
    quantised.then(|| {
        "these weights are already quantised, and not as config.json says: give the original float model, or a bundle as it \
         was written"
            .to_owned()
    })
}
