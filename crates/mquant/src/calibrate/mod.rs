//! What a model is shown before it is quantised, and what its sites do then.
//!
//! Enters: files of a user, and the activations of sites. Leaves: samples, and what was seen of every site by modality:
//! magnitudes of channels, their distribution, second moments.

pub mod histogram;
pub mod samples;
pub mod statistics;
