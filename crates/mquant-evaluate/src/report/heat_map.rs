//! Errors by block, kind of site and modality, as tables whose cells have a colour.

use serde::Serialize;

use super::BundleRecord;
use super::anatomy::{Column, Modality, columns};
use super::numbers::{fixed, number};
use super::palette::STEPS;
use mquant_model::nn::Tower;
use mquant_quantize::pipeline::SiteReport;

/// Cells that are marked as the worst of a map.
const WORST: usize = 3;
/// Least share of clipped values that is told from none.
const MIN_CLIPPED: f64 = 1e-6;
/// Title and explanation where no value was clipped.
const NOTHING_CLIPPED: [&str; 2] = [
    "Clipped share: nothing was clipped",
    "An 8-bit scale covers a fixed range; values beyond it are set to its end, which is called clipping. Where that was \
     measured, no value of any site lay beyond.",
];
/// Least range of a scale of dB: less is no difference worth a colour.
const MIN_RANGE_DB: f64 = 12.0;

/// A map of one quantity.
#[derive(Clone, Debug, Serialize)]
pub(super) struct HeatMap {
    pub(super) title: &'static str,
    /// What it is, in a sentence or two.
    pub(super) help: &'static str,
    /// Empty where there is nothing to tell apart.
    pub(super) tables: Vec<HeatTable>,
    /// The numbers of the worst colour and of the best.
    pub(super) ends: [String; 2],
    /// Worst, median and best number.
    pub(super) legend: [String; 3],
}

/// A tower, or what is in none.
#[derive(Clone, Debug, Serialize)]
pub(super) struct HeatTable {
    pub(super) name: String,
    /// Heading and number of columns below it.
    pub(super) groups: Vec<(String, usize)>,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<HeatRow>,
}

/// A block or a site.
#[derive(Clone, Debug, Serialize)]
pub(super) struct HeatRow {
    pub(super) name: String,
    pub(super) cells: Vec<Option<HeatCell>>,
}

/// A number and its colour.
#[derive(Clone, Debug, Serialize)]
pub(super) struct HeatCell {
    pub(super) text: String,
    /// From 0, worst, to [`STEPS`] − 1; none for what is no site, and would stretch their scale.
    pub(super) step: Option<usize>,
    pub(super) worst: bool,
}

/// What is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantity {
    Output,
    Input,
    Clipped,
    Weight,
}

impl Quantity {
    const ALL: [Self; 4] = [Quantity::Output, Quantity::Clipped, Quantity::Input, Quantity::Weight];

    /// `of`: what has colours.
    fn title(self, of: Of) -> &'static str {
        match self {
            Quantity::Output => match of {
                Of::Site => "Error of what a site computes (SQNR in dB)",
                Of::Block => "Error of what a block computes (SQNR in dB)",
            },
            Quantity::Clipped => "Clipped share (percent)",
            Quantity::Input => "Error of rounding the activation (SQNR in dB)",
            Quantity::Weight => "Error of rounding the weights (SQNR in dB)",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Quantity::Output => {
                "SQNR, the signal-to-quantisation-noise ratio, compares the size of a signal with the size of the error that \
                 integers add to it. Every 10 dB more are a tenth of the error power: at 20 dB the error is a tenth of the signal, \
                 at 40 dB a hundredth. A column \"block\" is the error of the whole block."
            }
            Quantity::Clipped => {
                "An 8-bit scale covers a fixed range; values beyond it are set to its end, which is called clipping. The table \
                 shows how many values of each hundred that happens to."
            }
            Quantity::Input => {
                "What is lost when an activation becomes 8-bit codes, before it is multiplied with any weight."
            }
            Quantity::Weight => "What is lost when the weights of a site become 4- or 8-bit codes.",
        }
    }

    /// Of a site, for a modality; weights have none.
    fn of(self, site: &SiteReport, modality: &str) -> Option<f64> {
        let value = match self {
            Quantity::Output => site.output_sqnr_db.get(modality).copied(),
            Quantity::Input => site.input_sqnr_db.get(modality).copied(),
            Quantity::Clipped => site.clipped.get(modality).copied(),
            Quantity::Weight => site.weight_sqnr_db,
        };
        value.filter(|value| value.is_finite())
    }

    fn modalities(self, site: &SiteReport) -> Vec<&'static str> {
        let all = if self == Quantity::Weight { &[""][..] } else { &Modality::ALL.map(|m| m.name)[..] };
        all.iter().copied().filter(|modality| self.of(site, modality).is_some()).collect()
    }

    /// More is better.
    fn goodness(self, value: f64) -> f64 {
        if self == Quantity::Clipped { -value.max(MIN_CLIPPED).log10() } else { value }
    }

    fn text(self, value: f64) -> String {
        match self {
            Quantity::Clipped if value == 0.0 => "0".to_owned(),
            Quantity::Clipped if value < MIN_CLIPPED => "<10⁻⁴".to_owned(),
            Quantity::Clipped => number(100.0 * value),
            _ => fixed(value, 1),
        }
    }
}

/// Every map that a bundle has the numbers for.
pub(super) fn heat_maps(bundle: &BundleRecord) -> Vec<HeatMap> {
    Quantity::ALL.into_iter().filter_map(|quantity| heat_map(bundle, quantity)).collect()
}

fn heat_map(bundle: &BundleRecord, quantity: Quantity) -> Option<HeatMap> {
    let towers = [Tower::Vision, Tower::Audio, Tower::Language];
    let mut plain: Vec<PlainTable> =
        towers.into_iter().filter_map(|tower| tower_table(bundle, tower, quantity)).collect();
    plain.extend(other_table(bundle, quantity));
    if plain.is_empty() {
        return None;
    }
    let values = |of: &dyn Fn(&PlainCell) -> bool| -> Vec<f64> {
        let cells = plain.iter().flat_map(|t| &t.rows).flat_map(|(_, cells)| cells.iter().flatten());
        cells.filter(|cell| of(cell)).map(|cell| cell.value).collect()
    };
    let of_sites = values(&|cell| cell.of == Of::Site);
    // Errors of blocks are much smaller than those in them, so they would stretch the scale.
    let coloured = if of_sites.is_empty() { Of::Block } else { Of::Site };
    let mut all = values(&|cell| cell.of == coloured);
    all.sort_by(|a, b| quantity.goodness(*a).total_cmp(&quantity.goodness(*b)));
    let (worst, best) = (*all.first()?, *all.last()?);
    if quantity == Quantity::Clipped && all.iter().all(|share| *share == 0.0) {
        let legend = [worst, worst, best].map(|value| quantity.text(value));
        let ends = [worst, best].map(|value| quantity.text(value));
        return Some(HeatMap { title: NOTHING_CLIPPED[0], help: NOTHING_CLIPPED[1], tables: Vec::new(), ends, legend });
    }
    let (low, mut high) = (quantity.goodness(worst), quantity.goodness(best));
    if quantity != Quantity::Clipped {
        high = high.max(low + MIN_RANGE_DB);
    }
    let step = |value: f64| match high - low {
        range if range > 0.0 => {
            (((quantity.goodness(value) - low) / range) * STEPS as f64).clamp(0.0, (STEPS - 1) as f64) as usize
        }
        _ => STEPS - 1,
    };
    // Of equals either all are marked or none.
    let apart = |count: &usize| quantity.goodness(all[*count]) > quantity.goodness(all[*count - 1]);
    let marked = (1..=WORST).rev().filter(|_| all.len() > 2 * WORST).find(apart);
    let is_worst =
        |value: f64| marked.is_some_and(|count| quantity.goodness(value) <= quantity.goodness(all[count - 1]));
    let cell = |PlainCell { value, of }: PlainCell| HeatCell {
        text: quantity.text(value),
        step: (of == coloured).then(|| step(value)),
        worst: of == coloured && is_worst(value),
    };
    let tables = plain.into_iter().map(|table| HeatTable {
        name: table.name,
        groups: table.groups,
        columns: table.columns,
        rows: table
            .rows
            .into_iter()
            .map(|(name, cells)| HeatRow { name, cells: cells.into_iter().map(|value| value.map(cell)).collect() })
            .collect(),
    });
    let median = all[all.len() / 2];
    let legend = [worst, median, best].map(|value| quantity.text(value));
    let best_colour = if high > quantity.goodness(best) { high } else { best };
    Some(HeatMap {
        title: quantity.title(coloured),
        help: quantity.help(),
        tables: tables.collect(),
        ends: [worst, best_colour].map(|value| quantity.text(value)),
        legend,
    })
}

struct PlainTable {
    name: String,
    groups: Vec<(String, usize)>,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Option<PlainCell>>)>,
}

#[derive(Clone, Copy, Debug)]
struct PlainCell {
    value: f64,
    of: Of,
}

/// What a number is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Site,
    Block,
}

fn site_cell(quantity: Quantity, site: &SiteReport, modality: &str) -> Option<PlainCell> {
    quantity.of(site, modality).map(|value| PlainCell { value, of: Of::Site })
}

fn tower_table(bundle: &BundleRecord, tower: Tower, quantity: Quantity) -> Option<PlainTable> {
    let mut groups = Vec::new();
    let mut columns_of = Vec::new();
    let in_tower: Vec<_> = columns(bundle).into_iter().filter(|column| column.tower == tower).collect();
    for column in &in_tower {
        let present = |m: &&str| column.sites.iter().any(|(_, site)| quantity.of(site, m).is_some());
        let modalities: Vec<&str> = if quantity == Quantity::Weight {
            [""].into_iter().filter(present).collect()
        } else {
            Modality::ALL.iter().map(|m| m.name).filter(present).collect()
        };
        if !modalities.is_empty() {
            groups.push((column.kind.to_string(), modalities.len()));
            columns_of.extend(modalities.into_iter().map(|modality| (column, modality)));
        }
    }
    let mut blocks: Vec<usize> = in_tower.iter().flat_map(|c| c.sites.iter().map(|(block, _)| *block)).collect();
    blocks.sort_unstable();
    blocks.dedup();
    let whole = |block: usize| {
        let name = format!("{tower}.{block}");
        let unit = bundle.provenance.units.iter().find(|unit| unit.unit == name)?;
        unit.output_sqnr_db.filter(|db| db.is_finite()).map(|value| PlainCell { value, of: Of::Block })
    };
    let with_whole = quantity == Quantity::Output && blocks.iter().any(|block| whole(*block).is_some());
    if with_whole {
        groups.push(("block".to_owned(), 1));
    }
    let rows = blocks.iter().map(|block| {
        let of_column = |(column, modality): &(&Column<'_>, &str)| {
            let (_, site) = column.sites.iter().find(|(b, _)| b == block)?;
            site_cell(quantity, site, modality)
        };
        let cells = columns_of.iter().map(of_column).chain(with_whole.then(|| whole(*block)));
        (block.to_string(), cells.collect())
    });
    let rows: Vec<(String, Vec<Option<PlainCell>>)> = rows.collect();
    let names =
        columns_of.iter().map(|(_, modality)| (*modality).to_owned()).chain(with_whole.then(|| "all".to_owned()));
    (!groups.is_empty()).then(|| PlainTable { name: format!("{tower} tower"), groups, columns: names.collect(), rows })
}

/// Sites in no block.
fn other_table(bundle: &BundleRecord, quantity: Quantity) -> Option<PlainTable> {
    let sites: Vec<_> = bundle.sites().into_iter().filter(|(id, _)| id.block_index().is_none()).collect();
    let all = sites.iter().flat_map(|(_, site)| quantity.modalities(site)).collect::<Vec<_>>();
    let modalities: Vec<&str> =
        [""].into_iter().chain(Modality::ALL.iter().map(|m| m.name)).filter(|m| all.contains(m)).collect();
    let rows = sites
        .iter()
        .map(|(id, site)| (id.to_string(), modalities.iter().map(|m| site_cell(quantity, site, m)).collect()));
    let rows: Vec<(String, Vec<Option<PlainCell>>)> = rows.collect();
    let rows: Vec<_> = rows.into_iter().filter(|(_, cells)| cells.iter().any(Option::is_some)).collect();
    let columns =
        modalities.iter().map(|m| if m.is_empty() { "weights".to_owned() } else { (*m).to_owned() }).collect();
    (!rows.is_empty()).then(|| PlainTable { name: "outside the blocks".to_owned(), groups: Vec::new(), columns, rows })
}
