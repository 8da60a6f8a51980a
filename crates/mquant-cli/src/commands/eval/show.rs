//! An evaluation as tables: scores, then what the tokens say, then speed.

use std::time::Duration;

use mquant::evaluate::{BenchmarkRecord, EvaluationRecord, Paired, Sat};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;

/// Below this p a difference is marked.
const SIGNIFICANT: f64 = 0.05;

/// The record as the one object of a command, which gets its schema from the output.
pub(super) fn without_schema(record: &EvaluationRecord) -> impl Serialize {
    let mut value = serde_json::json!(record);
    if let Some(object) = value.as_object_mut() {
        object.shift_remove("schema");
    }
    value
}

pub(super) fn print(record: &EvaluationRecord, duration: Duration, output: &Output) -> Result<(), Failure> {
    scores(record, output)?;
    tokens(record, output)?;
    totals(record, output)?;
    speed(record, duration, output)
}

fn scores(record: &EvaluationRecord, output: &Output) -> Result<(), Failure> {
    let has_baseline = record.baseline.is_some();
    let model = record.model.form.as_str();
    let base = record.baseline.as_ref().map_or("", |baseline| baseline.form.as_str());
    let mut headings = vec!["benchmark", "metric", "n"];
    if has_baseline {
        headings.push(base);
    }
    headings.extend([model, "95 %"]);
    if has_baseline {
        headings.extend(["difference", "95 %", "p", ""]);
    }
    let row = |benchmark: &BenchmarkRecord| {
        let mut row = vec![benchmark.name.clone(), benchmark.metric.clone(), benchmark.samples.to_string()];
        if has_baseline {
            row.push(benchmark.baseline.as_ref().map_or_else(dash, score));
        }
        row.extend([score(&benchmark.model), interval(benchmark.model.interval)]);
        if let Some(paired) = benchmark.paired.as_ref().filter(|_| !benchmark.model.totals.is_empty()) {
            row.extend(difference(paired));
        }
        row
    };
    let mut rows: Vec<Vec<String>> = record.benchmarks.iter().map(row).collect();
    if let Some(mean) = record.mean.filter(|_| rows.len() > 1) {
        let n: usize = record.benchmarks.iter().map(|benchmark| benchmark.samples).sum();
        let mut row = vec!["mean (%)".to_owned(), String::new(), n.to_string()];
        if has_baseline {
            row.push(mean.baseline.map_or_else(dash, |value| format!("{value:.2}")));
        }
        row.extend([format!("{:.2}", mean.model), interval(mean.interval)]);
        if let Some((difference, of)) = mean.difference.zip(mean.difference_interval) {
            row.extend([format!("{difference:+.2}"), signed(of)]);
        }
        rows.push(row);
    }
    output.table(&headings, rows)?;
    let mut rates: Vec<&str> =
        record.benchmarks.iter().filter(|b| b.lower_is_better).map(|b| b.metric.as_str()).collect();
    rates.dedup();
    match (rates.is_empty(), record.mean.is_some() && record.benchmarks.len() > 1) {
        (true, _) => Ok(()),
        (_, false) => output.text(&format!("{}: errors in percent, lower is better\n", rates.join(", "))),
        (_, true) => output.text(&format!(
            "{}: errors in percent, lower is better; the mean takes what is missing from 100, at least 0\n",
            rates.join(", ")
        )),
    }
}

fn tokens(record: &EvaluationRecord, output: &Output) -> Result<(), Failure> {
    let row = |benchmark: &BenchmarkRecord| {
        let tokens = benchmark.tokens?;
        Some(vec![
            benchmark.name.clone(),
            tokens.tokens.to_string(),
            format!("{:.3}", tokens.baseline_perplexity),
            format!("{:.3}", tokens.perplexity),
            format!("{:.4}", tokens.kl),
            format!("{:.2}", tokens.kl_max),
            format!("{:.2} %", 100.0 * tokens.top1_agreement),
        ])
    };
    let rows: Vec<Vec<String>> = record.benchmarks.iter().filter_map(row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    output.text("\n")?;
    let base = record.baseline.as_ref().map_or("", |baseline| baseline.form.as_str());
    let headings = [format!("perplexity {base}"), format!("perplexity {}", record.model.form)];
    output
        .table(&["reference answers", "tokens", &headings[0], &headings[1], "KL (nats)", "KL max", "same top 1"], rows)
}

/// What a benchmark prints beside its score.
fn totals(record: &EvaluationRecord, output: &Output) -> Result<(), Failure> {
    for benchmark in record.benchmarks.iter().filter(|benchmark| benchmark.model.totals.len() > 1) {
        output.text("\n")?;
        let base = |i: usize| {
            let totals = benchmark.baseline.as_ref().map(|sat| &sat.totals)?;
            totals.get(i).map(|total| format!("{:.2}", total.value))
        };
        let rows = benchmark.model.totals.iter().enumerate().map(|(i, total)| {
            let mut row = vec![total.name.clone()];
            row.extend(base(i));
            let of = if benchmark.lower_is_better { String::new() } else { format!("of {}", total.of) };
            row.extend([format!("{:.2}", total.value), of]);
            row
        });
        let mut headings = vec![benchmark.name.as_str()];
        headings.extend(record.baseline.as_ref().map(|baseline| baseline.form.as_str()));
        headings.extend([record.model.form.as_str(), ""]);
        output.table(&headings, rows.collect())?;
    }
    Ok(())
}

fn speed(record: &EvaluationRecord, duration: Duration, output: &Output) -> Result<(), Failure> {
    let mut text = String::from("\n");
    let baseline = record.baseline.as_ref().map(|baseline| (baseline, true));
    for (model, is_baseline) in baseline.into_iter().chain([(&record.model, false)]) {
        let sats =
            record.benchmarks.iter().filter_map(|b| if is_baseline { b.baseline.as_ref() } else { Some(&b.model) });
        let (mut questions, mut seconds) = (0, 0.0);
        for (benchmark, sat) in record.benchmarks.iter().zip(sats) {
            questions += benchmark.samples;
            seconds += sat.seconds;
        }
        text += &format!(
            "{} ({}): {:.1} MB, {questions} answers in {seconds:.1} s, {:.2} a second\n",
            model.form,
            model.name,
            model.bytes as f64 / 1e6,
            questions as f64 / f64::max(seconds, 1e-9)
        );
    }
    let skipped: usize = record.benchmarks.iter().map(|benchmark| benchmark.skipped.len()).sum();
    if skipped > 0 {
        text += &format!("{skipped} samples could not be used\n");
    }
    text += &format!("{:.1} s in this run\n", duration.as_secs_f64());
    output.text(&text)
}

fn score(sat: &Sat) -> String {
    sat.totals.first().map_or_else(dash, |total| format!("{:.2}", total.value))
}

fn dash() -> String {
    "-".to_owned()
}

fn interval([low, high]: [f64; 2]) -> String {
    format!("{low:.1} to {high:.1}")
}

fn signed([low, high]: [f64; 2]) -> String {
    format!("{low:+.1} to {high:+.1}")
}

fn difference(paired: &Paired) -> [String; 4] {
    let mark = if paired.mcnemar_p < SIGNIFICANT { "differs" } else { "" };
    let p = if paired.mcnemar_p < 0.001 { "< 0.001".to_owned() } else { format!("{:.3}", paired.mcnemar_p) };
    [format!("{:+.2}", paired.difference), signed(paired.interval), p, mark.to_owned()]
}
