//! From a float model to a bundle.
//!
//! In module order: weights change without the model's function ([`transform`]) and become integers ([`quantize`]), by what was
//! seen of activations ([`calibrate`]) and as a [`recipe`] says; a [`job`] keeps what is done; the [`pipeline`] does it all.

pub mod transform;
pub mod quantize;
pub mod calibrate;
pub mod recipe;
pub mod job;
pub mod pipeline;
