//! Smoothing vectors for each modality, learned block by block (MASQuant, arXiv 2603.04800).
//!
//! [`Twin`] is a float transformer block as a differentiable function: the same forward as the block's own, on tensors that know
//! their gradients. [`learn()`] runs it with smoothed and fake-quantised sites, and moves the vectors until what leaves the
//! quantised block is as near as can be to what leaves the float one. This is the only crate with automatic differentiation;
//! no other sees a tensor.
//!
//! Rounding is straight-through, scales have their true gradient, and all sums run in an order that does not depend on the number
//! of threads.

mod error;
mod product;
mod rounding;
mod tensor;
mod ops;
mod twin;
mod smoothing;
mod learn;

pub use error::LearnError;
pub use learn::{Learned, Options, Progress, Sample, learn};
pub use smoothing::{ActivationQuantization, Form, SiteQuantization, Vectors, WeightQuantization};
pub use twin::Twin;
