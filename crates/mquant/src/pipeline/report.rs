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
    /// What the site looked like as published, and after each transform.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageReport>,
    /// Signal to noise of what enters the product, in dB, by modality: codes against floats.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub input_sqnr_db: BTreeMap<String, f64>,
    /// Share of values beyond the range of their scale, from 0 to 1, by modality.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clipped: BTreeMap<String, f64>,
    /// Signal to noise of what the linears give, in dB, by modality: integers against floats.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub output_sqnr_db: BTreeMap<String, f64>,
    /// Rows these were measured on, by modality.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measured_rows: BTreeMap<String, u64>,
}

/// A site between two transforms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// `published`, or the transform that was done last.
    pub stage: String,
    /// Of what enters the product, by modality.
    pub activation: BTreeMap<String, Spread>,
    /// Of the weights that read it.
    pub weight: Spread,
}

/// How unequal the channels of a tensor are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Largest magnitude.
    pub max: f32,
    /// Of the channels' largest magnitudes, the 0, 25, 50, 75, 90 and 99 % quantiles.
    pub quantiles: [f32; 6],
    /// Of all values: 3 for a normal distribution, more with outliers.
    pub kurtosis: f64,
    /// The channel with the largest magnitude.
    pub channel: u32,
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
