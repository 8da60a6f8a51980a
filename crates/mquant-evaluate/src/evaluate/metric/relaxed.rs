//! ChartQA: numbers within 5 % of an accepted one, other answers word for word.
//!
//! A number ending in `%` is divided by 100. Letter case does not count; an accepted 0 is compared as text. Source: Masry
//! et al., "ChartQA", section 5.1, as VLMEvalKit computes it. lmms-eval differs: it keeps outer white space of the answer,
//! which tells only where the answer is no number or ends in `%`.

use super::python_text::{float, strip};
use super::{Asked, Metric, Total, groups};
use crate::evaluate::Question;

/// The share of the accepted number by which an answer may be off.
const TOLERANCE: f64 = 0.05;

/// 1 when close enough to any accepted answer, else 0.
#[derive(Debug)]
pub(in crate::evaluate) struct Relaxed;

impl Metric for Relaxed {
    fn name(&self) -> &'static str {
        "relaxed"
    }

    fn score(&self, answer: &str, question: &Question) -> f64 {
        let answer = strip(answer);
        let is_right = question.answers.iter().any(|expected| is_close(answer, expected));
        if is_right { 1.0 } else { 0.0 }
    }

    fn totals(&self, asked: Asked<'_>, scores: &[f64]) -> Vec<Total> {
        groups::splits_or_categories(asked, scores)
    }
}

fn is_close(answer: &str, expected: &str) -> bool {
    match (number(answer), number(expected)) {
        (Some(answer), Some(expected)) if expected != 0.0 => (answer - expected).abs() / expected.abs() <= TOLERANCE,
        _ => answer.to_lowercase() == expected.to_lowercase(),
    }
}

/// A text that is a number, perhaps of percent, and nothing else.
fn number(text: &str) -> Option<f64> {
    match text.strip_suffix('%') {
        Some(percent) => float(percent.trim_end_matches('%')).map(|percent| percent / 100.0),
        None => float(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_off_and_words_may_not() {
        let score = |answer, expected: &str| {
            Relaxed.score(answer, &Question { answers: vec![expected.to_owned()], ..Question::default() })
        };
        for (answer, expected) in [
            ("10.5", "10"),
            ("9.5", "10"),
            (" 1e1\n", "10"),
            ("50%", "0.5"),
            ("YES", "yes"),
            ("0", "0"),
            ("5 %%", "0.05"),
        ] {
            assert_eq!(score(answer, expected), 1.0, "{answer} for {expected}");
        }
        for (answer, expected) in [
            ("10.6", "10"),
            ("50", "50%"),
            ("0.0", "0"),
            ("nan", "nan"),
            ("inf", "inf"),
            ("1,000", "1000"),
            ("yes.", "yes"),
        ] {
            assert_eq!(score(answer, expected), 0.0, "{answer} for {expected}");
        }
        assert_eq!(Relaxed.score("a", &Question::default()), 0.0);
    }
}
