//! The answer is the expected string, outer white space aside.

use super::Metric;

/// 1 when equal, else 0; letter case and inner white space count.
#[derive(Debug)]
pub(super) struct ExactMatch;

impl Metric for ExactMatch {
    fn name(&self) -> &'static str {
        "exact match"
    }

    fn score(&self, answer: &str, expected: &str) -> f64 {
        if answer.trim() == expected.trim() { 1.0 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_outer_white_space_is_forgiven() {
        let score = |answer, expected| ExactMatch.score(answer, expected);
        assert_eq!(score(" a b\n", "a b"), 1.0);
        assert_eq!(score("a  b", "a b"), 0.0);
        assert_eq!(score("A b", "a b"), 0.0);
        assert_eq!(score("a b c", "a b"), 0.0);
    }
}
