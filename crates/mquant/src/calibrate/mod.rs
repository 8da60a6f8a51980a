//! What is seen while a model answers: statistics of activations, from which static scales are chosen.

mod histogram;

pub use histogram::Histogram;
