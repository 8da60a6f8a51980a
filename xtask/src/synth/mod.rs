//! Synthetic checkpoints: folders as published in every shape and name, with random weights.
//!
//! Enters: a [`Shape`] and a seed. Leaves: a folder that loads like the published one, or a bundle of the same
//! weights quantised. Names and shapes of tensors come
//! from the model family's own list. Invariants: equal shape, seed, tokenizer and shard size give equal bytes whatever
//! the number of threads; the folder appears under its name complete or not at all.

mod config;
mod error;
mod folder;
mod shape;
mod quantized;
mod small_files;
mod stream;
mod tokenizer;
mod values;

pub(crate) use error::SynthError;
pub(crate) use folder::{SynthOptions, write_folder};
pub(crate) use quantized::{Input, Quantized};
pub(crate) use shape::Shape;
