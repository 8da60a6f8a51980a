//! Scores of all models with their intervals, speed, and agreement token by token.

use std::fmt::Write;

use serde::Serialize;

use super::Report;
use super::examples::Side;
use super::numbers::{count, fixed, number, percent, probability, score_digits, seconds, signed, signed_range, size};
use super::parts::{Parts, parts};
use super::shown_text::visible_line;
use super::verdict::{Tone, gain, scored, tone};
use crate::evaluate::{BenchmarkRecord, EvaluationRecord, Mean, ModelRecord, Paired, Sat};

/// Most rows of a table.
const ROWS: usize = 150;
/// Benchmarks that the row of a mean names.
const NAMED: usize = 6;
/// Digits behind the point of a mean.
const MEAN_DIGITS: usize = 2;

/// The tables of scores.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Scores {
    pub(super) columns: Vec<Heading>,
    /// Whether a row counts errors.
    pub(super) has_rates: bool,
    /// Over several benchmarks; one for each choice of them that a model was given.
    pub(super) means: Vec<Row>,
    pub(super) rows: Vec<Row>,
    pub(super) parts: Vec<Parts>,
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

/// A benchmark, a part of it, or several.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) more: String,
    /// For each column.
    pub(super) cells: Vec<Option<Cell>>,
}

/// What a model reached.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Cell {
    pub(super) value: String,
    /// Its interval, or what else is to be said of it.
    pub(super) more: Option<String>,
    /// Its interval as a drawing.
    pub(super) bar: Option<String>,
    pub(super) difference: Option<Difference>,
}

/// How it differs from the baseline.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Difference {
    pub(super) tone: Tone,
    pub(super) value: String,
    /// Its interval; None where all samples agree.
    pub(super) interval: Option<String>,
    pub(super) p: Option<String>,
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
pub(super) struct Judged<'a> {
    model: &'a ModelRecord,
    pub(super) side: Side,
    evaluations: Vec<&'a EvaluationRecord>,
    pub(super) of: Vec<(&'a BenchmarkRecord, &'a Sat, Option<&'a Paired>)>,
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
        scores.has_rates |= benchmark.lower_is_better;
        scores.skipped.extend(
            benchmark.skipped.iter().map(|why| format!("{}: {}", visible_line(&benchmark.name), visible_line(why))),
        );
        scores.rows.push(row(benchmark, &judged));
        scores.parts.extend(parts(benchmark, &judged));
        scores.speeds.push(speed_row(benchmark, &judged));
    }
    scores.rows.truncate(ROWS);
    scores.speeds.truncate(ROWS);
    scores.means = means(report, &judged);
    for benchmark in seen {
        let all = report.evaluations.iter().flat_map(|e| e.benchmarks.iter().map(move |b| (e, b)));
        let rows = all.filter(|(_, other)| same(other, benchmark)).filter_map(|(evaluation, benchmark)| {
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
pub(super) fn same(a: &BenchmarkRecord, b: &BenchmarkRecord) -> bool {
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
                Some(column) => {
                    column.of.extend(of);
                    column.evaluations.push(evaluation);
                }
                None => {
                    baselines.push(Judged { model, side: Side::Baseline, evaluations: vec![evaluation], of });
                }
            }
        }
        let of = evaluation.benchmarks.iter().map(|b| (b, &b.model, b.paired.as_ref())).collect();
        models.push(Judged { model: &evaluation.model, side: Side::Model, evaluations: vec![evaluation], of });
    }
    baselines.extend(models);
    baselines
}

/// A value with its interval, and how it differs.
#[derive(Clone, Copy, Debug)]
struct Reached {
    value: f64,
    interval: Option<[f64; 2]>,
    difference: Option<(f64, [f64; 2])>,
    p: Option<f64>,
    digits: usize,
    lower_is_better: bool,
}

/// The cells of a row, whose bars have one scale.
fn cells(found: &[Option<Reached>]) -> Vec<Option<Cell>> {
    let bounds = found.iter().flatten().filter_map(|reached| reached.interval).flatten().filter(|b| b.is_finite());
    let bounds = bounds.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], b| [low.min(b), high.max(b)]);
    let cell = |reached: &Reached| {
        let Reached { value, digits, .. } = *reached;
        let interval = reached.interval.filter(|[low, high]| low.is_finite() && high.is_finite() && high > low);
        Cell {
            value: fixed(value, digits),
            more: interval.map(|[low, high]| format!("{} to {}", fixed(low, digits), fixed(high, digits))),
            bar: interval.map(|interval| bar(value, interval, bounds)),
            difference: reached.difference.map(|(by, interval)| difference(by, interval, reached)),
        }
    };
    found.iter().map(|reached| reached.as_ref().map(cell)).collect()
}

fn difference(by: f64, interval: [f64; 2], reached: &Reached) -> Difference {
    let value = signed(by, reached.digits);
    if by == 0.0 && interval == [0.0; 2] {
        return Difference { tone: Tone::Neutral, value, interval: None, p: None, words: "the same score" };
    }
    let tone = tone(gain(interval, reached.lower_is_better));
    Difference {
        tone,
        value,
        interval: Some(signed_range(interval, reached.digits)),
        p: reached.p.map(probability),
        words: match tone {
            Tone::Bad => "measurably worse",
            Tone::Good => "measurably better",
            Tone::Neutral => "no measurable difference",
        },
    }
}

fn row(benchmark: &BenchmarkRecord, judged: &[Judged<'_>]) -> Row {
    let mut of = None;
    let found = judged.iter().map(|column| {
        let (_, sat, paired) = *column.of.iter().find(|(b, ..)| same(b, benchmark))?;
        let total = sat.totals.first()?;
        of.get_or_insert(total.of);
        Some(Reached {
            value: total.value,
            interval: Some(sat.interval),
            difference: paired.map(|paired| (paired.difference, paired.interval)),
            p: paired.map(|paired| paired.mcnemar_p),
            digits: score_digits(total.of),
            lower_is_better: benchmark.lower_is_better,
        })
    });
    let found: Vec<_> = found.collect();
    let of = match of {
        Some(_) if benchmark.lower_is_better => ", lower is better".to_owned(),
        Some(of) => format!(", of {}", number(of)),
        None => String::new(),
    };
    Row {
        name: visible_line(&benchmark.name),
        more: format!("{}{of}, {} samples", visible_line(&benchmark.metric), count(benchmark.samples as u64)),
        cells: cells(&found),
    }
}

/// A row for each choice of benchmarks, since means over others cannot be compared.
fn means(report: &Report, judged: &[Judged<'_>]) -> Vec<Row> {
    let alike = |a: &[&BenchmarkRecord], b: &[&BenchmarkRecord]| {
        a.len() == b.len() && a.iter().all(|benchmark| b.iter().any(|other| same(benchmark, other)))
    };
    let mut choices: Vec<Vec<&BenchmarkRecord>> = Vec::new();
    for choice in report.evaluations.iter().filter(|e| e.mean.is_some()).map(chosen) {
        if choice.len() > 1 && !choices.iter().any(|other| alike(other, &choice)) {
            choices.push(choice);
        }
    }
    let row = |choice: &Vec<&BenchmarkRecord>| {
        let found = judged.iter().map(|column| {
            let evaluation = column.evaluations.iter().find(|e| e.mean.is_some() && alike(&chosen(e), choice))?;
            reached_on_average(evaluation.mean.as_ref()?, column.side)
        });
        let names: Vec<String> = choice.iter().take(NAMED).map(|benchmark| visible_line(&benchmark.name)).collect();
        let rest = choice.len() - names.len();
        let rates =
            if choice.iter().any(|b| b.lower_is_better) { "; an error rate as what is missing from 100" } else { "" };
        Row {
            name: format!("Mean of {} benchmarks", choice.len()),
            more: match (choices.len(), rest) {
                (1, _) => format!("in percent, each weighs the same{rates}"),
                (_, 0) => format!("in percent: {}{rates}", names.join(", ")),
                (_, rest) => format!("in percent: {} and {rest} more{rates}", names.join(", ")),
            },
            cells: cells(&found.collect::<Vec<_>>()),
        }
    };
    choices.iter().map(row).collect()
}

/// The benchmarks that a mean is over.
fn chosen(evaluation: &EvaluationRecord) -> Vec<&BenchmarkRecord> {
    evaluation.benchmarks.iter().filter(|benchmark| scored(benchmark)).collect()
}

fn reached_on_average(mean: &Mean, side: Side) -> Option<Reached> {
    let plain = Reached {
        value: mean.model,
        interval: None,
        difference: None,
        p: None,
        digits: MEAN_DIGITS,
        lower_is_better: false,
    };
    match side {
        Side::Baseline => Some(Reached { value: mean.baseline?, ..plain }),
        Side::Model => {
            let difference = mean.difference.zip(mean.difference_interval);
            Some(Reached { interval: Some(mean.interval), difference, ..plain })
        }
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
        let tokens = format!("{} + {}", count(sat.prompt_tokens as u64), count(sat.answer_tokens as u64));
        Some(Cell { value, more: Some(format!("{tokens} in {}", seconds(sat.seconds))), ..Cell::default() })
    });
    let more = format!("{} samples", count(benchmark.samples as u64));
    Row { name: visible_line(&benchmark.name), more, cells: cells.collect() }
}
