//! DocVQA and InfoVQA: average normalised Levenshtein similarity.
//!
//! `1 - distance / length` of the closest accepted answer, 0 below one half. The distance is between the lower-case texts
//! with single spaces; the length is that of the longer text in upper case before spaces are taken out. Source: Biten et
//! al., "Scene Text Visual Question Answering", equation 1, as VLMEvalKit and lmms-eval compute it.

use super::edits::levenshtein;
use super::python_text::{length, words};
use super::{Asked, Metric, Total, groups};
use crate::evaluate::Question;

/// Scores below are 0.
const THRESHOLD: f64 = 0.5;

/// How close the answer is to the closest accepted one.
#[derive(Debug)]
pub(in crate::evaluate) struct Anls;

impl Metric for Anls {
    fn name(&self) -> &'static str {
        "anls"
    }

    fn score(&self, answer: &str, question: &Question) -> f64 {
        let distances = question.answers.iter().map(|expected| relative_distance(expected, answer));
        let similarity = 1.0 - distances.reduce(f64::min).unwrap_or(1.0);
        if similarity < THRESHOLD { 0.0 } else { similarity }
    }

    fn totals(&self, asked: Asked<'_>, scores: &[f64]) -> Vec<Total> {
        groups::splits_or_categories(asked, scores)
    }
}

/// From 0, equal, to 1; 0 of two empty texts.
fn relative_distance(expected: &str, answer: &str) -> f64 {
    let longer = length(&expected.to_uppercase()).max(length(&answer.to_uppercase()));
    if longer == 0 {
        return 0.0;
    }
    let flat = |text: &str| words(&text.to_lowercase()).collect::<Vec<_>>().join(" ").chars().collect::<Vec<char>>();
    levenshtein(&flat(expected), &flat(answer)) as f64 / longer as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_answer_counts_from_one_half_on() {
        let score = |answer, expected: &[&str]| {
            let answers = expected.iter().map(|e| (*e).to_owned()).collect();
            Anls.score(answer, &Question { answers, ..Question::default() })
        };
        assert_eq!(score("Kitten", &["sitting", " kitten "]), 1.0);
        assert_eq!(score("kitten", &["sitting"]), 1.0 - 3.0 / 7.0);
        assert_eq!(score("abcd", &["abxy"]), 0.5);
        assert_eq!(score("abc", &["axy"]), 0.0);
        assert_eq!(score("a\n b", &["a b  "]), 1.0);
        assert_eq!(score("", &[""]), 1.0);
        assert_eq!(score("", &["a"]), 0.0);
        assert_eq!(score("a", &[]), 0.0);
    }
}
