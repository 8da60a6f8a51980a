//! The answer is an expected string, outer white space aside.

use super::Metric;
use crate::evaluate::Question;

/// 1 when equal, else 0; letter case and inner white space count.
#[derive(Debug)]
pub(in crate::evaluate) struct ExactMatch;

impl Metric for ExactMatch {
    fn name(&self) -> &'static str {
        "exact_match"
    }

    fn score(&self, answer: &str, question: &Question) -> f64 {
        let is_right = question.answers.iter().any(|expected| answer.trim() == expected.trim());
        if is_right { 1.0 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_outer_white_space_is_forgiven() {
        let score = |answer, expected: &[&str]| {
            let answers = expected.iter().map(|e| (*e).to_owned()).collect();
            ExactMatch.score(answer, &Question { answers, ..Question::default() })
        };
        assert_eq!(score(" a b\n", &["a b"]), 1.0);
        assert_eq!(score("a  b", &["a b"]), 0.0);
        assert_eq!(score("A b", &["a b"]), 0.0);
        assert_eq!(score("a b c", &["a b"]), 0.0);
        assert_eq!(score("c", &["a b", "c"]), 1.0);
        assert_eq!(score("", &[]), 0.0);
    }
}
