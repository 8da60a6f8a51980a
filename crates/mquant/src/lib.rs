//! `mquant` takes a multimodal LLM as published, quantises it, and runs it on integer kernels.
//!
//! In module order: a folder on disk is opened ([`checkpoint`]), its family recognised and its weights put into place (floats
//! as published, or the integer codes of a bundle), images and chat are prepared; a float model is shown samples, transformed
//! and quantised as a recipe says ([`pipeline`]); a session answers; what was done and what
//! came of it is shown on a page ([`report`]).

pub mod error;
mod excerpt;
pub mod disk;
pub mod checkpoint;
pub mod input;
pub mod nn;
pub mod models;
pub mod calibrate;
pub mod transform;
pub mod quantize;
pub mod recipe;
pub mod bundle;
pub mod job;
pub mod run;
pub mod pipeline;
pub mod evaluate;
pub mod report;
pub mod measure;

pub use error::{Class, Error, Explain, Result};
pub use mquant_kernels as kernels;
