//! How far single channels of the weights stand out, before and after rotation and column split (the MQuant paper's figure 5, of
//! this model).

use serde::Serialize;

use super::BundleRecord;
use super::anatomy::{Column, Wish, columns, remarkable, stage_words};
use super::box_plot::{self, Row};
use super::depth_plot::{self, Mark, Series, Stroke};
use super::numbers::{median, number, times};
use super::ranges::{Plot, StageTable, peak, stage_table};
use mquant_model::nn::SiteId;
use mquant_quantize::pipeline::{SiteReport, Spread, StageReport};

/// The section.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Outliers {
    pub(super) sentences: Vec<String>,
    /// Names of what is drawn: see [`MOMENTS`].
    pub(super) moments: Vec<&'static str>,
    pub(super) plots: Vec<Plot>,
    pub(super) boxes: Vec<Plot>,
    pub(super) table: StageTable,
}

/// A time at which weights are looked at.
type Moment = fn(&SiteReport) -> Option<&StageReport>;

/// As published, when all is rotated, and when columns are split off.
const MOMENTS: [(&str, &str, Mark, Stroke, Moment); 3] = [
    ("as published", "soft", Mark::Circle, Stroke::Dashed, |site| site.stages.first()),
    ("rotated", "rotated", Mark::Square, Stroke::Solid, rotated),
    ("columns split", "split", Mark::Triangle, Stroke::Solid, split),
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
    let seen = |moment: Moment| sites.iter().any(|(_, site)| moment(site).is_some());
    let moments = MOMENTS.into_iter().filter(|(.., moment)| seen(*moment)).map(|(name, ..)| name).collect();
    Some(Outliers { sentences: sentences(&sites), moments, plots, boxes: boxes(&sites), table })
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
    let half =
        |moment: Moment| median(sites.iter().filter_map(|(_, site)| Some(peak(&moment(site)?.weight))).collect());
    let mut sentences = Vec::new();
    let before = half(|site| site.stages.first()).map(times);
    let is_changed = sites.iter().any(|(_, site)| site.stages.len() > 1);
    let after = half(|site| site.stages.last()).filter(|_| is_changed).map(times);
    let at_most = "At half of the sites the largest channel is at most";
    match (before, after) {
        (Some(before), Some(after)) => sentences
            .push(format!("{at_most} {before} the median one as published, and at most {after} as it is quantised.")),
        (Some(before), None) => sentences.push(format!("{at_most} {before} the median one.")),
        (None, _) => {}
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

/// The colour and the mark of a stage: those of the moment it belongs to.
fn colour(stage: &str) -> (&'static str, Mark) {
    let [(_, published, circle, ..), (_, rotated, square, ..), (_, split, triangle, ..)] = MOMENTS;
    match stage {
        "split_columns" => (split, triangle),
        stage if stage.starts_with("rotate_") => (rotated, square),
        _ => (published, circle),
    }
}

/// The sites with the largest outliers as published, and those that rotation left the largest.
fn boxes(sites: &[(SiteId, &SiteReport)]) -> Vec<Plot> {
    let wishes: [Wish<'_>; 3] = [
        ("largest as published", &|site| Some(peak(&site.stages.first()?.weight))),
        ("largest when rotated", &|site| Some(peak(&rotated(site)?.weight))),
        ("largest at the end", &|site| Some(peak(&site.stages.last()?.weight))),
    ];
    let plot = |(title, site): (String, &SiteReport)| {
        let rows = site.stages.iter().map(|StageReport { stage, weight, .. }| {
            let (colour, mark) = colour(stage);
            Row { label: stage_words(stage), colour, mark, spread: weight }
        });
        let rows: Vec<Row<'_>> = rows.collect();
        Some(Plot { svg: box_plot::draw(&title, &rows)?, title })
    };
    remarkable(sites, &wishes).into_iter().filter_map(plot).collect()
}
