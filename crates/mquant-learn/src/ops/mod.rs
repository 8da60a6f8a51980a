//! Operations with gradients of their own: where the library has none, where the sum of its steps would take much more memory,
//! or where its result could depend on the number of threads.
//!
//! All give the same bits for every number of threads.

mod linear;
mod matmul;
mod quantize;
mod rotate;
mod smoothed;
mod softmax;
#[cfg(test)]
mod tests;

pub(crate) use linear::linear;
pub(crate) use matmul::{matmul, matmul_t};
pub(crate) use quantize::{Scales, quantize};
pub(crate) use rotate::rotate;
pub(crate) use smoothed::{SmoothedWeight, WeightCodes, smoothed_linear};
pub(crate) use softmax::softmax;
