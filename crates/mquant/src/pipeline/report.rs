//! What a report says of every site and unit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What became of a site.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SiteReport {
    /// Bits of its weights; 16 where they stay float.
    pub weight_bits: u32,
    /// How its activation becomes codes.
    pub input: String,
    /// Largest magnitude of the activation by modality, channels that were split off aside.
    pub absmax: BTreeMap<String, f32>,
    /// Static scale by modality.
    pub scales: BTreeMap<String, f32>,
    /// Rows seen by modality.
    pub rows: BTreeMap<String, u64>,
    /// Channels computed beside the main product.
    pub side_columns: Vec<u32>,
    /// Signal to noise of the weights, in dB: the least of the site's linears. None where they stay float.
    pub weight_sqnr_db: Option<f64>,
    /// How the Hessian had to be helped, if it had.
    pub hessian: Option<String>,
    /// Anything a person should know.
    pub notes: Vec<String>,
}

/// What became of a unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitReport {
    /// Its name.
    pub unit: String,
    /// Signal to noise of what leaves it, in dB: integers against floats, both given what the integer units before gave.
    /// None where it was not measured.
    pub output_sqnr_db: Option<f64>,
}
