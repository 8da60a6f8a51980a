//! The tables in Markdown: means of the seeds, and how far apart they are.

use std::fmt::Write;

use super::exam::Scores;
use super::{MODELS, Measured};

/// A table for each model.
pub(super) fn markdown(measured: &[Measured]) -> String {
    let mut text = String::new();
    for model in MODELS {
        let rows: Vec<&Measured> = measured.iter().filter(|m| m.model == model).collect();
        let Some(first) = rows.first().and_then(|row| row.seeds.first()) else { continue };
        // Writing to a string does not fail.
        let _ = write!(text, "### `{model}`\n\n| |");
        for (name, _) in &first.0 {
            let _ = write!(text, " {} |", name.trim_start_matches("Demo"));
        }
        let _ = write!(text, " mean | least, most |\n|---|{}\n", "---|".repeat(first.0.len() + 2));
        for row in rows {
            let _ = write!(text, "| {} |", row.row);
            for i in 0..first.0.len() {
                let _ = write!(text, " {:.1} |", mean(row.seeds.iter().filter_map(|s| Some(s.0.get(i)?.1))));
            }
            let means: Vec<f64> = row.seeds.iter().map(Scores::mean).collect();
            let least = means.iter().copied().fold(f64::INFINITY, f64::min);
            let most = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let _ = writeln!(text, " {:.2} | {least:.2}, {most:.2} |", mean(means.iter().copied()));
        }
        text.push('\n');
    }
    text
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}
