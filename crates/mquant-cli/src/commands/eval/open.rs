//! What an evaluation begins with: benchmarks, how they are asked, and what decides the answers.

use std::path::Path;

use clap::builder::PossibleValuesParser;
use mquant::bundle::{FileHash, MANIFEST, Manifest};
use mquant::disk::RealDisk;
use mquant::evaluate::{Benchmark, Exam, Judged, Known, METRICS, ModelRecord, Settings, metric, recognise};
use mquant::run::Engine;

use super::EvalArgs;
use crate::failure::{CliError, Doing, Failure};
use crate::globals::Globals;
use crate::output::talk;
use crate::progress::Progress;
use crate::session::{self, Opened};

/// Bad rows told one by one.
const TOLD: usize = 5;

/// A benchmark and how it is asked.
pub(super) struct Paper {
    benchmark: Benchmark,
    known: Known,
}

/// Names of metrics, for `--help` and checks.
pub(super) fn metrics() -> PossibleValuesParser {
    PossibleValuesParser::new(METRICS.iter().map(|metric| metric.name()))
}

/// Reads the benchmarks, and finds out how they are asked.
pub(super) fn papers(args: &EvalArgs) -> Result<Vec<Paper>, Failure> {
    let doing = "read the benchmarks";
    let mut papers: Vec<Paper> = Vec::new();
    for path in &args.bench {
        let progress = Progress::share("reading", 100);
        progress.say(format!("reading {}", path.display()));
        let benchmark = Benchmark::open_watched(path, &mut |read, of| {
            progress.set(read * 100 / of.max(1));
            session::go_on()
        });
        drop(progress);
        let benchmark = benchmark.doing(doing)?;
        if let Some(other) = papers.iter().find(|paper| paper.benchmark.name() == benchmark.name()) {
            let found = format!("{} twice", other.benchmark.name());
            let expected = "benchmarks of different names".to_owned();
            return Err(CliError::Argument { argument: "--bench", found, expected }).doing(doing);
        }
        let mut known = known(args, path, benchmark.name())?;
        known.max_new_tokens = args.max_tokens.map_or(known.max_new_tokens, usize::from);
        for skipped in benchmark.skipped().iter().take(TOLD) {
            talk(&format!("note: left out {skipped}"));
        }
        if let more @ 1.. = benchmark.skipped().len().saturating_sub(TOLD) {
            talk(&format!("note: and {more} more rows of {}", benchmark.name()));
        }
        if let missing @ 1.. = benchmark.without_media() {
            talk(&format!("note: left out {missing} rows of {} that have neither picture nor sound", benchmark.name()));
        }
        papers.push(Paper { benchmark, known });
    }
    Ok(papers)
}

/// As published; else as declared.
fn known(args: &EvalArgs, path: &Path, name: &str) -> Result<Known, Failure> {
    if let Some(known) = recognise(name) {
        return Ok(*known);
    }
    match args.metric.as_deref().and_then(metric) {
        Some(metric) => Ok(Known::declared(metric)),
        None => {
            let found = "not given".to_owned();
            let expected = format!(
                "one of {}: {} is no published benchmark",
                METRICS.iter().map(|metric| metric.name()).collect::<Vec<_>>().join(", "),
                path.display()
            );
            Err(CliError::Argument { argument: "--metric", found, expected }).doing("read the benchmarks")
        }
    }
}

/// The exams that the papers are.
pub(super) fn exams<'a>(args: &EvalArgs, papers: &'a [Paper]) -> Vec<Exam<'a>> {
    let limit = args.limit.map(|limit| limit as usize);
    papers.iter().map(|Paper { benchmark, known }| Exam { benchmark, known, limit }).collect()
}

/// A model with what is said of it.
pub(super) fn judged<'a>(opened: &'a Opened, engine: &'a Engine) -> Result<Judged<'a>, Failure> {
    Ok(Judged { loaded: &opened.loaded, engine, record: record(opened)? })
}

/// What is said of a model.
pub(super) fn record(opened: &Opened) -> Result<ModelRecord, Failure> {
    let loaded = &opened.loaded;
    let manifest = Manifest::read(&*RealDisk::shared(), loaded.checkpoint.dir()).doing("read the bundle")?;
    let recipe = manifest.as_ref().and_then(|manifest| manifest.fingerprint.get("recipe"));
    let form = match (recipe, &loaded.quantization) {
        (Some(recipe), _) => recipe.split(' ').next().unwrap_or_default().to_owned(),
        (None, Some(_)) => "quantised".to_owned(),
        (None, None) => "float".to_owned(),
    };
    let folder = Path::new(&opened.name).file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(ModelRecord {
        name: folder.unwrap_or_else(|| opened.name.clone()),
        form,
        bytes: loaded.checkpoint.entries().iter().map(|tensor| tensor.bytes.as_ref().len() as u64).sum(),
        identity: match loaded.quantization {
            // A report finds the bundle by it.
            Some(_) => FileHash::of(&loaded.checkpoint.bytes(MANIFEST).unwrap_or_default()).sha256,
            None => loaded.checkpoint.fingerprint().iter().map(|byte| format!("{byte:02x}")).collect(),
        },
    })
}

/// What decides the answers.
pub(super) fn settings(
    exams: &[Exam<'_>],
    records: [Option<&ModelRecord>; 2],
    globals: &Globals,
) -> Result<Settings, Failure> {
    let mut settings = Settings::new();
    for (part, record) in ["model", "baseline"].into_iter().zip(records) {
        settings.extend(record.map(|record| (part.to_owned(), record.identity.clone())));
    }
    let bound = |bound: Option<u64>| bound.map_or_else(|| "as published".to_owned(), |bound| bound.to_string());
    let pixels = session::pixels(globals);
    let options = session::options(globals)?;
    settings.insert("pixels".to_owned(), format!("{}, {}", bound(pixels.min), bound(pixels.max)));
    settings.insert("context".to_owned(), bound(options.context.map(|tokens| tokens as u64)));
    settings.insert("level".to_owned(), options.cpu.level().to_string());
    for exam in exams {
        let Known { metric, prompt, max_new_tokens, .. } = exam.known;
        let asked = format!("{} {} {prompt:?} {max_new_tokens}", exam.identity(), metric.name());
        settings.insert(format!("benchmark {}", exam.benchmark.name()), asked);
    }
    Ok(settings)
}

/// How it is computed, for people.
pub(super) fn described(args: &EvalArgs, globals: &Globals) -> Result<Settings, Failure> {
    let options = session::options(globals)?;
    let mut described = Settings::from([
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("threads".to_owned(), session::threads(globals)?.count().to_string()),
        ("instructions".to_owned(), options.cpu.level().to_string()),
        ("batch".to_owned(), args.batch.to_string()),
    ]);
    described.extend(args.limit.map(|limit| ("limit".to_owned(), limit.to_string())));
    Ok(described)
}
