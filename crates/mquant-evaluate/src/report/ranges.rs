//! How large activations are, by modality, before and after the transforms (the MQuant paper's figure 1, of this model).

use serde::Serialize;

use super::BundleRecord;
use super::anatomy::{Column, Modality, Wish, columns, remarkable, stage_place, stage_words};
use super::box_plot::{self, Row};
use super::depth_plot::{self, Series, Stroke};
use super::numbers::{median, number, times};
use mquant_model::nn::SiteId;
use mquant_quantize::pipeline::{SiteReport, Spread, StageReport};

/// The modality that others are compared with.
const TEXT: &str = "text";

/// The section.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Ranges {
    /// What stands out.
    pub(super) sentences: Vec<String>,
    /// Names of modalities there are.
    pub(super) modalities: Vec<&'static str>,
    /// Whether there is a before and an after.
    pub(super) has_stages: bool,
    /// Whether the state as published is known, changed later or not.
    pub(super) is_known: bool,
    pub(super) plots: Vec<Plot>,
    pub(super) boxes: Vec<Plot>,
    pub(super) table: StageTable,
}

/// A drawing.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) svg: String,
}

/// A number for each stage.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct StageTable {
    pub(super) stages: Vec<String>,
    pub(super) rows: Vec<StageRow>,
}

/// A row of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StageRow {
    pub(super) site: String,
    pub(super) of: String,
    pub(super) cells: Vec<String>,
}

/// The section; None if the bundle tells of no activation.
pub(super) fn ranges(bundle: &BundleRecord) -> Option<Ranges> {
    let columns = columns(bundle);
    let plots: Vec<Plot> = columns.iter().filter_map(plot).collect();
    let sites = bundle.sites();
    if plots.is_empty() {
        return None;
    }
    let present = |m: &Modality| columns.iter().any(|column| column.modalities().contains(m));
    Some(Ranges {
        sentences: gaps(&sites),
        modalities: Modality::ALL.iter().filter(|m| present(m)).map(|m| m.name).collect(),
        has_stages: sites.iter().any(|(_, site)| site.stages.len() > 1),
        is_known: sites.iter().any(|(_, site)| !site.stages.is_empty()),
        plots,
        boxes: boxes(&sites),
        table: stage_table(&sites, |stage| {
            let of = stage.activation.iter();
            of.map(|(modality, spread)| (modality.clone(), number(f64::from(spread.max)))).collect()
        }),
    })
}

/// The largest magnitude before the first transform.
fn before(site: &SiteReport, modality: &str) -> Option<f64> {
    site.stages.first()?.activation.get(modality).map(|spread| f64::from(spread.max))
}

/// The largest magnitude that the scale has to cover.
fn after(site: &SiteReport, modality: &str) -> Option<f64> {
    let measured = site.absmax.get(modality).copied();
    measured.or_else(|| Some(site.stages.last()?.activation.get(modality)?.max)).map(f64::from)
}

fn plot(column: &Column<'_>) -> Option<Plot> {
    let mut series = Vec::new();
    for modality in column.modalities() {
        let points = |of: &dyn Fn(&SiteReport, &str) -> Option<f64>| -> Vec<(usize, f64)> {
            column.sites.iter().filter_map(|(block, site)| Some((*block, of(site, modality.name)?))).collect()
        };
        let has_stages = column.sites.iter().any(|(_, site)| site.stages.len() > 1);
        let lines = [(Stroke::Dashed, "before", points(&before)), (Stroke::Solid, "now", points(&after))];
        series.extend(lines.into_iter().filter(|(stroke, ..)| has_stages || *stroke == Stroke::Solid).map(
            |(stroke, when, points)| Series {
                name: format!("{}, {when}", modality.name),
                colour: modality.name,
                mark: modality.mark,
                stroke,
                points,
            },
        ));
    }
    let title = column.title();
    Some(Plot { svg: depth_plot::draw(&format!("Largest activation by block, {title}"), &series)?, title })
}

/// How far each other modality and text are apart.
fn gaps(sites: &[(SiteId, &SiteReport)]) -> Vec<String> {
    let others = Modality::ALL.into_iter().map(|modality| modality.name).filter(|name| *name != TEXT);
    others.flat_map(|other| gaps_of(sites, other)).collect()
}

fn gaps_of(sites: &[(SiteId, &SiteReport)], other: &str) -> Vec<String> {
    let gap = |of: &dyn Fn(&SiteReport, &str) -> Option<f64>| {
        let ratios = sites.iter().filter_map(|(id, site)| Some((id, of(site, other)? / of(site, TEXT)?)));
        let ratios: Vec<_> = ratios.filter(|(_, ratio)| ratio.is_finite() && *ratio > 0.0).collect();
        let widest = ratios.iter().max_by(|a, b| a.1.ln().abs().total_cmp(&b.1.ln().abs())).copied();
        Some((median(ratios.iter().map(|(_, ratio)| *ratio).collect())?, widest?))
    };
    let words = |when: &str, (middle, (id, widest)): (f64, (&SiteId, f64))| {
        format!(
            "{when}, the largest value of {other} is at most {} that of text at half of the sites that have both, and {} at {id}, where they are furthest apart.",
            times(middle),
            times(widest)
        )
    };
    let found = [("As published", gap(&before)), ("As it runs", gap(&after))];
    found.into_iter().filter_map(|(when, gap)| Some(words(when, gap?))).collect()
}

/// Sites worth a look: the widest gap between modalities, the largest single channels, before and after, the largest error.
fn boxes(sites: &[(SiteId, &SiteReport)]) -> Vec<Plot> {
    let with_stages: Vec<_> = sites.iter().copied().filter(|(_, site)| !site.stages.is_empty()).collect();
    let gap = |site: &SiteReport| {
        let text = before(site, TEXT)?;
        let others = Modality::ALL.into_iter().filter(|modality| modality.name != TEXT);
        let gaps = others.filter_map(|other| Some((before(site, other.name)? / text).ln().abs()));
        gaps.filter(|gap| gap.is_finite()).reduce(f64::max)
    };
    let outlier = |stage: Option<&StageReport>| {
        let of = stage?.activation.values().map(peak);
        of.filter(|peak| peak.is_finite()).reduce(f64::max)
    };
    let error = |site: &SiteReport| site.output_sqnr_db.values().copied().reduce(f64::min).map(|db| -db);
    let wishes: [Wish<'_>; 4] = [
        ("modalities furthest apart", &gap),
        ("largest channel of all, as published", &|site| outlier(site.stages.first())),
        ("largest channel of all, at the end", &|site| outlier(site.stages.last())),
        ("largest error", &error),
    ];
    let plot = |(title, site): (String, &SiteReport)| {
        let rows: Vec<Row<'_>> = site.stages.iter().flat_map(rows_of).collect();
        Some(Plot { svg: box_plot::draw(&title, &rows)?, title })
    };
    remarkable(&with_stages, &wishes).into_iter().filter_map(plot).collect()
}

fn rows_of(stage: &StageReport) -> Vec<Row<'_>> {
    let rows = Modality::ALL.into_iter().filter_map(|modality| {
        let spread = stage.activation.get(modality.name)?;
        Some(Row {
            label: format!("{}, {}", stage_words(&stage.stage), modality.name),
            colour: modality.name,
            mark: modality.mark,
            spread,
        })
    });
    rows.collect()
}

/// The largest channel over the median one.
pub(super) fn peak(spread: &Spread) -> f64 {
    f64::from(spread.max) / f64::from(spread.quantiles[2])
}

/// A table of every site that has stages; `numbers` gives its rows of a stage, by name.
pub(super) fn stage_table(
    sites: &[(SiteId, &SiteReport)],
    numbers: impl Fn(&StageReport) -> Vec<(String, String)>,
) -> StageTable {
    let mut table = StageTable::default();
    let mut keys: Vec<&str> = Vec::new();
    for stage in sites.iter().flat_map(|(_, site)| &site.stages) {
        if !keys.contains(&stage.stage.as_str()) {
            keys.push(&stage.stage);
        }
    }
    // Sites that lack a stage leave its cell empty.
    keys.sort_by_key(|key| stage_place(key));
    table.stages = keys.iter().map(|key| stage_words(key)).collect();
    for (id, site) in sites {
        let mut names: Vec<String> = Vec::new();
        let of_stages: Vec<_> = site.stages.iter().map(|stage| (stage.stage.as_str(), numbers(stage))).collect();
        for (name, _) in of_stages.iter().flat_map(|(_, rows)| rows) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        for name in names {
            let cell = |key: &&str| {
                let (_, rows) = of_stages.iter().find(|(stage, _)| stage == key)?;
                rows.iter().find(|(n, _)| *n == name).map(|(_, text)| text.clone())
            };
            let cells = keys.iter().map(|key| cell(key).unwrap_or_default()).collect();
            table.rows.push(StageRow { site: id.to_string(), of: name, cells });
        }
    }
    table
}
