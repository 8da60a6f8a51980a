//! The table of all forms of the model, and a few questions.

use mquant::evaluate::{Benchmark, Medium, MediumKind};
use mquant::input::{audio, image};
use mquant::run::LoadedModel;

use super::report::{BenchmarkReport, Report, VariantReport};
use crate::failure::{Doing, Failure};
use crate::half_blocks;
use crate::output::{Output, printable};

/// Examples shown, of as many benchmarks.
const EXAMPLES: usize = 3;
/// Characters a picture is wide.
const PICTURE_COLUMNS: u32 = 56;
/// What the names of the bundled benchmarks begin with.
const PREFIX: &str = "Demo";

/// A row for each form of the model, a column for each benchmark.
pub(super) fn table(report: &Report, output: &Output) -> Result<(), Failure> {
    let Some(first) = report.variants.first() else { return Ok(()) };
    let mut headings = vec!["score (%)"];
    let heading = |b: &BenchmarkReport| {
        let name = b.name.strip_prefix(PREFIX).unwrap_or(&b.name);
        if b.lower_is_better { format!("{name} {}", b.metric.to_uppercase()) } else { name.to_owned() }
    };
    let names: Vec<String> = first.benchmarks.iter().map(heading).collect();
    headings.extend(names.iter().map(String::as_str));
    headings.extend(["mean", "MB", "quantise", "answers"]);
    let row = |variant: &VariantReport| {
        let mut row = vec![variant.name.clone()];
        row.extend(variant.benchmarks.iter().map(|b| format!("{:.1}", b.score)));
        row.resize(1 + first.benchmarks.len(), "-".to_owned());
        row.push(format!("{:.1}", variant.mean));
        row.push(format!("{:.1}", variant.bytes as f64 / 1e6));
        row.push(variant.quantize_s.map_or_else(|| "-".to_owned(), |s| format!("{s:.1} s")));
        row.push(format!("{:.1} s", variant.answer_s));
        row
    };
    output.table(&headings, report.variants.iter().map(row).collect())?;
    if first.benchmarks.iter().any(|b| b.lower_is_better) {
        output.text("WER: word errors, lower is better; the mean takes what is missing from 100, at least 0\n")?;
    }
    let samples: usize = first.benchmarks.iter().map(|b| b.samples).sum();
    output.text(&format!(
        "\n{samples} questions, {} in {:.0} s on {} threads; quantised forms answer on integers\n",
        match report.variants.len() {
            1 => "answered by one model".to_owned(),
            n => format!("answered by {n} forms of one model"),
        },
        report.total_s,
        report.threads
    ))
}

/// The first sample of some benchmarks with the answers of the first and the last form, and its picture where the terminal
/// can show it.
pub(super) fn examples(
    report: &Report,
    benchmarks: &[Benchmark],
    loaded: &LoadedModel,
    output: &Output,
) -> Result<(), Failure> {
    let Some(first) = report.variants.first() else { return Ok(()) };
    let step = benchmarks.len().div_ceil(EXAMPLES).max(1);
    for (i, benchmark) in benchmarks.iter().enumerate().step_by(step) {
        let answer = |variant: &VariantReport| {
            Some((variant.name.clone(), variant.benchmarks.get(i)?.answers.first()?.answer.clone()))
        };
        let (Some(question), Some(answered)) = (benchmark.questions().first(), answer(first)) else { continue };
        let mut text = format!("\n{}\n", benchmark.name());
        let doing = "show an example";
        for Medium { kind, bytes } in benchmark.media(0).doing(doing)? {
            match kind {
                MediumKind::Picture if half_blocks::shown() => {
                    let picture = image::decode(&bytes, &loaded.image_limits).doing(doing)?;
                    text += &half_blocks::art(&picture, PICTURE_COLUMNS);
                }
                MediumKind::Picture => {}
                MediumKind::Sound => {
                    let header = audio::probe(&bytes).doing(doing)?;
                    let seconds = audio::decode(&bytes, &loaded.audio_limits).doing(doing)?.seconds();
                    text += &format!("  {:<14}{seconds:.1} s of {}\n", "sound", header.format);
                }
            }
        }
        text += &format!("  {:<14}{}\n", "question", printable(&question.text, true));
        text +=
            &format!("  {:<14}{}\n", "expected", printable(question.answers.first().map_or("", String::as_str), true));
        let last = report.variants[1..].last().and_then(answer);
        for (name, answer) in std::iter::once(answered).chain(last) {
            text += &format!("  {name:<14}{}\n", printable(&answer, true));
        }
        output.text(&text)?;
    }
    Ok(())
}
