//! What the sites of a model do with samples.
//!
//! Enters: the activations of sites. Leaves: what was seen of every site by modality: magnitudes of channels, their
//! distribution, second moments.

pub mod histogram;
pub mod statistics;
