//! `mquant eval`: a model judged by benchmark files as published, perhaps beside what it was made of.

mod blame;
mod open;
mod show;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use mquant::bundle::MANIFEST;
use mquant::disk::RealDisk;
use mquant::evaluate::{Evaluation, ResultFolder};

use crate::failure::{Doing, Done, Failure};
use crate::globals::Globals;
use crate::output::{Output, talk};
use crate::progress::Progress;
use crate::report_page;
use crate::session;
use crate::signals::{self, Hold};

/// Arguments of `mquant eval`.
#[derive(Args, Debug)]
#[command(after_help = "\
Files are read as they are published: VLMEvalKit's .tsv, and the Hub's .parquet (a file, or a folder
of shards). Known benchmarks are asked and judged as the kits do; other files need --metric.
With --baseline the same questions go to a second model, usually the float one: differences come
with paired 95 % intervals and McNemar's test, and reference answers are compared token by token.
With --output every answer is kept as it comes: the same command goes on where a killed one was.
Predictions are written there in the kits' own forms, with a report to look at.

Examples:
  mquant eval out --bench TextVQA_VAL.tsv OCRBench.tsv --baseline Qwen/Qwen2-VL-2B-Instruct --output result
  mquant eval MODEL --bench DocVQA/ --limit 200 --json
  mquant eval out --bench mine.tsv --metric anls --baseline MODEL --blame")]
pub(crate) struct EvalArgs {
    /// Folder or Hub id of the model to judge
    model: String,
    /// Benchmark files, or folders of parquet shards
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    bench: Vec<PathBuf>,
    /// The model to compare with
    #[arg(long, value_name = "MODEL")]
    baseline: Option<String>,
    /// Ask only the first N questions of each benchmark
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Questions computed together; answers do not depend on it
    #[arg(long, value_name = "N", default_value = "16")]
    batch: NonZeroUsize,
    /// Where answers, predictions and the report go
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// How files are judged that are no published benchmark
    #[arg(long, value_name = "NAME", value_parser = open::metrics())]
    metric: Option<String>,
    /// Most tokens of an answer [default: the benchmark's]
    #[arg(long, value_name = "N")]
    max_tokens: Option<NonZeroUsize>,
    /// Find which sites cost the accuracy, and what would mend it; takes the place of answering
    #[arg(long, requires = "baseline")]
    blame: bool,
    /// Reference answers that --blame judges by, spread over the benchmarks
    #[arg(long, value_name = "N", default_value = "32", requires = "blame")]
    blame_samples: NonZeroUsize,
}

pub(crate) fn run(args: &EvalArgs, globals: &Globals, output: &Output) -> Result<Done, Failure> {
    let papers = open::papers(args)?;
    let exams = open::exams(args, &papers);
    let opened = session::open(Some(&args.model), globals)?;
    let baseline = args.baseline.as_ref().map(|name| session::open(Some(name), globals)).transpose()?;
    if let Some(baseline) = baseline.as_ref().filter(|_| args.blame) {
        return blame::run(args, &exams, [&opened, baseline], globals, output);
    }
    let engine = session::engine(&opened.loaded, globals)?;
    let base_engine = baseline.as_ref().map(|baseline| session::engine(&baseline.loaded, globals)).transpose()?;
    let judged = open::judged(&opened, &engine)?;
    let base = baseline.as_ref().zip(base_engine.as_ref()).map(|(opened, engine)| open::judged(opened, engine));
    let base = base.transpose()?;
    let hold = Hold::new();
    let folder = args.output.as_ref().map(|path| {
        let settings = open::settings(&exams, [Some(&judged.record), base.as_ref().map(|base| &base.record)], globals)?;
        ResultFolder::open(&RealDisk::shared(), path, &settings).doing("begin")
    });
    let folder = folder.transpose()?;
    let evaluation = Evaluation {
        exams: &exams,
        model: judged,
        baseline: base,
        batch: args.batch.get(),
        settings: open::described(args, globals)?,
        folder: folder.as_ref(),
    };
    let questions: usize = exams.iter().map(|exam| exam.questions().len()).sum();
    let stages = if evaluation.baseline.is_some() { 3 } else { 1 };
    let progress = Progress::bar("answering", (stages * questions) as u64);
    let started = Instant::now();
    let record = evaluation.run(&mut |step| {
        progress.say(format!("{} {}", step.doing, step.benchmark));
        progress.set(step.done as u64);
        session::go_on()
    });
    drop(progress);
    let record = record.doing("answer the benchmarks")?;
    drop(hold);
    let Some(record) = record else {
        if args.output.is_some() {
            talk("what is done is kept: the same command goes on from here");
        }
        return Ok(signals::interrupted());
    };
    if let Some(folder) = &args.output {
        let bundle = opened.loaded.checkpoint.dir();
        let sources = [Some(folder.as_path()), Some(bundle).filter(|dir| dir.join(MANIFEST).is_file())];
        let written = report_page::write(sources.into_iter().flatten(), Some(folder))?;
        talk(&format!("report: {}", written.page.display()));
    }
    if output.is_json() {
        output.object("evaluation/1", &show::without_schema(&record))?;
    } else {
        show::print(&record, started.elapsed(), output)?;
    }
    Ok(signals::interrupted())
}
