//! Development tasks: `cargo run -p xtask --release -- TASK`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

mod synth;

use synth::{Shape, SynthError, SynthOptions};

#[derive(Debug, Parser)]
#[command(name = "xtask", about = "Development tasks of mquant")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Write a model folder of the exact published shapes with random bf16 weights.
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
    },
}

fn main() -> ExitCode {
    let Task::Synth { model, dir, tokenizer, seed } = Arguments::parse().task;
    match synth(&model, SynthOptions { tokenizer, seed, ..SynthOptions::new(dir) }) {
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
    Ok(format!("{dir}: {} of weights ({} parameters) in {seconds:.1} s, {rate:.0} MB/s", HumanBytes(bytes), bytes / 2))
}
