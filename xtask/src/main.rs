//! Development tasks: `cargo run -p xtask --release -- TASK`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand, ValueEnum};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

mod synth;

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
    let Task::Synth { model, dir, tokenizer, seed, quantized, head_bits, input } = Arguments::parse().task;
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
    });
    match synth(&model, SynthOptions { tokenizer, seed, quantized, ..SynthOptions::new(dir) }) {
        Ok(line) => {
            // Nobody is left to tell when stdout is closed.
            let _ = writeln!(std::io::stdout(), "{line}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            let _ = writeln!(std::io::stderr(), "xtask: failed to write the checkpoint: {e}");
            ExitCode::FAILURE
        }
    }
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
