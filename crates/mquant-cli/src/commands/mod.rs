//! The commands. To add one: a module that holds its arguments and its `run`, and a line in each place of this list.

mod run;
mod quantize;
mod inspect;
mod verify;
mod logits;
mod report;
mod bench;
mod kernels;
mod eval;
mod compare;
mod demo;
mod recipes;

use clap::Subcommand;

use crate::failure::{Done, Failure};
use crate::globals::Globals;
use crate::output::Output;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer a prompt about text, images, videos and sounds, or chat
    Run(run::RunArgs),
    /// Quantise a published model
    Quantize(quantize::QuantizeArgs),
    /// Show what a model is made of
    Inspect(inspect::InspectArgs),
    /// Compare a bundle with the hashes it was written with
    Verify(verify::VerifyArgs),
    /// Write every score of a conversation to a file, to compare implementations
    Logits(logits::LogitsArgs),
    /// Judge a model by benchmark files as published
    Eval(eval::EvalArgs),
    /// Let two models answer side by side, and show where they part
    Compare(compare::CompareArgs),
    /// Show evaluations and bundles on a page
    Report(report::ReportArgs),
    /// Measure speed and memory of a model
    Bench(bench::BenchArgs),
    /// List the kernels and what this CPU runs, or time them
    Kernels(kernels::KernelsArgs),
    /// Answer the bundled benchmarks with the bundled model
    Demo(demo::DemoArgs),
    /// List the recipes that models are quantised by, or print one
    Recipes(recipes::RecipesArgs),
}

impl Command {
    pub(crate) fn run(&self, globals: &Globals, output: &Output) -> Result<Done, Failure> {
        match self {
            Command::Run(args) => run::run(args, globals, output),
            Command::Quantize(args) => quantize::run(args, globals, output),
            Command::Inspect(args) => inspect::run(args, globals, output),
            Command::Verify(args) => verify::run(args, output),
            Command::Logits(args) => logits::run(args, globals, output),
            Command::Eval(args) => eval::run(args, globals, output),
            Command::Compare(args) => compare::run(args, globals, output),
            Command::Report(args) => report::run(args, output),
            Command::Bench(args) => bench::run(args, globals, output),
            Command::Kernels(args) => kernels::run(args, globals, output),
            Command::Demo(args) => demo::run(args, globals, output),
            Command::Recipes(args) => recipes::run(args, output),
        }
    }
}
