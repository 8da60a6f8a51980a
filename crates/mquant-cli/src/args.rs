//! The command line: global options, and one subcommand of [`Command`].

use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser};
use mquant::Class;
use mquant::kernels::{Cpu, Level};
use mquant::run::RowOrder;

use crate::commands::Command;
use crate::exit::{CliError, Doing, ErrorReport, Failure, print_error};
use crate::output::{Format, Output};

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

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub(crate) struct Globals {
    /// Print one JSON object instead of text
    #[arg(long, global = true, help_heading = "Global options")]
    json: bool,
    /// Threads to compute with [default: one for each core]
    #[arg(long, value_name = "N", global = true, value_parser = threads, help_heading = "Global options")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Fewest pixels of an image or frame after resizing [default: the model's]
    #[arg(long, value_name = "N", global = true, help_heading = "Global options")]
    pub(crate) min_pixels: Option<u64>,
    /// Most pixels of an image or frame after resizing [default: the model's]
    #[arg(long, value_name = "N", global = true, help_heading = "Global options")]
    pub(crate) max_pixels: Option<u64>,
    /// Most tokens of prompt and answer together [default: the model's]
    #[arg(long, value_name = "TOKENS", global = true, help_heading = "Global options")]
    pub(crate) context: Option<NonZeroUsize>,
    /// Best instructions to use: scalar, avx2, avxvnni, avx512, avx512vnni or native [env: MQUANT_CPU] [default: the best there are]
    #[arg(long, value_name = "LEVEL", global = true, help_heading = "Global options")]
    cpu: Option<Level>,
    /// Order in which rows are computed, original or modality-first; answers do not depend on it
    #[arg(long, value_name = "ORDER", global = true, default_value_t, help_heading = "Global options")]
    pub(crate) row_order: RowOrder,
}

/// The variable that stands for `--cpu`.
pub(crate) const CPU_VARIABLE: &str = "MQUANT_CPU";

impl Globals {
    /// Form of the data on stdout.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Text }
    }

    /// The level that `--cpu` or the environment asks for, if one does; an empty variable does not.
    pub(crate) fn cap(&self) -> Result<Option<Level>, Failure> {
        let named = std::env::var_os(CPU_VARIABLE).filter(|value| self.cpu.is_none() && !value.is_empty());
        let parsed = named.map(|name| name.to_string_lossy().parse::<Level>()).transpose();
        let level = parsed.map_err(|source| CliError::CpuLevel { source }).doing("choose instructions")?;
        Ok(self.cpu.or(level))
    }

    /// The instructions that may be used.
    pub(crate) fn cpu(&self) -> Result<Cpu, Failure> {
        let here = Cpu::detect();
        let capped = self.cap()?.map_or(Ok(here), |level| here.capped(level));
        capped.map_err(|source| CliError::CpuUnsupported { source }).doing("choose instructions")
    }
}

/// Most threads that can be asked for.
const MAX_THREADS: usize = 1024;

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let threads: NonZeroUsize = text.parse().map_err(|e| format!("{e}"))?;
    if threads.get() > MAX_THREADS { Err(format!("at most {MAX_THREADS}")) } else { Ok(threads) }
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

/// The form of output that the raw arguments ask for, whether or not the rest of them can be read.
pub(crate) fn format_asked_for() -> Format {
    let json = std::env::args_os().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json");
    if json { Format::Json } else { Format::Text }
}
