//! A multimodal LLM as published, or as a bundle: opened, checked, put into place, and asked.
//!
//! In module order: files are read and written ([`disk`]); the parts of models ([`nn`]) are rows in, rows out; a folder is
//! opened ([`checkpoint`]), images and chat are prepared ([`input`]), float or integer weights ([`bundle`]) are put into place
//! ([`models`]), and a session answers ([`run`]).

pub mod error;
pub mod excerpt;
pub mod disk;
pub mod nn;
pub mod checkpoint;
pub mod input;
pub mod bundle;
pub mod models;
pub mod run;
pub mod measure;

pub use error::{Class, Error, Explain, Result};
