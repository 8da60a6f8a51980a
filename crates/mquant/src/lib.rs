//! `mquant` takes a multimodal LLM as published, quantises it, and runs it on integer kernels.
//!
//! In module order: a folder on disk is opened ([`checkpoint`]), its family recognised and its weights put into place (floats
//! as published, or the integer codes of a bundle), images and chat are prepared; a float model is shown samples, transformed
//! and quantised as a recipe says ([`pipeline`]); a session answers; what was done and what
//! came of it is shown on a page ([`report`]).

pub use mquant_evaluate::{evaluate, report};
pub use mquant_kernels as kernels;
pub use mquant_model::{
    Class, Error, Explain, Result, bundle, checkpoint, disk, error, input, measure, models, nn, run,
};
pub use mquant_quantize::{job, pipeline, quantize, recipe, transform};

/// What a model is shown before it is quantised, and what its sites do then.
pub mod calibrate {
    pub use mquant_data::samples;
    pub use mquant_quantize::calibrate::{histogram, statistics};
}
