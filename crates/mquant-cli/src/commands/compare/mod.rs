//! `mquant compare`: two models answer side by side, up to where they part and beyond.

mod show;

use std::num::NonZeroUsize;

use clap::Args;
use mquant::evaluate::{Comparison, Side, compare};
use serde::Serialize;

use crate::failure::{CliError, Doing, Done, Failure};
use crate::globals::Globals;
use crate::media_args::MediaArgs;
use crate::output::Output;
use crate::progress::Progress;
use crate::session::{self, Opened};
use crate::signals;

/// Arguments of `mquant compare`.
#[derive(Args, Debug)]
#[command(after_help = "\
Both models answer greedily. Up to the first token that differs both have read the same, so there
their probabilities say how near the decision was.

Examples:
  mquant compare Qwen/Qwen2-VL-2B-Instruct out --image photo.jpg --prompt 'What is this?'
  mquant compare A B --audio speech.wav --prompt 'What is said?'
  mquant compare A B --prompt 'Name three colours.' --max-tokens 100 --json")]
pub(crate) struct CompareArgs {
    /// A model folder or Hub id, such as the float model
    first: String,
    /// Another, such as a bundle made of it
    second: String,
    #[command(flatten)]
    media: MediaArgs,
    /// The question
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value = "128")]
    max_tokens: NonZeroUsize,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    /// As they were named.
    models: [String; 2],
    #[serde(flatten)]
    comparison: Comparison,
}

pub(crate) fn run(args: &CompareArgs, globals: &Globals, output: &Output) -> Result<Done, Failure> {
    if args.prompt.is_empty() && args.media.media.is_empty() {
        return Err(Failure::new("read the prompt", CliError::EmptyPrompt));
    }
    args.media.check()?;
    let opened = [session::open(Some(&args.first), globals)?, session::open(Some(&args.second), globals)?];
    let engines = [session::engine(&opened[0].loaded, globals)?, session::engine(&opened[1].loaded, globals)?];
    let side = |i: usize| {
        let (opened, engine): (&Opened, _) = (&opened[i], &engines[i]);
        Side { loaded: &opened.loaded, engine }
    };
    let messages = [args.media.message(args.prompt.clone())];
    let progress = Progress::spinner("answering");
    let comparison = compare([side(0), side(1)], &messages, args.max_tokens.get()).doing("answer")?;
    drop(progress);
    let report = Report { models: [args.first.clone(), args.second.clone()], comparison };
    if output.is_json() {
        output.object("compare/1", &report)?;
    } else {
        show::print(&report, output)?;
    }
    Ok(signals::interrupted())
}
