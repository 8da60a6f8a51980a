//! Development tasks: `cargo run -p xtask --release -- TASK`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand, ValueEnum};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

mod ablation;
mod imports;
mod synth;

use ablation::{AblationError, AblationOptions};
use imports::Imports;
use mquant::kernels::Bits;
use synth::{Input, Quantized, Shape, SynthError, SynthOptions};

#[derive(Debug, Parser)]
#[command(name = "xtask", about = "Development tasks of mquant")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Write a model folder of the exact published shapes with random bf16 weights, or the same quantised.
    ///
    /// The folder is written as DIR.partial and renamed when it is complete. Equal seeds give equal bytes.
    Synth {
        /// Which published model.
        #[arg(value_parser = clap::builder::PossibleValuesParser::new(Shape::published().map(|s| s.name)))]
        model: String,
        /// The folder to make; must not exist.
        dir: PathBuf,
        /// Folder with the tokenizer.json to use, in place of the demo model's.
        #[arg(long, value_name = "DIR")]
        tokenizer: Option<PathBuf>,
        /// Seed of the weights.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Write a bundle whose blocks and projector have 4- or 8-bit weights, 8-bit activations and key-value cache.
        #[arg(long, value_enum, value_name = "FORMAT")]
        quantized: Option<Format>,
        /// Bits of the head's weights.
        #[arg(long, default_value = "8", value_parser = ["4", "8"], requires = "quantized")]
        head_bits: String,
        /// Scales of activations.
        #[arg(long, value_enum, default_value = "static", requires = "quantized")]
        input: InputArg,
        /// Give the decoder's blocks low-rank branches for rows of media, of this rank over the inputs or outputs of a site,
        /// whichever are fewer; and gains for them where a norm takes them.
        #[arg(long, value_name = "RATIO", requires = "quantized")]
        branches: Option<f64>,
        /// Give the decoder's blocks gains for rows of media where a norm takes them.
        #[arg(long, requires = "quantized")]
        gains: bool,
    },
    /// Print which crate and which module imports which; fails on an import against pipeline order.
    Imports {
        /// The workspace.
        #[arg(long, value_name = "DIR", default_value = ".")]
        workspace: PathBuf,
    },
    /// Measure on integers what each step of MQuant is worth on the demo models.
    ///
    /// Prints tables in Markdown. All samples and three seeds take about ten minutes on two cores.
    Ablation {
        /// The folder that holds `demo` and `demo-stress`.
        #[arg(long, default_value = "models")]
        models: PathBuf,
        /// Seeds: signs of the rotations, and which samples are shown.
        #[arg(long, value_delimiter = ',', default_value = "0,1,2")]
        seeds: Vec<u64>,
        /// Samples of each benchmark [default: all].
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        /// Calibration samples shown.
        #[arg(long, value_name = "N", default_value_t = 96)]
        samples: usize,
        /// Only rows whose name contains this.
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
        /// Write all scores here as JSON.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// 4-bit weights.
    W4a8,
    /// 8-bit weights.
    W8a8,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum InputArg {
    /// One in the vision tower, one a modality elsewhere.
    Static,
    /// Each row's own, found while running.
    Dynamic,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Synth { model, dir, tokenizer, seed, quantized, head_bits, input, branches, gains } => {
            let quantized = quantized.map(|format| Quantized {
                weights: match format {
                    Format::W4a8 => Bits::Four,
                    Format::W8a8 => Bits::Eight,
                },
                head: if head_bits == "4" { Bits::Four } else { Bits::Eight },
                input: match input {
                    InputArg::Static => Input::Static,
                    InputArg::Dynamic => Input::Dynamic,
                },
                branches: branches.filter(|ratio| *ratio > 0.0),
                gains: gains || branches.is_some(),
            });
            synth(&model, SynthOptions { tokenizer, seed, quantized, ..SynthOptions::new(dir) })
                .map_err(|e| format!("write the checkpoint: {e}"))
        }
        Task::Imports { workspace } => imports(&workspace),
        Task::Ablation { models, seeds, limit, samples, only, json } => {
            ablation(&AblationOptions { models, seeds, limit, samples, only }, json.as_deref())
                .map_err(|e| format!("measure: {e}"))
        }
    };
    match done {
        Ok(text) => {
            // Nobody is left to tell when stdout is closed.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            let _ = writeln!(std::io::stderr(), "xtask: failed to {e}");
            ExitCode::FAILURE
        }
    }
}

/// The graphs, or what is against pipeline order.
fn imports(workspace: &Path) -> Result<String, String> {
    let imports = Imports::read(workspace).map_err(|e| e.to_string())?;
    let faults = imports.faults();
    if faults.is_empty() {
        Ok(imports.to_string())
    } else {
        Err(format!("keep pipeline order:\n{}", faults.join("\n")))
    }
}

/// Measures the tables, and perhaps writes all scores to a file.
fn ablation(options: &AblationOptions, file: Option<&Path>) -> Result<String, AblationError> {
    let measured = ablation::measure(options, &mut |line| {
        let _ = writeln!(std::io::stderr(), "{line}");
    })?;
    if let Some(file) = file {
        let json = format!("{:#}\n", ablation::json(&measured, options));
        std::fs::write(file, json).map_err(|source| AblationError::Read { folder: file.to_owned(), source })?;
    }
    Ok(ablation::markdown(&measured))
}

/// Writes the folder and says how it went.
fn synth(model: &str, options: SynthOptions) -> Result<String, SynthError> {
    let shape = Shape::published().into_iter().find(|s| s.name == model).expect("clap takes only names of the list");
    let bar = ProgressBar::no_length();
    let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is a constant"));
    let started = Instant::now();
    let written = synth::write_folder(shape, &options, &|done, of| {
        bar.set_length(of);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let (bytes, seconds) = (written?, started.elapsed().as_secs_f64());
    let (dir, rate) = (options.dir.display(), bytes as f64 / seconds / 1e6);
    Ok(format!("{dir}: {} of weights in {seconds:.1} s, {rate:.0} MB/s", HumanBytes(bytes)))
}
