//! What can be wrong with a bundle.

use mquant_kernels::{HadamardError, PackError};
use thiserror::Error;

use super::FORMAT_VERSION;
use crate::checkpoint::{CheckpointError, FieldError};
use crate::error::{Class, Explain};
use crate::excerpt::rows;

/// Most lines of a list in one message.
const ROWS: usize = 8;

/// What is wrong with a bundle. `file` is relative to the folder.
#[derive(Debug, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum BundleError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error("{file}: {field} is {found}, this version reads format versions up to {FORMAT_VERSION}")]
    Version { file: String, field: String, found: usize },
    #[error(
        "{file}: {field} does not list the sites of the model{}{}",
        list("missing", missing),
        list("unknown", unknown)
    )]
    Sites { file: String, field: String, missing: Vec<String>, unknown: Vec<String> },
    #[error("{file}: {name} holds {what}, which this version does not support yet")]
    NotSupported { file: String, name: String, what: &'static str },
    #[error("{file}: {field}: {source}")]
    Rotation { file: String, field: String, source: HadamardError },
    #[error("{file}: {field} rotates {found} features, expected at least {expected}, the inputs of {tensor}")]
    RotationSize { file: String, field: String, tensor: String, expected: usize, found: usize },
    #[error("{file}: {field} is \"rms\", but there is no norm in front of the site")]
    Norm { file: String, field: String },
    #[error("{file}: {field} names channel {found}, expected one below {inputs}, the inputs of {tensor}")]
    SideColumn { file: String, field: String, tensor: String, inputs: usize, found: u32 },
    #[error("{file}: {tensor}: output {output} has code {found} for input {input}, expected 0: it is a side column")]
    SideCode { file: String, tensor: String, output: usize, input: u32, found: i8 },
    #[error("{file}: {tensor}: {source}")]
    Weight { file: String, tensor: String, source: PackError },
    #[error("{file}: {tensor}: output {output} is padded with code {found}, expected 0 (a nibble of 8)")]
    Padding { file: String, tensor: String, output: usize, found: i8 },
    #[error("{file}: {tensor}: scale {index} is {found}, expected a positive finite number")]
    InputScale { file: String, tensor: String, index: usize, found: f32 },
}

fn list(title: &str, sites: &[String]) -> String {
    if sites.is_empty() { String::new() } else { format!("\n{} {title}:{}", sites.len(), rows(sites, ROWS)) }
}

impl Explain for BundleError {
    fn class(&self) -> Class {
        match self {
            BundleError::Checkpoint(e) => e.class(),
            BundleError::Field(e) => e.class(),
            BundleError::Version { .. } | BundleError::NotSupported { .. } => Class::Unsupported,
            BundleError::Sites { .. } | BundleError::Weight { .. } => Class::Model,
            BundleError::Rotation { .. } | BundleError::RotationSize { .. } => Class::Model,
            BundleError::Padding { .. } | BundleError::InputScale { .. } | BundleError::Norm { .. } => Class::Model,
            BundleError::SideColumn { .. } | BundleError::SideCode { .. } => Class::Model,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            BundleError::Checkpoint(e) => e.code(),
            BundleError::Field(e) => e.code(),
            BundleError::Version { .. } => "BUNDLE_VERSION",
            BundleError::Sites { .. } => "BUNDLE_SITES",
            BundleError::NotSupported { .. } => "BUNDLE_NOT_SUPPORTED",
            BundleError::Rotation { .. } | BundleError::RotationSize { .. } => "BUNDLE_ROTATION",
            BundleError::Norm { .. } => "BUNDLE_NORM",
            BundleError::SideColumn { .. } => "BUNDLE_SIDE_COLUMN",
            BundleError::SideCode { .. } => "BUNDLE_SIDE_CODE",
            BundleError::Weight { .. } => "BUNDLE_WEIGHT",
            BundleError::Padding { .. } => "BUNDLE_PADDING",
            BundleError::InputScale { .. } => "BUNDLE_INPUT_SCALE",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            BundleError::Checkpoint(e) => e.hint(),
            BundleError::Field(e) => e.hint(),
            BundleError::Version { .. } => {
                Some("read it with the version of mquant that wrote it, or quantise the original model anew".to_owned())
            }
            BundleError::NotSupported { .. } => Some("a newer version of mquant may read it".to_owned()),
            _ => None,
        }
    }
}
