//! What is wrong with one field of a JSON file.

use thiserror::Error;

use crate::error::{Class, Explain};

/// What is wrong with one field. `field` is its dotted path in `file`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum FieldError {
    #[error("{file}: {field} is missing, expected {expected}")]
    Missing { file: String, field: String, expected: String },
    #[error("{file}: {field} is {found}, expected {expected}")]
    Kind { file: String, field: String, expected: String, found: String },
    #[error("{file}: {field} is {found}, expected {expected}")]
    Range { file: String, field: String, expected: String, found: String },
    #[error("{file}: {field} has {found} items, expected {expected}")]
    Count { file: String, field: String, expected: String, found: usize },
    #[error("{file}: {field} is {found}, which is not supported; expected {expected}")]
    Choice { file: String, field: String, expected: String, found: String },
    #[error("{file}: {field} is not known; expected only {expected}")]
    Unknown { file: String, field: String, expected: String },
    #[error("{file}: {field} is {found}, which does not agree with the rest: expected {expected}")]
    Conflict { file: String, field: String, expected: String, found: String },
}

impl Explain for FieldError {
    fn class(&self) -> Class {
        match self {
            FieldError::Choice { .. } => Class::Unsupported,
            _ => Class::Model,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            FieldError::Missing { .. } => "FIELD_MISSING",
            FieldError::Kind { .. } => "FIELD_KIND",
            FieldError::Range { .. } => "FIELD_RANGE",
            FieldError::Count { .. } => "FIELD_COUNT",
            FieldError::Choice { .. } => "FIELD_CHOICE",
            FieldError::Unknown { .. } => "FIELD_UNKNOWN",
            FieldError::Conflict { .. } => "FIELD_CONFLICT",
        }
    }
}
