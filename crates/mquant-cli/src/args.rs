//! The command line: global options, and one subcommand of [`Command`].

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use mquant::Class;

use crate::commands::Command;
use crate::exit::print_error;
use crate::failure::ErrorReport;
use crate::globals::Globals;
use crate::output::{Format, Output, format_asked_for};

/// Run published multimodal language models on a CPU.
#[derive(Debug, Parser)]
#[command(name = "mquant", version, max_term_width = 100, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  mquant run --image photo.jpg --prompt 'What is this?'
  mquant run Qwen/Qwen2-VL-2B-Instruct
  mquant inspect path/to/model

Data go to stdout, everything else to stderr. Exit codes: 0 success, 2 usage, 3 model, 4 input, 5 unsupported,
6 resources, 7 numeric, 70 bug, 74 input/output, 75 locked, 130 and 143 interrupted.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The command line of this process; help, version and errors are printed here and end it.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|e| {
        if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            // A closed stdout is the reader's choice.
            let _ = e.print();
            return ExitCode::SUCCESS;
        }
        let format = format_asked_for();
        if format == Format::Json {
            let rendered = e.render().to_string();
            let message = rendered.lines().next().unwrap_or_default();
            let message = message.strip_prefix("error: ").unwrap_or(message).to_owned();
            let hint = Some("see `mquant --help`".to_owned());
            let report = ErrorReport { code: "USAGE", message, hint, exit_code: Class::Usage.exit_code() };
            print_error(&report, &Output::new(format));
        } else {
            let _ = e.print();
        }
        ExitCode::from(Class::Usage.exit_code())
    })
}
