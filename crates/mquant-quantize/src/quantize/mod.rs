//! From float weights to integer ones. A [`Matrix`](mquant_kernels::Matrix) enters, an
//! [`IntWeight`](mquant_kernels::IntWeight) leaves: canonical codes and scales, as a bundle stores them.
//!
//! Invariant: every method gives codes and scales that the kernels accept, the same bytes with any number of threads, and
//! refuses weights that are not finite. A [`Hessian`] is never a reason to fail: what cannot be corrected by it is rounded.

mod error;
mod clip;
mod layout;
mod rtn;
mod hessian;
mod factor;
mod gptq;
mod low_rank;
mod weight_error;
#[cfg(test)]
mod reference;

pub use clip::Clip;
pub use error::{Count, QuantizeError};
pub use factor::{ActOrder, DampingOutcome, GptqOptions, HessianFactor, NearestReason};
pub use gptq::gptq;
pub use hessian::Hessian;
pub use low_rank::{LowRank, Residual, WeightRows, energy};
pub use rtn::{rtn, rtn_clipped};
pub use weight_error::{WeightError, relative_error};

pub use mquant_model::bundle::IntFormat;
