//! How sure a score is, and whether two models differ.
//!
//! Enters: the [`Unit`](super::Unit)s of a benchmark's score, of one model or of two on the same samples. Leaves: 95 %
//! intervals and p values. Invariant: the same scores give the same numbers, everywhere and always.

mod bootstrap;
mod mcnemar;

pub use bootstrap::{Resampled, rate};
pub use mcnemar::mcnemar_p;
