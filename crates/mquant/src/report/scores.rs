//! Scores of all models with their intervals, speed, and agreement token by token.

use std::fmt::Write;

use serde::Serialize;

use super::Report;
use super::numbers::{count, fixed, number, percent, probability, score_digits, seconds, signed, size};
use super::shown_text::visible_line;
use super::verdict::{Tone, tone};
use crate::evaluate::{BenchmarkRecord, ModelRecord, Paired, Sat};

/// Most rows of a table.
const ROWS: usize = 150;
/// Totals of a benchmark that are shown, the score first.
const TOTALS: usize = 12;

/// The tables of scores.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Scores {
    pub(super) columns: Vec<Heading>,
    pub(super) rows: Vec<Row>,
    pub(super) speeds: Vec<Row>,
    pub(super) tokens: Vec<Tokens>,
    /// Of all benchmarks, why samples were left out.
    pub(super) skipped: Vec<String>,
}

/// A model.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Heading {
    pub(super) name: String,
    pub(super) form: String,
    pub(super) size: String,
}

/// A benchmark or a part of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) more: String,
    /// Whether it is a part of the row above.
    pub(super) part: bool,
    /// For each column.
    pub(super) cells: Vec<Option<Cell>>,
}

/// What a model reached.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Cell {
    pub(super) value: String,
    /// Its interval in words.
    pub(super) interval: Option<String>,
    /// Its interval as a drawing.
    pub(super) bar: Option<String>,
    pub(super) difference: Option<Difference>,
}

/// How it differs from the baseline.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Difference {
    pub(super) tone: Tone,
    pub(super) value: String,
    pub(super) interval: String,
    pub(super) p: String,
    pub(super) words: &'static str,
}

/// Both models on the reference answers.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Tokens {
    pub(super) benchmark: String,
    pub(super) model: String,
    pub(super) tokens: String,
    pub(super) perplexity: String,
    pub(super) baseline_perplexity: String,
    pub(super) kl: String,
    pub(super) kl_max: String,
    pub(super) top1: String,
}

/// What one model reached in all benchmarks that it was given.
struct Judged<'a> {
    model: &'a ModelRecord,
    of: Vec<(&'a BenchmarkRecord, &'a Sat, Option<&'a Paired>)>,
}

/// The tables of a report.
pub(super) fn scores(report: &Report) -> Scores {
    let judged = columns(report);
    let mut scores = Scores::default();
    scores.columns.extend(judged.iter().map(|column| Heading {
        name: visible_line(&column.model.name),
        form: visible_line(&column.model.form),
        size: if column.model.bytes > 0 { size(column.model.bytes) } else { "-".to_owned() },
    }));
    let mut seen: Vec<&BenchmarkRecord> = Vec::new();
    for benchmark in report.evaluations.iter().flat_map(|e| &e.benchmarks) {
        if seen.iter().any(|other| same(other, benchmark)) {
            continue;
        }
        seen.push(benchmark);
        scores.skipped.extend(
            benchmark.skipped.iter().map(|why| format!("{}: {}", visible_line(&benchmark.name), visible_line(why))),
        );
        let totals =
            judged.iter().flat_map(|c| &c.of).filter(|(b, ..)| same(b, benchmark)).map(|(_, sat, _)| sat.totals.len());
        for total in 0..totals.max().unwrap_or(0).min(TOTALS) {
            scores.rows.push(row(benchmark, total, &judged));
        }
        scores.speeds.push(speed_row(benchmark, &judged));
    }
    scores.rows.truncate(ROWS);
    scores.speeds.truncate(ROWS);
    for evaluation in &report.evaluations {
        let rows = evaluation.benchmarks.iter().filter_map(|benchmark| {
            let t = benchmark.tokens.as_ref()?;
            Some(Tokens {
                benchmark: visible_line(&benchmark.name),
                model: visible_line(&evaluation.model.name),
                tokens: count(t.tokens as u64),
                perplexity: fixed(t.perplexity, 4),
                baseline_perplexity: fixed(t.baseline_perplexity, 4),
                kl: number(t.kl),
                kl_max: number(t.kl_max),
                top1: percent(t.top1_agreement),
            })
        });
        scores.tokens.extend(rows);
    }
    scores.tokens.truncate(ROWS);
    scores
}

/// Whether two records are of the same questions judged in the same way.
fn same(a: &BenchmarkRecord, b: &BenchmarkRecord) -> bool {
    (&a.name, &a.metric, a.samples) == (&b.name, &b.metric, b.samples)
}

/// A column for each model; a baseline of several evaluations has one if it reached the same in all.
fn columns(report: &Report) -> Vec<Judged<'_>> {
    let mut baselines: Vec<Judged<'_>> = Vec::new();
    let mut models = Vec::new();
    for evaluation in &report.evaluations {
        if let Some(model) = &evaluation.baseline {
            let of: Vec<_> =
                evaluation.benchmarks.iter().filter_map(|b| Some((b, b.baseline.as_ref()?, None))).collect();
            let agrees = |column: &Judged<'_>| {
                let differs = |(b, sat, _): &(&BenchmarkRecord, &Sat, Option<&Paired>)| {
                    of.iter().any(|(other, s, _)| same(b, other) && s.totals != sat.totals)
                };
                column.model == model && !column.of.iter().any(differs)
            };
            match baselines.iter_mut().find(|column| agrees(column)) {
                Some(column) => column.of.extend(of),
                None => baselines.push(Judged { model, of }),
            }
        }
        let of = evaluation.benchmarks.iter().map(|b| (b, &b.model, b.paired.as_ref())).collect();
        models.push(Judged { model: &evaluation.model, of });
    }
    baselines.extend(models);
    baselines
}

fn row(benchmark: &BenchmarkRecord, total: usize, judged: &[Judged<'_>]) -> Row {
    let of_row = |column: &Judged<'_>| {
        let (_, sat, paired) = *column.of.iter().find(|(b, ..)| same(b, benchmark))?;
        let total = sat.totals.get(total)?;
        Some((total.clone(), sat.interval, paired.copied()))
    };
    let found: Vec<_> = judged.iter().map(of_row).collect();
    let is_score = total == 0;
    let bounds = found.iter().flatten().flat_map(|(_, interval, _)| *interval).filter(|bound| bound.is_finite());
    let bounds = bounds.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], b| [low.min(b), high.max(b)]);
    let cells = found.iter().map(|found| {
        let (total, interval, paired) = found.as_ref()?;
        let digits = score_digits(total.of);
        let has_interval = is_score && interval.iter().all(|bound| bound.is_finite()) && interval[1] > interval[0];
        let range = |[low, high]: [f64; 2]| format!("{} to {}", fixed(low, digits), fixed(high, digits));
        Some(Cell {
            value: fixed(total.value, digits),
            interval: has_interval.then(|| range(*interval)),
            bar: has_interval.then(|| bar(total.value, *interval, bounds)),
            difference: paired.filter(|_| is_score).map(|paired| Difference {
                tone: tone(&paired),
                value: signed(paired.difference, digits),
                interval: format!("{} to {}", signed(paired.interval[0], digits), signed(paired.interval[1], digits)),
                p: probability(paired.mcnemar_p),
                words: match tone(&paired) {
                    Tone::Bad => "measurably worse",
                    Tone::Good => "measurably better",
                    Tone::Neutral => "no measurable difference",
                },
            }),
        })
    });
    let first = found.iter().flatten().next();
    let of = first.map_or_else(String::new, |(total, ..)| format!(", of {}", number(total.of)));
    Row {
        name: match (is_score, first) {
            (false, Some((total, ..))) => visible_line(&total.name),
            _ => visible_line(&benchmark.name),
        },
        more: if is_score {
            format!("{}{of}, {} samples", visible_line(&benchmark.metric), count(benchmark.samples as u64))
        } else {
            of.trim_start_matches(", ").to_owned()
        },
        part: !is_score,
        cells: cells.collect(),
    }
}

/// An interval between the bounds of its row, with a mark at the value.
fn bar(value: f64, [low, high]: [f64; 2], [from, to]: [f64; 2]) -> String {
    let x = |v: f64| 6.0 + 108.0 * ((v - from) / (to - from)).clamp(0.0, 1.0);
    let mut svg = String::from(
        "<svg class=\"bar\" viewBox=\"0 0 120 14\" aria-hidden=\"true\"><path class=\"grid\" d=\"M2 7H118\"/>",
    );
    // Writing to a string does not fail.
    let _ = write!(svg, "<path class=\"whisker\" d=\"M{0:.1} 3v8M{0:.1} 7H{1:.1}M{1:.1} 3v8\"/>", x(low), x(high));
    let _ = write!(svg, "<circle cx=\"{:.1}\" cy=\"7\" r=\"3.5\"/></svg>", x(value));
    svg
}

fn speed_row(benchmark: &BenchmarkRecord, judged: &[Judged<'_>]) -> Row {
    let cells = judged.iter().map(|column| {
        let (_, sat, _) = column.of.iter().find(|(b, ..)| same(b, benchmark))?;
        let value = match sat.seconds {
            s if s > 0.0 => format!("{} tokens/s", number((sat.prompt_tokens as f64 + sat.answer_tokens as f64) / s)),
            _ => "-".to_owned(),
        };
        Some(Cell { value, interval: Some(seconds(sat.seconds)), ..Cell::default() })
    });
    let Sat { prompt_tokens, answer_tokens, .. } = benchmark.model;
    let more = format!("{} prompt and {} answer tokens", count(prompt_tokens as u64), count(answer_tokens as u64));
    Row { name: visible_line(&benchmark.name), more, part: false, cells: cells.collect() }
}
