//! What a benchmark tells besides its score: categories, groups, splits.

use serde::Serialize;

use super::examples::Side;
use super::numbers::{fixed, number, score_digits, signed};
use super::scores::{Cell, Judged, Row, same};
use super::shown_text::visible_line;
use crate::evaluate::{BenchmarkRecord, Sat, Total};

/// The parts of a benchmark.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Parts {
    pub(super) benchmark: String,
    pub(super) rows: Vec<Row>,
}

/// The parts of a benchmark, a row for each name; None if it has none.
pub(super) fn parts(benchmark: &BenchmarkRecord, judged: &[Judged<'_>]) -> Option<Parts> {
    let sats = || judged.iter().flat_map(|column| &column.of).filter(|(b, ..)| same(b, benchmark));
    let mut names: Vec<&str> = Vec::new();
    for total in sats().flat_map(|(_, sat, _)| sat.totals.iter().skip(1)) {
        if !names.contains(&total.name.as_str()) {
            names.push(&total.name);
        }
    }
    let rows: Vec<Row> = names.into_iter().map(|name| row(name, benchmark, judged)).collect();
    (!rows.is_empty()).then(|| Parts { benchmark: visible_line(&benchmark.name), rows })
}

fn row(name: &str, benchmark: &BenchmarkRecord, judged: &[Judged<'_>]) -> Row {
    let named = |sat: &Sat| sat.totals.iter().skip(1).find(|total| total.name == name).cloned();
    let mut of = None;
    let cells = judged.iter().map(|column| {
        let (own, sat, _) = column.of.iter().find(|(b, ..)| same(b, benchmark))?;
        let total = named(sat)?;
        of.get_or_insert(total.of);
        let digits = score_digits(total.of);
        let compared = own.baseline.as_ref().filter(|_| column.side == Side::Model).and_then(named);
        let difference = compared.map(|Total { value, .. }| signed(total.value - value, digits));
        Some(Cell { value: fixed(total.value, digits), more: difference, ..Cell::default() })
    });
    let cells = cells.collect();
    let more = match of {
        Some(_) if benchmark.lower_is_better => "lower is better".to_owned(),
        Some(of) => format!("of {}", number(of)),
        None => String::new(),
    };
    Row { name: visible_line(name), more, cells }
}
