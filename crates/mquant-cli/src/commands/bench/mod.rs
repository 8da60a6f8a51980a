//! `mquant bench`: how fast a model is here, what memory it takes, and how near it comes to what the CPU can do.

mod report;
mod show;

use std::num::NonZeroUsize;
use std::str::FromStr;

use clap::Args;
use mquant::input::image::ImageLimits;
use mquant::kernels::measure_limits;
use mquant::measure::{Workload, measure, peak_rss_bytes};

use crate::failure::{Doing, Done, Failure};
use crate::globals::Globals;
use crate::output::Output;
use crate::progress::Progress;
use crate::session;
use report::{Measured, Report};

/// Arguments of `mquant bench`.
#[derive(Args, Debug)]
#[command(after_help = "\
Figures are medians over the repeats. The text is random tokens, the picture is synthetic; nothing
is remembered between repeats. vision_s is the vision tower on one picture; prefill counts the text
alone, and picture and text together in each row order, without the tower; first_token_s is picture
and text, from prepared prompts to the first token of every sequence; decode counts the tokens after
it. GOPS are multiplications and additions of the products with weights; GB/s are bytes of weights,
keys and values. Limits of this CPU are measured with the same threads after everything else: two
seconds and a gibibyte, which the peak of memory leaves out.

Examples:
  mquant bench
  mquant bench path/to/model --prompt-tokens 512 --image 448x448 --generate 32 --threads 2
  mquant bench path/to/model --image none --batch 8 --json")]
pub(crate) struct BenchArgs {
    /// A model folder or Hub id (org/name or org/name@revision) [default: the bundled demo model]
    model: Option<String>,
    /// Tokens of the text
    #[arg(long, value_name = "N", default_value = "512")]
    prompt_tokens: NonZeroUsize,
    /// Size of the picture before it is resized, or `none`
    #[arg(long, value_name = "WxH", default_value = "448x448")]
    image: Picture,
    /// Tokens to generate after the first
    #[arg(long, value_name = "N", default_value_t = 16)]
    generate: usize,
    /// Sequences computed together
    #[arg(long, value_name = "N", default_value = "1")]
    batch: NonZeroUsize,
    /// How often to measure
    #[arg(long, value_name = "N", default_value = "3")]
    repeat: NonZeroUsize,
    /// Seed of the random tokens
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Measure what this CPU can do [default]
    #[arg(long, overrides_with = "no_limits")]
    limits: bool,
    /// Do not measure it
    #[arg(long)]
    no_limits: bool,
}

/// The synthetic picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Picture {
    None,
    Sized { width: u32, height: u32 },
}

impl FromStr for Picture {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        let (width, height): (u32, u32) = sides.ok_or("expected WIDTHxHEIGHT, such as 448x448, or none")?;
        let limits = ImageLimits::default();
        if width.min(height) == 0 || width.max(height) > limits.side {
            return Err(format!("expected sides of 1 to {} pixels", limits.side));
        }
        if u64::from(width) * u64::from(height) > limits.pixels {
            return Err(format!("expected at most {} pixels", limits.pixels));
        }
        Ok(Self::Sized { width, height })
    }
}

pub(crate) fn run(args: &BenchArgs, globals: &Globals, output: &Output) -> Result<Done, Failure> {
    let options = session::options(globals)?;
    let opened = session::open(args.model.as_deref(), globals)?;
    let image = match args.image {
        Picture::None => None,
        Picture::Sized { width, height } => Some((width, height)),
    };
    let workload = Workload {
        prompt_tokens: args.prompt_tokens.get(),
        image,
        generate: args.generate,
        batch: args.batch.get(),
        repeat: args.repeat.get(),
        seed: args.seed,
    };
    let progress = Progress::bar("measuring", workload.repeat as u64);
    let figures = measure(&opened.loaded, options, &workload, &mut |done| progress.set(done as u64));
    drop(progress);
    let figures = figures.doing("measure the model")?;
    // What limits take is not the model's.
    let peak_rss_bytes = peak_rss_bytes();
    let limits = if args.no_limits {
        None
    } else {
        let threads = session::threads(globals)?;
        let _progress = Progress::spinner("measuring what this CPU can do");
        Some(measure_limits(&threads, options.cpu))
    };
    let load_s = opened.load_time.as_secs_f64();
    let (row_order, limits) = (options.row_order, limits.as_ref());
    let measured = Measured { workload: &workload, figures: &figures, row_order, limits, load_s, peak_rss_bytes };
    let report = Report::new(&opened.name, measured);
    if output.is_json() {
        output.object("bench/2", &report)?
    } else {
        show::print(&report, output)?
    }
    Ok(Done::Complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_two_sides_within_limits() {
        assert_eq!("448x300".parse(), Ok(Picture::Sized { width: 448, height: 300 }));
        assert_eq!("none".parse(), Ok(Picture::None));
        for wrong in ["", "448", "448x", "x", "0x4", "4x0", "-1x4", "99999x1", "16000x16000", "4x4x4", "4 x 4"] {
            assert!(wrong.parse::<Picture>().is_err(), "{wrong}");
        }
    }
}
