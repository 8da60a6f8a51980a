//! `mquant demo`: the bundled model, in float and quantised by several recipes, answers the bundled benchmarks.

mod report;
mod show;
mod variant;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use mquant::evaluate::{Answerer, Benchmark, Exam, Known, metric, recognise};
use mquant::measure::peak_rss_bytes;
use mquant::recipe::Recipe;
use mquant::run::LoadedModel;

use crate::failure::{CliError, Doing, Done, Failure};
use crate::globals::Globals;
use crate::output::{Output, talk};
use crate::progress::Progress;
use crate::signals::{self, Hold};
use crate::{demo_model, session};

use report::{BenchmarkReport, Report, VariantReport};

/// Where the benchmarks are, in the demo model's folder.
const BENCH: &str = "bench";
/// Where its calibration samples are.
const CALIBRATION: &str = "calibration";
/// What the folder of the model with outliers is called beside the demo model's.
const STRESS_SUFFIX: &str = "-stress";
/// Most tokens of an answer to a benchmark of the user's own.
const MAX_TOKENS: usize = 24;
/// Questions computed together.
const BATCH: usize = 32;
/// The recipes compared: what static scales cost, what rotation gives back, the per-token reference, and MQuant.
const RECIPES: [&str; 4] = ["rtn-static", "quarot-static", "w4a8-dynamic", "mquant-w4a8"];

/// Arguments of `mquant demo`.
#[derive(Args, Debug)]
#[command(after_help = "\
The float model is quantised by each recipe into a temporary folder, calibrated on samples that are
in no benchmark, and every answer is computed on integers.

Examples:
  mquant demo
  mquant demo --stress
  mquant demo --omni
  mquant demo --limit 20 --recipe mquant-w8a8 smoothquant-static
  mquant demo --float --json")]
pub(crate) struct DemoArgs {
    /// Answer only the first N samples of each benchmark
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Take the model that also hears, and three benchmarks with sounds beside the six with pictures
    #[arg(long)]
    omni: bool,
    /// Take the variant of the model that has the outliers of large models
    #[arg(long)]
    stress: bool,
    /// Answer with the float model alone
    #[arg(long, conflicts_with_all = ["recipe", "seed"])]
    float: bool,
    /// Recipes to compare with the float model: names or TOML files
    #[arg(long, value_name = "NAME|FILE", num_args = 1.., default_values_t = RECIPES.map(str::to_owned))]
    recipe: Vec<String>,
    /// Seed of the recipes' random choices [default: theirs]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

pub(crate) fn run(args: &DemoArgs, globals: &Globals, output: &Output) -> Result<Done, Failure> {
    let folder = demo_model::folder()?;
    let omni = args.omni.then(|| demo_model::omni_folder(&folder)).transpose()?;
    let folders: Vec<&Path> = omni.iter().chain([&folder]).map(PathBuf::as_path).collect();
    let files = tsv_files(&folders, BENCH)?;
    let benchmarks = files.iter().map(|path| Benchmark::open(path).doing("read the benchmarks"));
    let benchmarks = benchmarks.collect::<Result<Vec<_>, _>>()?;
    for skipped in benchmarks.iter().flat_map(Benchmark::skipped) {
        talk(&format!("note: left out {skipped}"));
    }
    let known: Vec<Known> = benchmarks.iter().map(known).collect();
    let limit = args.limit.map(|limit| limit as usize);
    let exams = benchmarks.iter().zip(&known).map(|(benchmark, known)| Exam { benchmark, known, limit });
    let exams: Vec<Exam<'_>> = exams.collect();
    let plain = omni.as_ref().unwrap_or(&folder);
    let model = if args.stress { demo_model::with_suffix(plain, STRESS_SUFFIX) } else { plain.clone() };
    let opened = session::open(Some(&model.to_string_lossy()), globals)?;
    let recipes = match args.float || opened.loaded.quantization.is_some() {
        true => Vec::new(),
        false => args.recipe.iter().map(|name| recipe(name, args.seed)).collect::<Result<Vec<_>, _>>()?,
    };
    let calibration = if recipes.is_empty() { Vec::new() } else { tsv_files(&folders, CALIBRATION)? };

    let hold = Hold::new();
    let started = Instant::now();
    let samples: usize = exams.iter().map(|exam| exam.questions().len()).sum();
    let progress = Progress::bar("answering", (samples * (1 + recipes.len())) as u64);
    let mut sitting = Sitting { exams: &exams, globals, progress, answered: 0 };
    let mut variants = vec![sitting.sit("float", &opened.loaded, None)?];
    for recipe in &recipes {
        if signals::interrupted() != Done::Complete {
            break;
        }
        let quantized = variant::quantize(&opened.loaded, recipe, &calibration, globals)?;
        let Some(quantized) = quantized else { break };
        variants.push(sitting.sit(&recipe.name, &quantized.loaded, Some(quantized.seconds))?);
    }
    drop(sitting);
    drop(hold);
    let report = Report {
        model: opened.name,
        threads: session::threads(globals)?.count(),
        load_s: opened.load_time.as_secs_f64(),
        total_s: started.elapsed().as_secs_f64(),
        peak_rss_bytes: peak_rss_bytes(),
        variants,
    };
    if output.is_json() {
        output.object("demo/2", &report)?;
    } else {
        show::table(&report, output)?;
        show::examples(&report, &benchmarks, &opened.loaded, output)?;
    }
    Ok(signals::interrupted())
}

/// How a benchmark of the demo is asked; one of the user's own is judged word for word.
fn known(benchmark: &Benchmark) -> Known {
    let exact =
        || Known { max_new_tokens: MAX_TOKENS, ..Known::declared(metric("exact_match").expect("it is listed")) };
    recognise(benchmark.name()).copied().unwrap_or_else(exact)
}

/// The benchmarks, for one model after the other.
struct Sitting<'a> {
    exams: &'a [Exam<'a>],
    globals: &'a Globals,
    progress: Progress,
    answered: u64,
}

impl Sitting<'_> {
    /// A model's answers to all benchmarks.
    fn sit(&mut self, name: &str, loaded: &LoadedModel, quantize_s: Option<f64>) -> Result<VariantReport, Failure> {
        let engine = session::engine(loaded, self.globals)?;
        let started = Instant::now();
        let mut reports = Vec::new();
        for exam in self.exams {
            let who = Answerer { loaded, engine: &engine, max_tokens: exam.known.max_new_tokens, batch: BATCH };
            let begun = Instant::now();
            let lines = exam.answer(&who, Vec::new(), &mut |_| {
                self.answered += 1;
                self.progress.set(self.answered);
                Ok(session::go_on())
            });
            let lines = lines.doing(format!("answer the benchmarks ({name})"))?;
            reports.push(BenchmarkReport::new(exam, lines, begun.elapsed().as_secs_f64()));
            if signals::interrupted() != Done::Complete {
                break;
            }
        }
        Ok(VariantReport::new(name, loaded, quantize_s, started.elapsed().as_secs_f64(), reports))
    }
}

fn recipe(name: &str, seed: Option<u64>) -> Result<Recipe, Failure> {
    let mut recipe = crate::recipe_arg::read(name)?;
    recipe.seed = seed.unwrap_or(recipe.seed);
    Ok(recipe)
}

/// The benchmark files in a folder of each of these, all by name; of two of one name the first folder's.
fn tsv_files(folders: &[&Path], inside: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut paths: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for folder in folders {
        let folder = folder.join(inside);
        let unreadable = |source| CliError::Read { file: folder.display().to_string(), source };
        let doing = "read the benchmarks";
        let entries = std::fs::read_dir(&folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let found =
            entries.map_err(unreadable).doing(doing)?.into_iter().map(|entry| (entry.file_name(), entry.path()));
        let mut found: Vec<_> = found.collect();
        found.retain(|(_, path)| path.extension().is_some_and(|extension| extension == "tsv"));
        if found.is_empty() {
            let none = io::Error::new(io::ErrorKind::NotFound, "it holds no .tsv file");
            return Err(unreadable(none)).doing(doing);
        }
        for (name, path) in found {
            paths.entry(name).or_insert(path);
        }
    }
    Ok(paths.into_values().collect())
}
