//! The commands. To add one: a module that holds its arguments and its `run`, and a line in each place of this list.

mod run;
mod inspect;
mod logits;

use clap::Subcommand;

use crate::args::Globals;
use crate::exit::{Done, Failure};
use crate::output::Output;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer a prompt about text, images and videos, or chat
    Run(run::RunArgs),
    /// Show what a model is made of
    Inspect(inspect::InspectArgs),
    /// Write every score of a conversation to a file, to compare implementations
    Logits(logits::LogitsArgs),
}

impl Command {
    pub(crate) fn run(&self, globals: &Globals, output: &Output) -> Result<Done, Failure> {
        match self {
            Command::Run(args) => run::run(args, globals, output),
            Command::Inspect(args) => inspect::run(args, globals, output),
            Command::Logits(args) => logits::run(args, globals, output),
        }
    }
}
