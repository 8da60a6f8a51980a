//! Options of every command.

use std::num::NonZeroUsize;

use clap::Args;
use mquant::kernels::{Cpu, Level};
use mquant::run::RowOrder;

use crate::failure::{CPU_VARIABLE, CliError, Doing, Failure};
use crate::output::Format;

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
