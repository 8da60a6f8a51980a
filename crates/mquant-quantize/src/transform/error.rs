//! What a step cannot treat.

use mquant_kernels::HadamardError;
use thiserror::Error;

use mquant_model::error::{Class, Explain};
use mquant_model::nn::{SiteId, Tower};

/// Why a step cannot be applied to a model.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum TransformError {
    /// A site reads a stream without a norm in between: what is done to the stream cannot be taken back there.
    #[error("{site} reads the {tower} stream without a norm, which {step} cannot treat")]
    NoNorm {
        /// Who reads.
        site: SiteId,
        /// Which stream.
        tower: Tower,
        /// Which step.
        step: &'static str,
    },
    /// The norms of a stream differ in kind: centring its writers would be right for some of its readers only.
    #[error("the norms that read the {tower} stream are RMSNorm and LayerNorm, expected one kind")]
    MixedNorms {
        /// Which stream.
        tower: Tower,
    },
    /// The norm in front still has a gain or a bias, or subtracts a mean: it does not commute with a rotation.
    #[error("the norm of {site} {found}, so the {tower} stream cannot be rotated")]
    NormInTheWay {
        /// Whose norm.
        site: SiteId,
        /// Which stream.
        tower: Tower,
        /// What is in the way.
        found: &'static str,
    },
    /// The model has no such stream.
    #[error("the model has no {tower} stream")]
    NoStream {
        /// The stream asked for.
        tower: Tower,
    },
    /// No rotation is that large.
    #[error("{what}: {source}")]
    Rotation {
        /// What was to be rotated.
        what: String,
        /// Why it cannot be.
        source: HadamardError,
    },
    /// A site cannot be smoothed: nothing in front of it can take the scale.
    #[error("{site} has neither a norm nor a producer that could take a scale, so it cannot be smoothed")]
    NothingToScale {
        /// Which site.
        site: SiteId,
    },
    /// A site's activations were never seen.
    #[error("{site}: its activations were not seen during calibration")]
    NotSeen {
        /// Which site.
        site: SiteId,
    },
}

impl Explain for TransformError {
    fn class(&self) -> Class {
        match self {
            TransformError::NotSeen { .. } => Class::Bug,
            _ => Class::Unsupported,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            TransformError::NoNorm { .. } => "TRANSFORM_NO_NORM",
            TransformError::MixedNorms { .. } => "TRANSFORM_MIXED_NORMS",
            TransformError::NormInTheWay { .. } => "TRANSFORM_NORM",
            TransformError::NoStream { .. } => "TRANSFORM_STREAM",
            TransformError::Rotation { .. } => "TRANSFORM_ROTATION",
            TransformError::NothingToScale { .. } => "TRANSFORM_SMOOTH",
            TransformError::NotSeen { .. } => "TRANSFORM_NOT_SEEN",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            TransformError::NormInTheWay { .. } => Some("put a fuse_norms step before the rotation".to_owned()),
            TransformError::Rotation { .. } => {
                Some("leave this step out for this model, or rotate in blocks where the step allows it".to_owned())
            }
            TransformError::NothingToScale { .. } => Some("leave the site out of the smooth step".to_owned()),
            _ => None,
        }
    }
}
