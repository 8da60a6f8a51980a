//! Every site in numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::BundleRecord;
use super::anatomy::Modality;
use super::numbers::{count, fixed, number};
use super::shown_text::visible_line;

/// A site.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SiteRow {
    pub(super) site: String,
    pub(super) bits: u32,
    pub(super) input: String,
    pub(super) weights: String,
    pub(super) side_columns: usize,
    /// One for each modality.
    pub(super) modalities: Vec<ModalityRow>,
    pub(super) notes: Vec<String>,
}

/// What a site sees of a modality.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ModalityRow {
    pub(super) name: &'static str,
    pub(super) rows: String,
    pub(super) absmax: String,
    pub(super) scale: String,
}

/// The sites in the model's order.
pub(super) fn site_table(bundle: &BundleRecord) -> Vec<SiteRow> {
    let rows = bundle.sites().into_iter().map(|(id, site)| {
        let seen =
            Modality::ALL.into_iter().filter(|m| site.rows.contains_key(m.name) || site.absmax.contains_key(m.name));
        let modalities = seen.map(|Modality { name, .. }| ModalityRow {
            name,
            rows: site.rows.get(name).map_or_else(dash, |rows| count(*rows)),
            absmax: of(&site.absmax, name),
            scale: of(&site.scales, name),
        });
        SiteRow {
            site: id.to_string(),
            bits: site.weight_bits,
            input: visible_line(&site.input).replace('_', " "),
            weights: site.weight_sqnr_db.map_or_else(dash, |db| fixed(db, 1)),
            side_columns: site.side_columns.len(),
            modalities: modalities.collect(),
            notes: site.notes.iter().chain(&site.hessian).map(|note| visible_line(note)).collect(),
        }
    });
    rows.collect()
}

fn of(numbers: &BTreeMap<String, f32>, modality: &str) -> String {
    numbers.get(modality).map_or_else(dash, |value| number(f64::from(*value)))
}

fn dash() -> String {
    "-".to_owned()
}
