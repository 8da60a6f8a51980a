//! What a model is shown before it is quantised, and what is learned from watching it.

pub mod samples;
