//! `mquant quantize`: from a published model to a bundle.

mod auto;
mod show;
mod watch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use mquant::bundle::{FileHash, Quantization};
use mquant::calibrate::samples::{self, DataSource, Gathered, Overlap, Request, Shared, Visual};
use mquant::checkpoint::Checkpoint;
use mquant::disk::RealDisk;
use mquant::input::vision_processor::PixelBounds;
use mquant::measure::peak_rss_bytes;
use mquant::models;
use mquant::nn::SiteId;
use mquant::pipeline::{self, Estimate, Outcome, PipelineError, QuantizeOptions};
use mquant::recipe::Recipe;
use mquant::run::{EngineOptions, LoadedModel};

use crate::failure::{CliError, Doing, Done, Failure};
use crate::globals::Globals;
use crate::output::{Output, talk};
use crate::signals::{self, Hold};
use crate::{report_page, session};

use show::Report;
use watch::Reporter;

/// Arguments of `mquant quantize`.
#[derive(Args, Debug)]
#[command(after_help = "\
The model is worked through block by block and may be larger than memory. What is done is kept in
OUTPUT.partial: after Ctrl-C, a crash or a full disk, the same command goes on where it was and
gives the same bytes. OUTPUT is there whole or not at all.

Calibration data: benchmark files (.tsv), conversations, one a line (.jsonl), or folders of
pictures. Show the model what it will meet, but no sample of the benchmarks it will be judged by:
--benchmark names those, and tells.

Examples:
  mquant quantize Qwen/Qwen2-VL-2B-Instruct --recipe mquant-w4a8 --calibration photos/ --output out
  mquant quantize MODEL --recipe mine.toml --calibration a.tsv b.jsonl --samples 64 --output out
  mquant quantize MODEL --recipe mquant-w4a8 --calibration a.tsv --output out --plan
  mquant quantize MODEL --recipe mquant-w4a8 --calibration a.tsv --output out --auto --target-drop 0.5")]
pub(crate) struct QuantizeArgs {
    /// Folder or Hub id of a float model
    model: String,
    /// A recipe that `mquant recipes` lists, or a TOML file
    #[arg(long, value_name = "NAME|FILE")]
    recipe: String,
    /// What the model is shown: .tsv, .parquet, .jsonl, or folders of pictures
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    calibration: Vec<PathBuf>,
    /// The bundle to make
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Print what it would take, in time, memory and disk, and do nothing
    #[arg(long)]
    plan: bool,
    /// Samples to show [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    samples: Option<u32>,
    /// What pictures of a folder are asked [default: "Describe this image."]
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Seed of random choices [default: the recipe's]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Benchmark files the result will be judged by: samples that are in them are told
    #[arg(long, value_name = "FILE", num_args = 1..)]
    benchmark: Vec<PathBuf>,
    /// Refuse to begin if more memory is expected to be needed, such as 6G
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    memory_limit: Option<u64>,
    /// Calibrate a model that sees with text alone
    #[arg(long)]
    text_only_calibration: bool,
    /// Give the sites that cost most 8 bits: quantises twice
    #[arg(long)]
    auto: bool,
    /// With --auto: tokens of the samples' answers that may differ from the float model's, in percent
    #[arg(long, value_name = "PERCENT", requires = "auto", conflicts_with = "budget", value_parser = percent)]
    target_drop: Option<f64>,
    /// With --auto: bytes the bundle may grow by, such as 200M
    #[arg(long, value_name = "BYTES", requires = "auto", value_parser = bytes)]
    budget: Option<u64>,
    /// Begin even if memory or disk are expected not to suffice
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &QuantizeArgs, globals: &Globals, output: &Output) -> Result<Done, Failure> {
    let recipe = recipe(args)?;
    check_before_weights(args, &recipe)?;
    let gathered = gather(args, &recipe)?;
    tell_overlap(args, &gathered)?;
    let opened = session::open(Some(&args.model), globals)?;
    let loaded = &opened.loaded;
    let engine = session::options(globals)?;
    let threads = session::threads(globals)?;
    let hold = Hold::new();

    let plan = recipe.check(&pipeline::sites(&loaded.model)).doing("apply the recipe")?;
    let rows = pipeline::shown_rows(loaded, &gathered, &recipe);
    let estimate = pipeline::estimate(&loaded.model, &recipe, &plan, rows, threads.count());
    drop(threads);
    if args.plan {
        show::estimate(&recipe, &gathered, rows, &estimate, output)?;
        return Ok(Done::Complete);
    }
    check_resources(args, &estimate)?;
    let budget = args.auto.then(|| auto::budget(args.target_drop, args.budget)).transpose()?;

    let work = Work {
        args,
        loaded,
        recipe: &recipe,
        gathered: &gathered,
        output: &args.output,
        engine,
        pixels: session::pixels(globals),
        estimate: &estimate,
    };
    let extended = match budget {
        Some(_) if auto::is_complete(&work) => {
            drop(hold);
            auto::clear(&args.output);
            talk(&format!("{} is there already, made of this recipe with this budget", args.output.display()));
            show::state(&args.output, "complete before", output)?;
            return Ok(Done::Complete);
        }
        // What is there is refused by name before anything is computed.
        Some(budget) if !args.output.exists() => auto::extend(&work, budget, globals)?,
        _ => Some(recipe.clone()),
    };
    let made = match &extended {
        Some(recipe) => work.quantize(recipe, &args.output)?,
        None => Made { outcome: Outcome::Interrupted, seconds: 0.0 },
    };
    drop(hold);
    match made.outcome {
        Outcome::Complete(summary) => {
            if budget.is_some() {
                auto::clear(&args.output);
            }
            let report = Report {
                output: args.output.display().to_string(),
                recipe: extended.map_or_else(String::new, |recipe| recipe.name),
                seconds: made.seconds,
                estimated_seconds: estimate.seconds,
                peak_rss_bytes: peak_rss_bytes(),
                estimated_bytes: estimate.memory_bytes,
                bytes: summary.bytes,
                samples: gathered.samples.len() - summary.skipped.len(),
                skipped: summary.skipped.clone(),
                resumed: summary.resumed,
                sites: summary.sites.iter().map(|(site, report)| (site.to_string(), report.clone())).collect(),
                units: summary.units.clone(),
            };
            show::report(&report, output)?;
            tell_page(&args.output);
            Ok(Done::Complete)
        }
        Outcome::AlreadyComplete => {
            talk(&format!("{} is there already, made of the same model, recipe and samples", args.output.display()));
            show::state(&args.output, "complete before", output)?;
            tell_page(&args.output);
            Ok(Done::Complete)
        }
        Outcome::Interrupted => {
            talk("what is done is kept: the same command goes on from here");
            show::state(&args.output, "interrupted", output)?;
            Ok(signals::interrupted())
        }
    }
}

/// Shows the bundle on a page beside it. A bundle is whole without one.
fn tell_page(bundle: &Path) {
    match report_page::write([bundle], None) {
        Ok(written) => watch::page(&written.page),
        Err(failure) => talk(&format!("note: there is no report: {}", failure.told())),
    }
}

/// What bundles are made of.
struct Work<'a> {
    args: &'a QuantizeArgs,
    loaded: &'a LoadedModel,
    recipe: &'a Recipe,
    gathered: &'a Gathered,
    output: &'a Path,
    engine: EngineOptions,
    pixels: PixelBounds,
    estimate: &'a Estimate,
}

/// What came of a bundle.
struct Made {
    outcome: Outcome,
    seconds: f64,
}

impl Work<'_> {
    fn options<'o>(&'o self, recipe: &'o Recipe, output: &'o Path) -> QuantizeOptions<'o> {
        QuantizeOptions {
            recipe,
            samples: self.gathered,
            output,
            engine: self.engine,
            pixels: self.pixels,
            provenance: self.provenance(),
        }
    }

    /// What the command was given.
    fn provenance(&self) -> serde_json::Value {
        let QuantizeArgs { model, calibration, target_drop, budget, .. } = self.args;
        let mut given = serde_json::json!({"model": model, "calibration": calibration});
        if self.args.auto {
            // The recipe that is made of this one does not tell which it was.
            let recipe = FileHash::of(self.recipe.to_toml().as_bytes()).sha256;
            given["budget"] = serde_json::json!({"target_drop": target_drop, "bytes": budget, "recipe": recipe});
        }
        given
    }

    /// Makes a bundle, or goes on with it, and tells how far it is.
    fn quantize(&self, recipe: &Recipe, output: &Path) -> Result<Made, Failure> {
        let started = Instant::now();
        let mut reporter = Reporter::new(self.estimate);
        let options = self.options(recipe, output);
        let outcome = pipeline::quantize(self.loaded, &options, &RealDisk::shared(), &mut |event| {
            reporter.event(&event);
            session::go_on()
        });
        drop(reporter);
        let outcome = outcome.doing(format!("quantise {}", self.args.model))?;
        Ok(Made { outcome, seconds: started.elapsed().as_secs_f64() })
    }
}

fn recipe(args: &QuantizeArgs) -> Result<Recipe, Failure> {
    let mut recipe = crate::recipe_arg::read(&args.recipe)?;
    recipe.seed = args.seed.unwrap_or(recipe.seed);
    Ok(recipe)
}

/// Whatever can be told from configuration and names alone.
fn check_before_weights(args: &QuantizeArgs, recipe: &Recipe) -> Result<(), Failure> {
    let doing = "read the model";
    let checkpoint = Checkpoint::open(&args.model).doing(doing)?;
    let blueprint = models::blueprint(checkpoint.config()).doing(doing)?;
    if Quantization::read(checkpoint.config()).doing(doing)?.is_some() {
        let model = args.model.clone();
        return Err(PipelineError::QuantizedAlready { model }).doing(format!("quantise {}", args.model));
    }
    let mut seen = BTreeSet::new();
    let sites: Vec<SiteId> =
        blueprint.tensors().iter().filter_map(|spec| spec.site()).filter(|site| seen.insert(*site)).collect();
    recipe.check(&sites).doing("apply the recipe")?;
    Ok(())
}

fn gather(args: &QuantizeArgs, recipe: &Recipe) -> Result<Gathered, Failure> {
    let sources = args.calibration.iter().map(|path| DataSource::at(path, args.prompt.as_deref()));
    let sources = sources.collect::<Result<Vec<_>, _>>().doing("read the calibration data")?;
    let count = args.samples.map_or(recipe.calibration.samples, |samples| samples as usize);
    let visual = if args.text_only_calibration { Visual::TextOnly } else { Visual::Needed };
    let gathered = samples::gather(&Request { sources, count, visual }).doing("read the calibration data")?;
    for skipped in &gathered.skipped {
        talk(&format!("note: left out {skipped}"));
    }
    if gathered.samples.len() < count {
        talk(&format!("note: {} samples, {count} were asked for", gathered.samples.len()));
    }
    Ok(gathered)
}

fn tell_overlap(args: &QuantizeArgs, gathered: &Gathered) -> Result<(), Failure> {
    if args.benchmark.is_empty() {
        return Ok(());
    }
    let files: Vec<&Path> = args.benchmark.iter().map(PathBuf::as_path).collect();
    let found = samples::overlap(&gathered.samples, &files).doing("compare with the benchmarks")?;
    for Overlap { sample, benchmark, row, shared } in &found {
        let shared = match shared {
            Shared::Media => "its picture or sound",
            Shared::MediaAndQuestion => "its picture or sound and question",
        };
        let origin = &gathered.samples[*sample].origin;
        talk(&format!("warning: {origin} shares {shared} with {benchmark}, row {row}: scores there will flatter"));
    }
    if found.is_empty() {
        talk("no calibration sample is in the benchmarks");
    }
    Ok(())
}

fn check_resources(args: &QuantizeArgs, estimate: &Estimate) -> Result<(), Failure> {
    if args.force {
        return Ok(());
    }
    let doing = "begin";
    if let Some(limit) = args.memory_limit.filter(|limit| estimate.memory_bytes > *limit) {
        let (needed, limit) = (show::size(estimate.memory_bytes), show::size(limit));
        return Err(PipelineError::Memory { needed, limit }).doing(doing);
    }
    let beside = args.output.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(".".as_ref());
    let free = RealDisk::shared().free_bytes(beside);
    let free = free.map_err(|source| CliError::Read { file: beside.display().to_string(), source }).doing(doing)?;
    if free < estimate.disk_bytes {
        let (needed, free) = (show::size(estimate.disk_bytes), show::size(free));
        return Err(PipelineError::Disk { needed, free }).doing(doing);
    }
    Ok(())
}

/// `6G`, `500M` or a number of bytes.
fn bytes(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.trim_end_matches(['b', 'B', 'i']) {
        t if t.ends_with(['k', 'K']) => (&t[..t.len() - 1], 1 << 10),
        t if t.ends_with(['m', 'M']) => (&t[..t.len() - 1], 1 << 20),
        t if t.ends_with(['g', 'G']) => (&t[..t.len() - 1], 1 << 30),
        t => (t, 1),
    };
    let number: f64 = digits.parse().map_err(|_| "expected a size such as 6G, 500M or a number of bytes".to_owned())?;
    if number.is_finite() && number > 0.0 {
        Ok((number * f64::from(unit)) as u64)
    } else {
        Err("more than 0".to_owned())
    }
}

/// A share in percent.
fn percent(text: &str) -> Result<f64, String> {
    let share: Option<f64> = text.trim().trim_end_matches('%').trim().parse().ok();
    share.filter(|share| (0.0..=100.0).contains(share)).ok_or_else(|| "expected 0 to 100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        assert_eq!(bytes("6G"), Ok(6 << 30));
        assert_eq!(bytes("1.5GiB"), Ok(3 << 29));
        assert_eq!(bytes("500M"), Ok(500 << 20));
        assert_eq!(bytes("4096"), Ok(4096));
        for wrong in ["", "G", "-1G", "0", "much", "nan", "inf"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
