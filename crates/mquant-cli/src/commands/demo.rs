//! `mquant demo`: the bundled model answers the bundled benchmarks.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use mquant::evaluate::{AnswerOptions, Benchmark, Evaluation, evaluate};
use mquant::input::image;
use mquant::measure::peak_rss_bytes;
use serde::Serialize;

use crate::args::Globals;
use crate::exit::{CliError, Doing, Done, Failure};
use crate::output::{Output, printable};
use crate::progress::Progress;
use crate::signals::{self, Hold};
use crate::{demo_model, half_blocks, session};

/// Where the benchmarks are, in the demo model's folder.
const BENCH: &str = "bench";
/// What the folder of the model with outliers is called beside the demo model's.
const STRESS_SUFFIX: &str = "-stress";
/// Examples shown, of as many benchmarks.
const EXAMPLES: usize = 3;
/// Characters a picture is wide.
const PICTURE_COLUMNS: u32 = 56;

/// Arguments of `mquant demo`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mquant demo
  mquant demo --limit 20
  mquant demo --stress --json")]
pub(crate) struct DemoArgs {
    /// Answer only the first N samples of each benchmark
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Take the variant of the model that has the outliers of large models
    #[arg(long)]
    stress: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    threads: usize,
    load_s: f64,
    total_s: f64,
    peak_rss_bytes: Option<u64>,
    /// Mean of the benchmarks' scores, in percent.
    mean: f64,
    benchmarks: Vec<BenchmarkReport>,
}

#[derive(Debug, Serialize)]
struct BenchmarkReport {
    name: String,
    metric: &'static str,
    /// In percent.
    score: f64,
    samples: usize,
    prompt_tokens: usize,
    answer_tokens: usize,
    total_s: f64,
    tokens_per_s: f64,
    answers: Vec<AnswerReport>,
}

#[derive(Debug, Serialize)]
struct AnswerReport {
    index: String,
    question: String,
    expected: String,
    answer: String,
    score: f64,
}

pub(crate) fn run(args: &DemoArgs, globals: &Globals, output: &Output) -> Result<Done, Failure> {
    let folder = demo_model::folder()?;
    let benchmarks = read(&folder.join(BENCH))?;
    let model = if args.stress { stress_of(&folder) } else { folder };
    let opened = session::open(Some(&model.to_string_lossy()), globals)?;
    let engine = session::engine(&opened.loaded, globals)?;
    let limit = args.limit.map(|limit| limit as usize);
    let options = AnswerOptions { limit, ..AnswerOptions::default() };

    let hold = Hold::new();
    let started = Instant::now();
    let count = |b: &Benchmark| limit.unwrap_or(usize::MAX).min(b.samples.len()) as u64;
    let progress = Progress::bar("answering", benchmarks.iter().map(count).sum());
    let mut before = 0;
    let mut reports = Vec::new();
    for benchmark in &benchmarks {
        let mut watch = |answered: usize| {
            progress.set(before + answered as u64);
            if signals::interrupted() == Done::Complete { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let evaluation = evaluate(&opened.loaded, &engine, benchmark, &options, &mut watch);
        reports.push(BenchmarkReport::new(benchmark, evaluation.doing("answer the benchmarks")?));
        before += count(benchmark);
        if signals::interrupted() != Done::Complete {
            break;
        }
    }
    drop(progress);
    drop(hold);
    let report = Report {
        model: opened.name,
        threads: engine.threads(),
        load_s: opened.load_time.as_secs_f64(),
        total_s: started.elapsed().as_secs_f64(),
        peak_rss_bytes: peak_rss_bytes(),
        mean: reports.iter().map(|r| r.score).sum::<f64>() / reports.len().max(1) as f64,
        benchmarks: reports,
    };
    if output.is_json() {
        output.object("demo/1", &report)?;
    } else {
        print(&report, output)?;
        print_examples(&report, &benchmarks, &opened.loaded.image_limits, output)?;
    }
    Ok(signals::interrupted())
}

/// The benchmarks of a folder, by name.
fn read(folder: &Path) -> Result<Vec<Benchmark>, Failure> {
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
    paths.iter().map(|path| Benchmark::read(path).doing(doing)).collect()
}

/// `models/demo-stress` for `models/demo`.
fn stress_of(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(STRESS_SUFFIX);
    folder.with_file_name(name)
}

impl BenchmarkReport {
    fn new(benchmark: &Benchmark, evaluation: Evaluation) -> Self {
        let (score, tokens_per_s) = (evaluation.score(), evaluation.tokens_per_s());
        let answers = benchmark.samples.iter().zip(evaluation.answers).map(|(sample, answer)| AnswerReport {
            index: sample.index.clone(),
            question: sample.question.clone(),
            expected: sample.answer.clone(),
            answer: answer.text,
            score: answer.score,
        });
        let answers: Vec<AnswerReport> = answers.collect();
        Self {
            name: benchmark.name.clone(),
            metric: benchmark.metric.name(),
            score,
            samples: answers.len(),
            prompt_tokens: evaluation.prompt_tokens,
            answer_tokens: evaluation.answer_tokens,
            total_s: evaluation.duration.as_secs_f64(),
            tokens_per_s,
            answers,
        }
    }
}

fn print(report: &Report, output: &Output) -> Result<(), Failure> {
    let row = |name: &str, metric: &str, score: f64, samples: usize, rate: f64| {
        vec![name.to_owned(), metric.to_owned(), format!("{score:.1}"), samples.to_string(), format!("{rate:.0}")]
    };
    let mut rows: Vec<_> =
        report.benchmarks.iter().map(|b| row(&b.name, b.metric, b.score, b.samples, b.tokens_per_s)).collect();
    let samples: usize = report.benchmarks.iter().map(|b| b.samples).sum();
    let tokens: usize = report.benchmarks.iter().map(|b| b.answer_tokens).sum();
    rows.push(row("mean", "", report.mean, samples, tokens as f64 / report.total_s.max(1e-9)));
    output.table(&["benchmark", "metric", "score", "samples", "tokens/s"], rows)?;
    output.text(&format!("\n{samples} answers in {:.1} s on {} threads\n", report.total_s, report.threads))
}

/// The first sample of some benchmarks, with its picture where the terminal can show it.
fn print_examples(
    report: &Report,
    benchmarks: &[Benchmark],
    limits: &image::ImageLimits,
    output: &Output,
) -> Result<(), Failure> {
    let all: Vec<_> = benchmarks.iter().zip(&report.benchmarks).collect();
    let step = all.len().div_ceil(EXAMPLES).max(1);
    for (benchmark, answered) in all.into_iter().step_by(step) {
        let (Some(sample), Some(answer)) = (benchmark.samples.first(), answered.answers.first()) else { continue };
        let mut text = format!("\n{}\n", benchmark.name);
        if half_blocks::shown() {
            let picture = image::decode(&sample.image, limits).doing("show a picture")?;
            text += &half_blocks::art(&picture, PICTURE_COLUMNS);
        }
        let verdict = if answer.score == 1.0 { "right" } else { "wrong" };
        text += &format!("  question  {}\n", printable(&answer.question, true));
        text += &format!(
            "  answer    {} ({verdict}; expected {})\n",
            printable(&answer.answer, true),
            printable(&answer.expected, true)
        );
        output.text(&text)?;
    }
    Ok(())
}
