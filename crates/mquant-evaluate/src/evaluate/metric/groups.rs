//! Percentages of all samples and of the groups a file sorts them into, as VLMEvalKit prints them.

use std::collections::BTreeMap;

use super::{Asked, Total};

/// The name of the percentage of all samples.
pub(super) const OVERALL: &str = "Overall";

/// A percentage of samples; 0 of none.
pub(super) fn percent(name: impl Into<String>, scores: &[f64]) -> Total {
    let value = 100.0 * scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    Total { name: name.into(), value, of: 100.0 }
}

/// The scores of each group, groups by name; samples without one are left out.
pub(super) fn grouped<'a>(samples: impl Iterator<Item = (Option<&'a str>, f64)>) -> BTreeMap<&'a str, Vec<f64>> {
    let mut groups = BTreeMap::<&str, Vec<f64>>::new();
    for (group, score) in samples {
        if let Some(group) = group {
            groups.entry(group).or_default().push(score);
        }
    }
    groups
}

/// Adds a total, or sets the one of that name; the first stays what it is.
pub(super) fn put(totals: &mut Vec<Total>, total: Total) {
    match totals.iter().position(|other| other.name == total.name) {
        Some(0) => {}
        Some(at) => totals[at] = total,
        None => totals.push(total),
    }
}

/// All samples, then each `split`, or where the file has none each category.
pub(super) fn splits_or_categories(asked: Asked<'_>, scores: &[f64]) -> Vec<Total> {
    let mut groups = grouped(asked.fields("split").zip(scores.iter().copied()));
    if groups.is_empty() {
        groups = grouped(asked.categories().zip(scores.iter().copied()));
    }
    let mut totals = vec![percent(OVERALL, scores)];
    groups.into_iter().for_each(|(name, scores)| put(&mut totals, percent(name, &scores)));
    totals
}

/// All samples, then each category, then each `l2-category`.
pub(super) fn categories_of_both_levels(asked: Asked<'_>, scores: &[f64]) -> Vec<Total> {
    let mut totals = vec![percent(OVERALL, scores)];
    let first = grouped(asked.categories().zip(scores.iter().copied()));
    let second = grouped(asked.fields("l2-category").zip(scores.iter().copied()));
    first.into_iter().chain(second).for_each(|(name, scores)| put(&mut totals, percent(name, &scores)));
    totals
}
