//! `mquant demo`: the bundled model, in float and quantised by several recipes, answers the bundled benchmarks.

mod report;
mod show;
mod variant;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use mquant::evaluate::{AnswerOptions, Benchmark, evaluate};
use mquant::measure::peak_rss_bytes;
use mquant::recipe::Recipe;
use mquant::run::LoadedModel;

use crate::args::Globals;
use crate::exit::{CliError, Doing, Done, Failure};
use crate::output::Output;
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
  mquant demo --limit 20 --recipe mquant-w8a8 smoothquant-static
  mquant demo --float --json")]
pub(crate) struct DemoArgs {
    /// Answer only the first N samples of each benchmark
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
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
    let benchmarks = tsv_files(&folder.join(BENCH))?;
    let benchmarks = benchmarks.iter().map(|path| Benchmark::open(path).doing("read the benchmarks"));
    let benchmarks = benchmarks.collect::<Result<Vec<_>, _>>()?;
    let model = if args.stress { stress_of(&folder) } else { folder.clone() };
    let opened = session::open(Some(&model.to_string_lossy()), globals)?;
    let recipes = match args.float || opened.loaded.quantization.is_some() {
        true => Vec::new(),
        false => args.recipe.iter().map(|name| recipe(name, args.seed)).collect::<Result<Vec<_>, _>>()?,
    };
    let calibration = if recipes.is_empty() { Vec::new() } else { tsv_files(&folder.join(CALIBRATION))? };

    let limit = args.limit.map(|limit| limit as usize);
    let options = AnswerOptions { limit, ..AnswerOptions::default() };
    let hold = Hold::new();
    let started = Instant::now();
    let mut exam = Exam { benchmarks: &benchmarks, options, globals, progress: None, answered: 0 };
    exam.progress = Some(Progress::bar("answering", exam.samples() * (1 + recipes.len() as u64)));
    let mut variants = vec![exam.sit("float", &opened.loaded, None)?];
    for recipe in &recipes {
        if signals::interrupted() != Done::Complete {
            break;
        }
        let quantized = variant::quantize(&opened.loaded, recipe, &calibration, globals)?;
        let Some(quantized) = quantized else { break };
        variants.push(exam.sit(&recipe.name, &quantized.loaded, Some(quantized.seconds))?);
    }
    drop(exam);
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
        show::examples(&report, &benchmarks, &opened.loaded.image_limits, output)?;
    }
    Ok(signals::interrupted())
}

/// The benchmarks, for one model after the other.
struct Exam<'a> {
    benchmarks: &'a [Benchmark],
    options: AnswerOptions,
    globals: &'a Globals,
    progress: Option<Progress>,
    /// By the models before.
    answered: u64,
}

impl Exam<'_> {
    /// Samples that one model answers.
    fn samples(&self) -> u64 {
        let limit = self.options.limit.unwrap_or(usize::MAX);
        self.benchmarks.iter().map(|b| limit.min(b.questions().len()) as u64).sum()
    }

    /// A model's answers to all benchmarks.
    fn sit(&mut self, name: &str, loaded: &LoadedModel, quantize_s: Option<f64>) -> Result<VariantReport, Failure> {
        let engine = session::engine(loaded, self.globals)?;
        let started = Instant::now();
        let mut reports = Vec::new();
        let mut before = 0;
        for benchmark in self.benchmarks {
            let mut watch = |answered: usize| {
                if let Some(progress) = &self.progress {
                    progress.set(self.answered + before + answered as u64);
                }
                session::go_on()
            };
            let evaluation = evaluate(loaded, &engine, benchmark, &self.options, &mut watch);
            let evaluation = evaluation.doing(format!("answer the benchmarks ({name})"))?;
            before += evaluation.answers.len() as u64;
            reports.push(BenchmarkReport::new(benchmark, self.options.metric.name(), evaluation));
            if signals::interrupted() != Done::Complete {
                break;
            }
        }
        self.answered += before;
        Ok(VariantReport::new(name, loaded, quantize_s, started.elapsed().as_secs_f64(), reports))
    }
}

fn recipe(name: &str, seed: Option<u64>) -> Result<Recipe, Failure> {
    let mut recipe = crate::recipe_arg::read(name)?;
    recipe.seed = seed.unwrap_or(recipe.seed);
    Ok(recipe)
}

/// The benchmark files of a folder, by name.
fn tsv_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |source| CliError::Read { file: folder.display().to_string(), source };
    let doing = "read the benchmarks";
    let entries = std::fs::read_dir(folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    let mut paths: Vec<PathBuf> = entries.map_err(unreadable).doing(doing)?.iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "tsv"));
    paths.sort();
    if paths.is_empty() {
        let none = io::Error::new(io::ErrorKind::NotFound, "it holds no .tsv file");
        return Err(unreadable(none)).doing(doing);
    }
    Ok(paths)
}

/// `models/demo-stress` for `models/demo`.
fn stress_of(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(STRESS_SUFFIX);
    folder.with_file_name(name)
}
