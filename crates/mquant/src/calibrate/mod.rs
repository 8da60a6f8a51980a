//! What a model is shown before it is quantised, and what its sites do then.

pub mod statistics;
