//! From an opened folder to a model, float or quantised.

use super::{Model, ModelError, ModelSpec};
use crate::bundle::{PackedCache, PackedCacheUse, Quantization, Weights};
use crate::checkpoint::Checkpoint;

/// A model, and what came of building it.
#[derive(Clone, Debug)]
pub struct Built {
    /// The parts.
    pub model: Model,
    /// What became of the panels kept beside a bundle.
    pub packed_cache: PackedCacheUse,
}

/// Puts the weights of a checkpoint in place: floats, or what a quantisation says.
///
/// # Errors
/// Tensors that are missing, unknown, or of a wrong shape or type: all of them at once; floats that are not finite; codes or
/// scales that the kernels would not accept.
pub fn build(
    blueprint: &dyn ModelSpec,
    checkpoint: &Checkpoint,
    quantization: Option<&Quantization>,
    cache: PackedCache,
) -> Result<Built, ModelError> {
    let (naming, specs) = (blueprint.naming(), blueprint.tensors());
    let weights = match quantization {
        None => Weights::float(checkpoint, &naming, &specs)?,
        Some(quantization) => Weights::quantised(checkpoint, &naming, &specs, quantization.clone(), cache)?,
    };
    let model = blueprint.build(&weights);
    Ok(Built { model, packed_cache: weights.keep_panels(checkpoint, cache) })
}
