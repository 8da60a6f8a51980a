//! `mquant bench`: how fast a model is here, and what memory it takes.

use std::num::NonZeroUsize;
use std::str::FromStr;

use clap::Args;
use mquant::input::image::ImageLimits;
use mquant::measure::{Figures, Workload, measure, peak_rss_bytes};
use serde::Serialize;

use crate::args::Globals;
use crate::exit::{Doing, Done, Failure};
use crate::output::Output;
use crate::progress::Progress;
use crate::session;

/// Arguments of `mquant bench`.
#[derive(Args, Debug)]
#[command(after_help = "\
Figures are medians over the repeats. The text is random tokens, the picture is synthetic; nothing is remembered between
repeats. vision_s is the vision tower on one picture; prefill counts the text alone; first_token_s is picture and text,
from prepared prompts to the first token of every sequence; decode counts the tokens after it.

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

/// What is printed.
#[derive(Debug, Serialize)]
struct Report<'a> {
    model: &'a str,
    threads: usize,
    prompt_tokens: usize,
    image: Option<ImageReport>,
    generate: usize,
    batch: usize,
    repeat: usize,
    load_s: f64,
    vision_s: Option<f64>,
    first_token_s: f64,
    prefill_tokens_per_s: f64,
    decode_tokens_per_s: Option<f64>,
    peak_rss_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ImageReport {
    width: u32,
    height: u32,
    tokens: Option<usize>,
}

pub(crate) fn run(args: &BenchArgs, globals: &Globals, output: &Output) -> Result<Done, Failure> {
    let opened = session::open(args.model.as_deref(), globals)?;
    let engine = session::engine(&opened.loaded, globals)?;
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
    let figures = measure(&opened.loaded, &engine, &workload, &mut |done| progress.set(done as u64));
    drop(progress);
    let Figures { image_tokens, vision_s, first_token_s, prefill_tokens_per_s, decode_tokens_per_s } =
        figures.doing("measure the model")?;
    let report = Report {
        model: &opened.name,
        threads: engine.threads(),
        prompt_tokens: workload.prompt_tokens,
        image: image.map(|(width, height)| ImageReport { width, height, tokens: image_tokens }),
        generate: workload.generate,
        batch: workload.batch,
        repeat: workload.repeat,
        load_s: opened.load_time.as_secs_f64(),
        vision_s,
        first_token_s,
        prefill_tokens_per_s,
        decode_tokens_per_s,
        peak_rss_bytes: peak_rss_bytes(),
    };
    if output.is_json() {
        output.object("bench/1", &report)?
    } else {
        print(&report, output)?
    }
    Ok(Done::Complete)
}

fn print(report: &Report<'_>, output: &Output) -> Result<(), Failure> {
    let seconds = |s: f64| format!("{s:.3} s");
    let rate = |r: f64| format!("{r:.2} tokens/s");
    let mut rows = vec![("load", seconds(report.load_s))];
    if let (Some(image), Some(vision_s)) = (&report.image, report.vision_s) {
        let tokens = image.tokens.unwrap_or_default();
        rows.push(("picture", format!("{}x{}, {tokens} tokens", image.width, image.height)));
        rows.push(("vision", seconds(vision_s)));
    }
    rows.push(("first token", seconds(report.first_token_s)));
    rows.push(("prefill", rate(report.prefill_tokens_per_s)));
    rows.extend(report.decode_tokens_per_s.map(|r| ("decode", rate(r))));
    rows.extend(report.peak_rss_bytes.map(|b| ("peak memory", format!("{:.2} GiB", b as f64 / f64::from(1 << 30)))));
    let Report { model, threads, prompt_tokens, generate, batch, repeat, .. } = report;
    let heading = format!(
        "{model}: {batch} × {prompt_tokens} tokens of text, {generate} to generate, {threads} threads, median of {repeat}\n\n"
    );
    output.text(&heading)?;
    output.table(&["", "measured"], rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect())
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
