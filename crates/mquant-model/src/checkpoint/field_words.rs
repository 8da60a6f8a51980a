//! What a field holds and what it may hold, in the words of an error message.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::json;
use crate::excerpt::quoted;

/// The types a whole number is read as.
pub(crate) trait Whole: Copy + PartialOrd + Display + TryFrom<u64> {
    /// The largest value, which stands for no limit.
    const MAX: Self;
}

impl Whole for usize {
    const MAX: Self = usize::MAX;
}

impl Whole for u64 {
    const MAX: Self = u64::MAX;
}

/// Whether the number is kept as a float although it could be whole: `3.0`, but not `1e30`, which no integer type holds.
pub(crate) fn is_written_with_fraction(value: &Value) -> bool {
    value.as_f64().is_some_and(|n| value.is_f64() && n > i64::MIN as f64 && n < u64::MAX as f64)
}

/// What a field holds.
pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) | Value::Null => json::kind(value).to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => format!("the string {}", quoted(text)),
    }
}

/// A range of whole numbers.
pub(crate) fn span<N: Whole>(range: &RangeInclusive<N>) -> String {
    match (*range.start(), *range.end()) {
        (low, high) if low == high => low.to_string(),
        (low, high) if high == N::MAX => format!("{low} or more"),
        (low, high) => format!("{low} to {high}"),
    }
}

/// What a whole number must be.
pub(crate) fn whole<N: Whole>(range: &RangeInclusive<N>) -> String {
    format!("a whole number, {}", span(range))
}

/// What a number must be.
pub(crate) fn number(range: &RangeInclusive<f64>) -> String {
    format!("a number, {} to {}", range.start(), range.end())
}

/// The names that are known.
pub(crate) fn one_of<T>(known: &[(&str, T)]) -> String {
    let names: Vec<String> = known.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    names.join(" or ")
}
