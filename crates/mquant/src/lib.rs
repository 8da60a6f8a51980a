//! `mquant` takes a multimodal LLM as published or quantised and runs it.
//!
//! The pipeline, in module order: a folder on disk is opened ([`checkpoint`]), its family recognised and its weights put
//! into place (floats as published, or the integer codes of a bundle), images and chat are prepared, and a session
//! answers.

pub mod error;
mod excerpt;
pub mod checkpoint;
pub mod input;
pub mod nn;
pub mod models;
pub mod calibrate;
pub mod quantize;
pub mod bundle;
pub mod run;
pub mod evaluate;
pub mod measure;

pub use error::{Class, Error, Explain, Result};
pub use mquant_kernels as kernels;
