//! How far single channels of the weights stand out, before and after rotation and column split (the MQuant paper's figure 5, of
//! this model).

use serde::Serialize;

use super::BundleRecord;
use super::anatomy::{Column, columns, stage_words};
use super::box_plot::{self, Row};
use super::depth_plot::{self, Mark, Series, Stroke};
use super::numbers::{median, number, times};
use super::ranges::{Plot, StageTable, peak, stage_table};
use crate::nn::SiteId;
use crate::pipeline::{SiteReport, Spread, StageReport};

/// Sites that are drawn stage by stage.
const DRAWN: usize = 3;

/// The section.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Outliers {
    pub(super) sentences: Vec<String>,
    pub(super) plots: Vec<Plot>,
    pub(super) boxes: Vec<Plot>,
    pub(super) table: StageTable,
}

/// A time at which weights are looked at.
type Moment = fn(&SiteReport) -> Option<&StageReport>;

/// As published, when all is rotated, and when columns are split off.
const MOMENTS: [(&str, &str, Mark, Stroke, Moment); 3] = [
    ("as published", "soft", Mark::Circle, Stroke::Dashed, |site| site.stages.first()),
    ("rotated", "vision", Mark::Square, Stroke::Solid, rotated),
    ("columns split", "text", Mark::Triangle, Stroke::Solid, split),
];

fn rotated(site: &SiteReport) -> Option<&StageReport> {
    site.stages.iter().rev().find(|stage| stage.stage.starts_with("rotate_"))
}

fn split(site: &SiteReport) -> Option<&StageReport> {
    site.stages.iter().find(|stage| stage.stage == "split_columns")
}

/// The section; None if the bundle tells of no stage.
pub(super) fn outliers(bundle: &BundleRecord) -> Option<Outliers> {
    let sites = bundle.sites();
    let plots: Vec<Plot> = columns(bundle).iter().filter_map(plot).collect();
    if plots.is_empty() {
        return None;
    }
    let table = stage_table(&sites, |stage| {
        let Spread { max, kurtosis, .. } = &stage.weight;
        let cell = format!("{} · {} · {}", number(f64::from(*max)), times(peak(&stage.weight)), number(*kurtosis));
        vec![("weights".to_owned(), cell)]
    });
    Some(Outliers { sentences: sentences(&sites), plots, boxes: boxes(&sites), table })
}

fn plot(column: &Column<'_>) -> Option<Plot> {
    let series = MOMENTS.into_iter().map(|(name, colour, mark, stroke, moment)| {
        let point = |(block, site): &(usize, &SiteReport)| Some((*block, peak(&moment(site)?.weight)));
        Series { name: name.to_owned(), colour, mark, stroke, points: column.sites.iter().filter_map(point).collect() }
    });
    let series: Vec<Series> = series.collect();
    let title = column.title();
    let svg = depth_plot::draw(&format!("Largest channel of the weights over the median one, {title}"), &series)?;
    Some(Plot { title, svg })
}

fn sentences(sites: &[(SiteId, &SiteReport)]) -> Vec<String> {
    let middle =
        |moment: Moment| median(sites.iter().filter_map(|(_, site)| Some(peak(&moment(site)?.weight))).collect());
    let mut sentences = Vec::new();
    if let (Some(before), Some(after)) = (middle(|site| site.stages.first()), middle(|site| site.stages.last())) {
        sentences.push(format!(
            "At the middle site the largest channel is {} the median one as published, and {} as it is quantised.",
            times(before),
            times(after)
        ));
    }
    let split: Vec<usize> = sites.iter().map(|(_, site)| site.side_columns.len()).filter(|n| *n > 0).collect();
    if !split.is_empty() {
        let columns: usize = split.iter().sum();
        let are = if columns == 1 { "channel is" } else { "channels are" };
        let at = if split.len() == 1 { "site" } else { "sites" };
        sentences.push(format!("{columns} {are} computed beside the main product, at {} {at}.", split.len()));
    }
    sentences
}

/// The sites with the largest outliers as published, and those that rotation left the largest.
fn boxes(sites: &[(SiteId, &SiteReport)]) -> Vec<Plot> {
    let mut chosen: Vec<(SiteId, Plot)> = Vec::new();
    let wishes: [(&str, Moment); DRAWN] = [
        ("largest as published", |site| site.stages.first()),
        ("largest when rotated", rotated),
        ("largest at the end", |site| site.stages.last()),
    ];
    for (why, moment) in wishes {
        let all = sites.iter().filter_map(|(id, site)| Some((*id, *site, peak(&moment(site)?.weight))));
        let all = all.filter(|(id, _, peak)| peak.is_finite() && chosen.iter().all(|(other, _)| other != id));
        let Some((id, site, _)) = all.max_by(|a, b| a.2.total_cmp(&b.2)) else { continue };
        let rows = site.stages.iter().map(|StageReport { stage, weight, .. }| Row {
            label: stage_words(stage),
            colour: "text",
            mark: Mark::Circle,
            spread: weight,
        });
        let rows: Vec<Row<'_>> = rows.collect();
        let title = format!("{id}: {why}");
        chosen.extend(box_plot::draw(&title, &rows).map(|svg| (id, Plot { title, svg })));
    }
    chosen.into_iter().map(|(_, plot)| plot).collect()
}
