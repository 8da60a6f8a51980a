//! Numbers of a report in no more digits than they have.

use std::collections::BTreeMap;

use serde::Serializer;

/// The decimal that an f32 is written as, which is shorter than that of the same number in f64.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().expect("a number as text is a number")
}

/// Writes an f32.
pub(super) fn shortest<S: Serializer>(value: &f32, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(decimal(*value))
}

/// Writes a list.
pub(super) fn shortest_each<S: Serializer>(values: &[f32], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(values.iter().map(|value| decimal(*value)))
}

/// Writes a map.
pub(super) fn shortest_of_each<S: Serializer>(values: &BTreeMap<String, f32>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(values.iter().map(|(key, value)| (key, decimal(*value))))
}

/// The nearest multiple of 1/`steps`.
pub(super) fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_f32_keeps_its_value_in_its_own_digits() {
        for (value, text) in
            [(0.1f32, "0.1"), (1.0 / 3.0, "0.33333334"), (16_777_216.0, "16777216"), (1e-8, "0.00000001")]
        {
            assert_eq!(decimal(value).to_string(), text);
            assert_eq!(decimal(value) as f32, value);
        }
        assert_ne!(f64::from(0.1f32).to_string(), "0.1");
        assert_eq!((rounded(20.126, 100.0), rounded(-0.004, 100.0)), (20.13, 0.0));
    }
}
