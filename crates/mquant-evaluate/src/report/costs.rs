//! Which sites cost the accuracy, and what would mend it.

use std::fmt::Write;

use serde::Serialize;

use super::BlameRecord;
use super::numbers::{count, fixed, number, percent, size};
use super::shown_text::{visible, visible_line};
use crate::evaluate::{Blame, GroupCost};
use mquant_quantize::pipeline::Restored;

/// Lowest share that a bar is drawn for; less is cut off.
const MIN_SHARE: f64 = -1.0;

/// The section.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Costs {
    pub(super) model: String,
    pub(super) sentences: Vec<String>,
    pub(super) tables: Vec<CostTable>,
    /// What is tried on the costliest kind, with the model as it is first and floats last.
    pub(super) remedies: Vec<RemedyRow>,
    /// The group they are tried on.
    pub(super) mended: String,
    /// A step in TOML.
    pub(super) advice: Option<String>,
    /// A recipe in TOML.
    pub(super) recipe: Option<String>,
}

/// Groups of one sort.
#[derive(Clone, Debug, Serialize)]
pub(super) struct CostTable {
    pub(super) name: String,
    pub(super) rows: Vec<CostRow>,
}

/// What a group costs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct CostRow {
    pub(super) pattern: String,
    pub(super) sites: String,
    pub(super) share: String,
    pub(super) bar: Option<String>,
    pub(super) kl: String,
    pub(super) top1: String,
}

/// What a change brings.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RemedyRow {
    pub(super) change: String,
    pub(super) kl: String,
    /// Part of the divergence that goes away.
    pub(super) share: String,
    /// What the model grows by.
    pub(super) bytes: String,
}

/// The section of one evaluation.
pub(super) fn costs(record: &BlameRecord) -> Costs {
    let blame = &record.blame;
    let ends = ends(blame);
    let table = |name: String, costs: &[GroupCost]| {
        let rows = costs.iter().map(|cost| CostRow {
            pattern: visible_line(&cost.pattern),
            sites: count(cost.sites as u64),
            share: part(cost.share),
            bar: cost.share.is_finite().then(|| bar(cost.share, ends)),
            kl: number(cost.kl),
            top1: percent(cost.top1_agreement),
        });
        CostTable { name, rows: rows.collect() }
    };
    let worst = blame.kinds.first();
    let mended = blame.remedies.first().map(|remedy| &remedy.pattern).or(worst.map(|cost| &cost.pattern));
    let mended = mended.map(|pattern| visible_line(pattern)).unwrap_or_default();
    let mut tables = vec![
        table("Towers".to_owned(), &blame.towers),
        table("Kinds of sites".to_owned(), &blame.kinds),
        table(
            format!("Blocks of {}", worst.map(|cost| visible_line(&cost.pattern)).unwrap_or_default()),
            &blame.blocks,
        ),
    ];
    tables.retain(|table| !table.rows.is_empty());
    Costs {
        model: visible_line(&record.model),
        sentences: sentences(blame),
        tables,
        remedies: remedies(blame),
        mended,
        advice: blame.advice.as_deref().map(visible),
        recipe: blame.recipe.as_deref().map(visible),
    }
}

fn sentences(blame: &Blame) -> Vec<String> {
    let mut sentences = vec![format!(
        "Over {} tokens of {} reference answers the model is {} nats a token from the float model; at {} of them both find the same token most likely.",
        count(blame.tokens as u64),
        count(blame.samples as u64),
        number(blame.kl),
        percent(blame.top1_agreement)
    )];
    if let Some(worst) = blame.kinds.first() {
        let pattern = visible_line(&worst.pattern);
        sentences.push(if worst.share > 0.0 {
            format!(
                "The costliest kind of sites is {pattern}: with its floats, {} of that distance goes away.",
                part(worst.share)
            )
        } else {
            "No kind of sites brings the model nearer to the float model on its own.".to_owned()
        });
    }
    sentences
}

fn remedies(blame: &Blame) -> Vec<RemedyRow> {
    if blame.remedies.is_empty() {
        return Vec::new();
    }
    let row = |change: &str, kl: f64, bytes: &str| RemedyRow {
        change: change.to_owned(),
        kl: number(kl),
        share: if blame.kl > 0.0 { part((blame.kl - kl) / blame.kl) } else { "-".to_owned() },
        bytes: bytes.to_owned(),
    };
    let mut rows = vec![RemedyRow { share: String::new(), ..row("as it is", blame.kl, "") }];
    rows.extend(blame.remedies.iter().map(|remedy| {
        let bytes = if remedy.bytes == 0 { "nothing".to_owned() } else { size(remedy.bytes) };
        row(&remedy.change.to_string(), remedy.kl, &bytes)
    }));
    let pattern = &blame.remedies[0].pattern;
    let floats = blame.kinds.iter().find(|cost| cost.pattern == *pattern);
    rows.extend(floats.map(|cost| row(&Restored::Float.to_string(), cost.kl, "-")));
    rows
}

/// A share that may be negative, in percent.
fn part(share: f64) -> String {
    fixed(100.0 * share, 1) + " %"
}

/// The shares at both ends of all bars.
fn ends(blame: &Blame) -> [f64; 2] {
    let shares = [&blame.towers, &blame.kinds, &blame.blocks].into_iter().flatten().map(|cost| cost.share);
    let shares = shares.filter(|share| share.is_finite());
    let [low, high] = shares.fold([0.0f64, 0.0f64], |[low, high], share| [low.min(share), high.max(share)]);
    [low.max(MIN_SHARE), if high > 0.0 { high.min(1.0) } else { 1.0 }]
}

/// From nothing to a share, to the left if it is negative.
fn bar(share: f64, [low, high]: [f64; 2]) -> String {
    let x = |v: f64| 2.0 + 116.0 * ((v - low) / (high - low)).clamp(0.0, 1.0);
    let (zero, end) = (x(0.0), x(share));
    let class = if share < 0.0 { "gain" } else { "cost" };
    let mut svg = String::from("<svg class=\"bar\" viewBox=\"0 0 120 14\" aria-hidden=\"true\">");
    // Writing to a string does not fail.
    let _ = write!(
        svg,
        "<rect class=\"{class}\" x=\"{:.1}\" y=\"3\" width=\"{:.1}\" height=\"8\"/>",
        zero.min(end),
        (zero - end).abs().max(0.5)
    );
    let _ = write!(svg, "<path class=\"zero\" d=\"M{zero:.1} 0v14\"/></svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_run_from_nothing_to_their_share() {
        // 116 wide from −0.5 to 1: nothing is at 2 + 116/3.
        let zero = 2.0 + 116.0 / 3.0;
        let right = bar(0.5, [-0.5, 1.0]);
        assert!(
            right.contains(&format!("class=\"cost\" x=\"{zero:.1}\" y=\"3\" width=\"{:.1}\"", 116.0 / 3.0)),
            "{right}"
        );
        let left = bar(-0.25, [-0.5, 1.0]);
        let (from, width) = (2.0 + 116.0 / 6.0, 116.0 / 6.0);
        assert!(left.contains(&format!("class=\"gain\" x=\"{from:.1}\" y=\"3\" width=\"{width:.1}\"")), "{left}");
        // What is further than an end is cut off there.
        assert!(bar(-9.0, [-1.0, 1.0]).contains("x=\"2.0\" y=\"3\" width=\"58.0\""));
    }
}
