//! What each step of MQuant is worth on the demo models, on integers: the table of the paper's section 4.3, with several seeds.
//!
//! Enters: the demo model's folder. Leaves: a table in Markdown and all scores as JSON. A seed sets the signs of the rotations
//! and which of the calibration samples are shown; no calibration picture is in a benchmark.

mod error;
mod exam;
mod rows;
mod table;

use std::path::{Path, PathBuf};

use mquant::calibrate::samples::{self, DataSource, Gathered, Request, Visual};
use mquant::evaluate::Benchmark;
use mquant::run::{LoadOptions, LoadedModel};
use serde_json::{Value, json};

pub(crate) use error::AblationError;
use exam::{Exam, Scores};
use rows::Row;

/// The models, the same function without and with the outliers of large models.
const MODELS: [&str; 2] = ["demo", "demo-stress"];

/// What is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct AblationOptions {
    /// The folder that holds both models.
    pub(crate) models: PathBuf,
    /// One run of every row for each.
    pub(crate) seeds: Vec<u64>,
    /// Samples of each benchmark; None takes all.
    pub(crate) limit: Option<usize>,
    /// Samples shown.
    pub(crate) samples: usize,
    /// Only rows whose name contains this.
    pub(crate) only: Option<String>,
}

/// A row's scores on a model, one for each seed.
#[derive(Debug)]
pub(crate) struct Measured {
    model: &'static str,
    row: String,
    seeds: Vec<Scores>,
}

/// Measures all rows; `tell` is told of each run.
pub(crate) fn measure(options: &AblationOptions, tell: &mut dyn FnMut(&str)) -> Result<Vec<Measured>, AblationError> {
    let files = tsv_files(&options.models.join("demo/bench"))?;
    let benchmarks = files.iter().map(|path| Benchmark::open(path)).collect::<Result<Vec<_>, _>>()?;
    let calibration = tsv_files(&options.models.join("demo/calibration"))?;
    let rows: Vec<Row> = rows::all().map_err(AblationError::from)?;
    let wanted = |row: &&Row| options.only.as_ref().is_none_or(|only| row.name.contains(only));
    let mut measured = Vec::new();
    for model in MODELS {
        let folder = options.models.join(model);
        let float = LoadedModel::open(&folder.to_string_lossy(), &LoadOptions::in_process())?;
        let exam = Exam { benchmarks: &benchmarks, limit: options.limit };
        let scores = exam.sit(&float)?;
        tell(&format!("{model} float: {:.2}", scores.mean()));
        measured.push(Measured { model, row: "float".to_owned(), seeds: vec![scores] });
        for row in rows.iter().filter(wanted) {
            let mut seeds = Vec::new();
            for seed in &options.seeds {
                let scores = run(&float, row, &calibration, &exam, *seed, options.samples)?;
                tell(&format!("{model} {} seed {seed}: {:.2}", row.name, scores.mean()));
                seeds.push(scores);
            }
            measured.push(Measured { model, row: row.name.clone(), seeds });
        }
    }
    Ok(measured)
}

/// One row with one seed: every benchmark is answered by a model calibrated on what the row says.
fn run(
    float: &LoadedModel,
    row: &Row,
    calibration: &[PathBuf],
    exam: &Exam<'_>,
    seed: u64,
    count: usize,
) -> Result<Scores, AblationError> {
    let mut recipe = row.recipe.clone();
    recipe.seed = seed;
    if !row.other_benchmarks {
        let shown = show(calibration, count, seed)?;
        return exam::quantized(float, &recipe, &shown, |loaded| exam.sit(loaded));
    }
    // Each half of the benchmarks by a model that has seen the other half only.
    let half = calibration.len() / 2;
    let mut scores = Scores::default();
    for (shown, asked) in [(&calibration[..half], half..calibration.len()), (&calibration[half..], 0..half)] {
        let shown = show(shown, count, seed)?;
        let part = Exam { benchmarks: &exam.benchmarks[asked], limit: exam.limit };
        scores.extend(exam::quantized(float, &recipe, &shown, |loaded| part.sit(loaded))?);
    }
    Ok(scores)
}

/// `count` samples of all there are, which ones the seed says.
fn show(files: &[PathBuf], count: usize, seed: u64) -> Result<Gathered, AblationError> {
    let sources = files.iter().map(|path| DataSource::at(path, None)).collect::<Result<Vec<_>, _>>()?;
    let mut gathered = samples::gather(&Request { sources, count: usize::MAX, visual: Visual::Needed })?;
    let all = gathered.samples.len();
    gathered.samples.rotate_left((seed as usize * 61) % all.max(1));
    gathered.samples.truncate(count);
    gathered.hash = format!("{} from {seed}", gathered.hash);
    Ok(gathered)
}

fn tsv_files(folder: &Path) -> Result<Vec<PathBuf>, AblationError> {
    let unreadable = |source| AblationError::Read { folder: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "tsv") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The tables for people.
pub(crate) fn markdown(measured: &[Measured]) -> String {
    table::markdown(measured)
}

/// All scores.
pub(crate) fn json(measured: &[Measured], options: &AblationOptions) -> Value {
    let rows: Vec<Value> = measured
        .iter()
        .map(|m| json!({"model": m.model, "row": m.row, "seeds": m.seeds.iter().map(Scores::json).collect::<Vec<_>>()}))
        .collect();
    json!({"seeds": options.seeds, "limit": options.limit, "samples": options.samples, "rows": rows})
}
