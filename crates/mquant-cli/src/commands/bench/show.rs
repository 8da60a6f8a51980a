//! The figures as tables: what was measured, what the CPU can do, what the time went to.

use crate::failure::Failure;
use crate::output::Output;

use super::report::{LimitsReport, PhaseReport, Report};

pub(super) fn print(report: &Report<'_>, output: &Output) -> Result<(), Failure> {
    let Report { model, threads, cpu, prompt_tokens, generate, batch, repeat, .. } = report;
    output.text(&format!(
        "{model}\n{batch} x {prompt_tokens} tokens of text, {generate} to generate; {threads} threads, {cpu}; median of {repeat}\n\n"
    ))?;
    output.table(&["", "measured"], figures(report))?;
    output.text("\n")?;
    let headings: &[&str] = match report.limits {
        Some(_) => &["", "GOPS", "of limit", "in products", "of limit", "GB/s", "of limit"],
        None => &["", "GOPS", "in products", "GB/s"],
    };
    output.table(headings, report.phases.iter().map(|phase| rates(phase, report.limits.is_some())).collect())?;
    if let Some(limits) = &report.limits {
        output.text(&limits_line(limits))?;
    }
    output.text("\n")?;
    let mut headings = vec!["time (ms)"];
    report.phases.iter().for_each(|phase| headings.extend([phase.name, ""]));
    output.table(&headings, times(&report.phases))
}

fn figures(report: &Report<'_>) -> Vec<Vec<String>> {
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
    if let Some(orders) = &report.prefill_by_row_order {
        rows.push(("with picture, original order", rate(orders.original_tokens_per_s)));
        rows.push(("with picture, modality first", rate(orders.modality_first_tokens_per_s)));
    }
    rows.extend(report.decode_tokens_per_s.map(|r| ("decode", rate(r))));
    if report.batch > 1 {
        rows.extend(report.decode_sequence_tokens_per_s.map(|r| ("each of the batch", rate(r))));
    }
    rows.extend(report.peak_rss_bytes.map(|b| ("peak memory", format!("{:.2} GiB", b as f64 / f64::from(1 << 30)))));
    rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect()
}

fn percent(fraction: Option<f64>) -> String {
    fraction.map_or_else(String::new, |fraction| format!("{:.1} %", fraction * 100.0))
}

/// A number with three digits that tell.
fn giga(value: f64) -> String {
    let giga = value / 1e9;
    let decimals = if giga < 10.0 { 2 } else { usize::from(giga < 100.0) };
    format!("{giga:.decimals$}")
}

fn rates(phase: &PhaseReport, with_limits: bool) -> Vec<String> {
    let rates = [
        (phase.ops_per_s, phase.ops_fraction),
        (phase.product_ops_per_s, phase.product_ops_fraction),
        (phase.bytes_per_s, phase.bytes_fraction),
    ];
    let mut cells = vec![format!("{}, {}", phase.name, phase.arithmetic)];
    for (rate, fraction) in rates {
        cells.push(giga(rate));
        cells.extend(with_limits.then(|| percent(fraction)));
    }
    cells
}

fn limits_line(limits: &LimitsReport) -> String {
    let bf16 = limits.bf16_ops_per_s.map_or_else(String::new, |bf16| format!(", bf16 {} GOPS", giga(bf16)));
    let (int8, f32) = (giga(limits.int8_ops_per_s), giga(limits.f32_ops_per_s));
    format!("limits: int8 {int8} GOPS{bf16}, f32 {f32} GOPS, memory {} GB/s\n", giga(limits.read_bytes_per_s))
}

/// Kinds by phases; kinds that took no time anywhere are left out.
fn times(phases: &[PhaseReport]) -> Vec<Vec<String>> {
    let Some(first) = phases.first() else { return Vec::new() };
    let took_time = |kind: &usize| phases.iter().any(|phase| phase.kinds[*kind].total_s > 0.0);
    let mut rows: Vec<Vec<String>> = (0..first.kinds.len())
        .filter(took_time)
        .map(|kind| {
            let cells = phases.iter().flat_map(|phase| {
                let kind = &phase.kinds[kind];
                [format!("{:.2}", kind.total_s * 1e3), percent(Some(kind.fraction))]
            });
            std::iter::once(first.kinds[kind].name.to_owned()).chain(cells).collect()
        })
        .collect();
    let totals = phases.iter().flat_map(|phase| [format!("{:.2}", phase.total_s * 1e3), String::new()]);
    rows.push(std::iter::once("total".to_owned()).chain(totals).collect());
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_tell() {
        assert_eq!([1.2345e9, 12.345e9, 123.45e9, 1234.5e9, 0.0].map(giga), ["1.23", "12.3", "123", "1234", "0.00"]);
        assert_eq!([Some(0.1234), None].map(percent), ["12.3 %", ""]);
    }
}
