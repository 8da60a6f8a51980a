//! Questions to be answered by yes or no.
//!
//! An answer says yes when the word `yes` is in it and `no` is not, and the other way round; otherwise nothing can be
//! read from it and it is wrong. Letter case does not count, of the accepted answer either: published files have `Yes`
//! and `No`. Source: VLMEvalKit. lmms-eval differs: it looks at the first four characters only, `yes` before `no`.

use super::punctuation::without_punctuation;
use super::python_text::{strip, words};
use super::{Asked, Metric, Total, groups};
use crate::evaluate::Question;

/// 1 when the accepted of the two is said, else 0.
#[derive(Debug)]
pub(in crate::evaluate) struct YesNo;

impl Metric for YesNo {
    fn name(&self) -> &'static str {
        "yes_no"
    }

    fn score(&self, answer: &str, question: &Question) -> f64 {
        score(answer, question)
    }

    fn is_readable(&self, answer: &str, _: &Question) -> bool {
        said(answer).is_some()
    }

    fn totals(&self, asked: Asked<'_>, scores: &[f64]) -> Vec<Total> {
        groups::categories_of_both_levels(asked, scores)
    }
}

/// 1 when the accepted of the two is said, else 0.
pub(super) fn score(answer: &str, question: &Question) -> f64 {
    let said = said(answer);
    let is_said = |expected: &String| said.is_some_and(|said| strip(expected).eq_ignore_ascii_case(said));
    if question.answers.iter().any(is_said) { 1.0 } else { 0.0 }
}

/// `yes`, `no`, or nothing that can be read.
pub(super) fn said(answer: &str) -> Option<&'static str> {
    let plain = without_punctuation(&answer.to_lowercase());
    let has = |wanted: &str| words(&plain).any(|word| word == wanted);
    match (has("yes"), has("no")) {
        (true, false) => Some("yes"),
        (false, true) => Some("no"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_two_words_must_stand_alone() {
        for (answer, expected) in [
            ("Yes.", Some("yes")),
            ("NO, it is not", Some("no")),
            ("yes and no", None),
            ("yesterday", None),
            ("know", None),
            ("\"no\"/never", Some("no")),
            ("", None),
        ] {
            assert_eq!(said(answer), expected, "{answer}");
        }
        let question = Question { answers: vec!["No".to_owned()], ..Question::default() };
        assert_eq!([YesNo.score("no!", &question), YesNo.score("yes", &question)], [1.0, 0.0]);
        assert!(!YesNo.is_readable("yes no", &question));
    }
}
