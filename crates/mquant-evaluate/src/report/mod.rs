//! What was done to a model and what came of it, on one page.
//!
//! Enters: folders that hold an `evaluation.json`, perhaps with a `blame.json` beside it, a bundle's `mquant.json`, or both
//! ([`Sources`]). Leaves: a [`Report`], which
//! is `report.json`, and from it alone a page ([`html()`]) and a Markdown text ([`markdown()`]).
//!
//! Invariants: names, answers and pictures come from strangers, so everything is cut to size and checked when it is gathered, and
//! escaped where it is shown. The page needs nothing but itself: no script, no network, no font. It has at most
//! [`PAGE_BYTES`]. Equal reports give equal bytes.
//!
//! To add a section: a module that makes its view from a report, a template beside the others, and a line in `html` and
//! `markdown` for it.

mod error;
mod sources;
mod trim;
mod picture;
mod write;
mod numbers;
mod shown_text;
mod word_diff;
mod palette;
mod axis;
mod depth_plot;
mod box_plot;
mod anatomy;
mod verdict;
mod scores;
mod parts;
mod heat_map;
mod costs;
mod ranges;
mod outliers;
mod site_table;
mod examples;
mod origin;
mod html;
mod markdown;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::evaluate::{Blame, EvaluationRecord};
use mquant_model::bundle::{FileHash, Fingerprint};
use mquant_model::nn::SiteId;
use mquant_quantize::pipeline::{SiteReport, UnitReport};

pub use error::ReportError;
pub use html::html;
pub use markdown::markdown;
pub use sources::Sources;
pub use write::FILES;

/// What `schema` says.
pub const SCHEMA: &str = "mquant.report/1";
/// Most bytes of a page.
pub const PAGE_BYTES: usize = 3_000_000;

/// Everything a page shows, and `report.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// Of the program that gathered it.
    pub version: String,
    /// In the order they were given.
    pub evaluations: Vec<EvaluationRecord>,
    /// In the order they were given.
    pub bundles: Vec<BundleRecord>,
    /// Of those evaluations that were followed up, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blames: Vec<BlameRecord>,
}

/// What costs a model its accuracy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlameRecord {
    /// Name of the model that was evaluated.
    pub model: String,
    /// What identifies it: see [`crate::evaluate::ModelRecord`].
    pub identity: String,
    /// What was found.
    pub blame: Blame,
}

/// What a bundle says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BundleRecord {
    /// The last part of its path.
    pub name: String,
    /// SHA-256 of its manifest.
    pub identity: String,
    /// What it follows from.
    pub fingerprint: Fingerprint,
    /// Its other files.
    pub files: BTreeMap<String, FileHash>,
    /// What its maker told.
    pub provenance: Provenance,
}

/// What the maker of a bundle tells in its manifest; all of it may be absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// In TOML.
    pub recipe: String,
    /// Calibration samples that were used.
    pub samples: usize,
    /// Those that could not be, and why.
    pub skipped: Vec<String>,
    /// By name.
    pub sites: BTreeMap<String, SiteReport>,
    /// In the order of the model.
    pub units: Vec<UnitReport>,
    /// What its caller added.
    pub given: Value,
}

impl BundleRecord {
    /// Its sites in the order of the model.
    fn sites(&self) -> Vec<(SiteId, &SiteReport)> {
        let sites = self.provenance.sites.iter();
        let mut sites: Vec<_> = sites.filter_map(|(name, report)| Some((SiteId::parse(name)?, report))).collect();
        sites.sort_by_key(|(site, _)| *site);
        sites
    }

    /// Bytes of its weights.
    fn weight_bytes(&self) -> u64 {
        let weights = self.files.iter().filter(|(name, _)| name.ends_with(".safetensors"));
        weights.fold(0, |sum, (_, file)| sum.saturating_add(file.bytes))
    }
}
