//! What `mquant quantize` prints at the end, and for `--plan`.

use std::collections::BTreeMap;
use std::path::Path;

use mquant::calibrate::samples::Gathered;
use mquant::pipeline::{Estimate, ShownRows, SiteReport, UnitReport};
use mquant::recipe::Recipe;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;

/// Sites with the largest errors that are listed.
const WORST: usize = 5;

/// What is printed at the end.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) output: String,
    pub(super) recipe: String,
    pub(super) seconds: f64,
    pub(super) estimated_seconds: f64,
    pub(super) peak_rss_bytes: Option<u64>,
    pub(super) estimated_bytes: u64,
    pub(super) bytes: u64,
    pub(super) samples: usize,
    pub(super) skipped: Vec<String>,
    pub(super) resumed: usize,
    pub(super) sites: Vec<(String, SiteReport)>,
    pub(super) units: Vec<UnitReport>,
}

#[derive(Debug, Serialize)]
struct StateReport {
    output: String,
    state: &'static str,
}

#[derive(Debug, Serialize)]
struct PlanReport<'a> {
    recipe: &'a str,
    samples: usize,
    patches: usize,
    tokens: usize,
    seconds: f64,
    memory_bytes: u64,
    disk_bytes: u64,
    bundle_bytes: u64,
    units: Vec<(String, f64, u64)>,
}

/// What a job would take.
pub(super) fn estimate(
    recipe: &Recipe,
    gathered: &Gathered,
    rows: ShownRows,
    estimate: &Estimate,
    output: &Output,
) -> Result<(), Failure> {
    if output.is_json() {
        let units = estimate.units.iter().map(|(unit, seconds, bytes)| (unit.to_string(), *seconds, *bytes)).collect();
        return output.object(
            "quantize_plan/1",
            &PlanReport {
                recipe: &recipe.name,
                samples: gathered.samples.len(),
                patches: rows.patches,
                tokens: rows.tokens,
                seconds: estimate.seconds,
                memory_bytes: estimate.memory_bytes,
                disk_bytes: estimate.disk_bytes,
                bundle_bytes: estimate.bundle_bytes,
                units,
            },
        );
    }
    let largest = estimate.units.iter().max_by_key(|(_, _, bytes)| *bytes);
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let rows = vec![
        row("recipe", recipe.name.clone()),
        row("samples", format!("{} ({} patches, {} tokens)", gathered.samples.len(), rows.patches, rows.tokens)),
        row("time", format!("about {}", time(estimate.seconds))),
        row(
            "memory",
            format!(
                "about {}{}",
                size(estimate.memory_bytes),
                largest.map_or_else(String::new, |(unit, _, _)| format!(", the most at {unit}"))
            ),
        ),
        row("bundle", format!("about {}", size(estimate.bundle_bytes))),
        row("disk", format!("about {} while it runs", size(estimate.disk_bytes))),
    ];
    output.table_left(&["plan", ""], rows)
}

/// Of a run that made no bundle, for programs: people were told already.
pub(super) fn state(folder: &Path, state: &'static str, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.object("quantize_state/1", &StateReport { output: folder.display().to_string(), state });
    }
    Ok(())
}

/// What came of it.
pub(super) fn report(report: &Report, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.object("quantize/1", report);
    }
    output.table(&["component", "bits", "input", "sites", "split", "weights dB", "output dB"], components(report))?;
    let noted: Vec<String> = report
        .sites
        .iter()
        .flat_map(|(site, report)| {
            report.notes.iter().chain(&report.hessian).map(move |note| format!("  {site}: {note}"))
        })
        .collect();
    let mut text = String::new();
    if !noted.is_empty() {
        text += &format!("\nworth knowing ({} sites):\n{}\n", noted.len(), noted[..noted.len().min(WORST)].join("\n"));
        if noted.len() > WORST {
            text += &format!("  and {} more in mquant.json\n", noted.len() - WORST);
        }
    }
    text += &format!(
        "\n{} ({}) from {} samples in {}, {} of memory at most\n",
        report.output,
        size(report.bytes),
        report.samples,
        time(report.seconds),
        report.peak_rss_bytes.map_or_else(|| "an unknown amount".to_owned(), size),
    );
    text += &format!("try it:  mquant run {} --image FILE --prompt TEXT\n", report.output);
    output.text(&text)
}

/// A row for each component of the model and kind of treatment.
fn components(report: &Report) -> Vec<Vec<String>> {
    #[derive(Default)]
    struct Sum {
        sites: usize,
        split: usize,
        weights: Option<f64>,
        output: Option<f64>,
    }
    let least = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let outputs: BTreeMap<&str, Option<f64>> =
        report.units.iter().map(|unit| (unit.unit.as_str(), unit.output_sqnr_db)).collect();
    let mut rows: BTreeMap<(String, u32, String), Sum> = BTreeMap::new();
    for (site, made) in &report.sites {
        let component = site.split('.').next().unwrap_or_default().to_owned();
        let unit = site.rsplit_once('.').map_or(site.as_str(), |(unit, _)| unit);
        let unit = if component == "vision" && unit == "vision" { site.as_str() } else { unit };
        let sum = rows.entry((component, made.weight_bits, made.input.clone())).or_default();
        sum.sites += 1;
        sum.split += made.side_columns.len();
        sum.weights = least(sum.weights, made.weight_sqnr_db);
        sum.output = least(sum.output, outputs.get(unit).copied().flatten());
    }
    let db = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.1}"));
    rows.into_iter()
        .map(|((component, bits, input), sum)| {
            vec![
                component,
                bits.to_string(),
                input,
                sum.sites.to_string(),
                sum.split.to_string(),
                db(sum.weights),
                db(sum.output),
            ]
        })
        .collect()
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        b if b >= 1e9 => format!("{:.2} GB", b / 1e9),
        b if b >= 1e6 => format!("{:.1} MB", b / 1e6),
        b => format!("{:.0} kB", b / 1e3),
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
