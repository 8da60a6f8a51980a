//! What a report says of every site and unit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rounding::{shortest, shortest_each, shortest_of_each};

/// What became of a site. Maps by modality leave out what was not measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SiteReport {
    /// Bits of its weights; 16 where they stay float.
    pub weight_bits: u32,
    /// How its activation becomes codes.
    pub input: String,
    /// Largest magnitude of the activation by modality, channels that were split off aside.
    #[serde(serialize_with = "shortest_of_each")]
    pub absmax: BTreeMap<String, f32>,
    /// Static scale by modality.
    #[serde(serialize_with = "shortest_of_each")]
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
    /// Rows that `stages` and all below were measured on, by modality: some of the first batch that has such.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub measured_rows: BTreeMap<String, u64>,
    /// As published, and after every step that changed anything at the site.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageReport>,
    /// Signal to noise of the activation in the codes of the site, in dB to 0.01, channels that were split off included; by
    /// modality. Left out where it stays float, or there is no signal or no noise.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub input_sqnr_db: BTreeMap<String, f64>,
    /// Share of the activation beyond its static scale, to 1e-6, channels that were split off aside; by modality. 0 with
    /// scales found while running; left out where it stays float.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub clipped: BTreeMap<String, f64>,
    /// Signal to noise of what the site's linears give on integers, biases included, in dB to 0.01; by modality. The float
    /// site was given the same floats. Left out where weights stay float, or there is no signal or no noise.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub output_sqnr_db: BTreeMap<String, f64>,
    /// The same without low-rank branches, of modalities that have one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub output_sqnr_db_without_branch: BTreeMap<String, f64>,
    /// What smoothing by modality multiplies rows by.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub smoothing: BTreeMap<String, SmoothingReport>,
    /// Low-rank branches by the modality of their rows.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub branches: BTreeMap<String, BranchReport>,
}

/// What rows of a modality are multiplied by, relative to those of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SmoothingReport {
    /// The least factor of a channel.
    #[serde(serialize_with = "shortest")]
    pub least: f32,
    /// The largest.
    #[serde(serialize_with = "shortest")]
    pub most: f32,
}

/// A low-rank branch for the rows of a modality.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BranchReport {
    /// Its rank.
    pub rank: usize,
    /// Bytes of both halves with their scales, of all linears.
    pub bytes: u64,
    /// Squared error of the outputs without it, of weights alone, in parts of the outputs' energy.
    pub lacked: f64,
    /// The share of that which the branch takes away.
    pub taken: f64,
    /// The first singular values of the whitened error, in parts of the root of the outputs' energy.
    pub spectrum: Vec<f64>,
}

/// What the linears of a site read and are after a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// `published`, or the step as a recipe names it.
    pub stage: String,
    /// What they read, after norm and online rotation, by modality; from `split_columns` on without the channels that were.
    pub activation: BTreeMap<String, Spread>,
    /// Their weights, a channel being the column of an input, all outputs of all linears together.
    pub weight: Spread,
}

/// How values in channels are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The largest magnitude.
    #[serde(serialize_with = "shortest")]
    pub max: f32,
    /// Of the largest magnitudes of the channels, in ascending order, those at 0, 25, 50, 75, 90 and 99 % of the way from
    /// the first to the last, to the nearest.
    #[serde(serialize_with = "shortest_each")]
    pub quantiles: [f32; 6],
    /// The fourth central moment over the squared second one, of all values, to 0.001: 3 of a normal distribution. 0 where
    /// all values are the same.
    pub kurtosis: f64,
    /// The first channel with the largest magnitude.
    pub channel: u32,
}

/// What became of a unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitReport {
    /// Its name.
    pub unit: String,
    /// Signal to noise of what leaves it, in dB: integers against floats, both given what the integer units before gave.
    /// None where it was not measured.
    pub output_sqnr_db: Option<f64>,
    /// How its smoothing vectors were learned, if they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning: Option<LearningReport>,
}

/// How smoothing vectors were learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LearningReport {
    /// Times that all samples were shown.
    pub epochs: usize,
    /// Steps of the optimiser.
    pub steps: usize,
    /// Mean loss over all samples before learning, and after each epoch.
    pub losses: Vec<f64>,
    /// The place in `losses` of the vectors that were kept.
    pub kept: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_an_older_bundle_is_read() {
        let text = r#"{"weight_bits":4,"input":"per_tensor","absmax":{"vision":1.5},"scales":{},"rows":{"vision":3},
            "side_columns":[],"weight_sqnr_db":null,"hessian":null,"notes":[]}"#;
        let report: SiteReport = serde_json::from_str(text).unwrap();
        assert_eq!((report.weight_bits, report.absmax["vision"], report.stages.len()), (4, 1.5, 0));
        assert_eq!(serde_json::to_string(&report).unwrap(), text.replace("\n            ", ""));
    }

    #[test]
    fn a_report_is_written_in_its_own_digits_and_read_back() {
        let spread = Spread { max: 0.1, quantiles: [1e-9, 0.1, 0.2, 0.3, 0.7, f32::MAX], kurtosis: 3.125, channel: 7 };
        let stage = StageReport {
            stage: "published".to_owned(),
            activation: BTreeMap::from([("text".to_owned(), spread)]),
            weight: spread,
        };
        let report = SiteReport {
            scales: BTreeMap::from([("text".to_owned(), 0.1)]),
            stages: vec![stage],
            clipped: BTreeMap::from([("text".to_owned(), 0.0)]),
            ..SiteReport::default()
        };
        let text = serde_json::to_string(&serde_json::to_value(&report).unwrap()).unwrap();
        assert!(text.contains(r#""scales":{"text":0.1}"#) && text.contains(r#""max":0.1,"#), "{text}");
        assert_eq!(serde_json::from_str::<SiteReport>(&text).unwrap(), report);
    }
}
