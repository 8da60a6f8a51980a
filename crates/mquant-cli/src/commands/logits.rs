//! `mquant logits`.

use clap::Args;

use crate::args::Globals;
use crate::exit::{Done, Failure};
use crate::output::Output;
use crate::session;

/// Arguments of `mquant logits`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  mquant logits path/to/model")]
pub(crate) struct LogitsArgs {
    /// A model folder or Hub id (org/name[@revision]) [default: the bundled demo model]
    model: Option<String>,
}

pub(crate) fn run(args: &LogitsArgs, globals: &Globals, output: &Output) -> Result<Done, Failure> {
    let opened = session::open(args.model.as_deref(), globals)?;
    output.text(&format!("{}\n", opened.name))?;
    Ok(Done::Complete)
}
