//! TextVQA and VizWiz: how many of the people who were asked gave the same answer.
//!
//! Each person's answer in turn is left out; the score against the others is `min(1, matches / 3)`, and the mean of these
//! is the sample's score. Both sides are normalised first: punctuation, digit words, articles, contractions. A single
//! accepted answer has no others and always scores 0, as published. Source: the published evaluation of VQA v2 as
//! VLMEvalKit runs it.
//!
//! lmms-eval differs: before all else it drops `,` and `?` and sets a space before `'s`, and it takes out full stops that
//! follow a digit.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::punctuation::without_punctuation;
use super::python_text::{mean, strip, words};
use super::{Asked, Metric, Total, groups};
use crate::evaluate::Question;

/// The share of people who agree.
#[derive(Debug)]
pub(in crate::evaluate) struct Vqa;

impl Metric for Vqa {
    fn name(&self) -> &'static str {
        "vqa"
    }

    fn score(&self, answer: &str, question: &Question) -> f64 {
        let answer = normalised(answer);
        let agrees: Vec<bool> = question.answers.iter().map(|expected| normalised(expected) == answer).collect();
        let matches = agrees.iter().filter(|agrees| **agrees).count();
        let against_others = |is_one: &bool| ((matches - usize::from(*is_one)) as f64 / 3.0).min(1.0);
        let scores: Vec<f64> = agrees.iter().map(against_others).collect();
        if scores.is_empty() { 0.0 } else { mean(&scores) }
    }

    fn totals(&self, asked: Asked<'_>, scores: &[f64]) -> Vec<Total> {
        groups::splits_or_categories(asked, scores)
    }
}

/// What is compared.
fn normalised(answer: &str) -> String {
    let flat = answer.replace(['\n', '\t'], " ");
    let plain = without_punctuation(strip(&flat)).to_lowercase();
    let words = words(&plain).map(|word| match DIGITS.iter().find(|(name, _)| *name == word) {
        Some((_, digits)) => digits,
        None => word,
    });
    let kept = words.filter(|word| !ARTICLES.contains(word));
    let whole: Vec<&str> = kept.map(|word| WHOLE.get(word).copied().unwrap_or(word)).collect();
    whole.join(" ")
}

const ARTICLES: [&str; 3] = ["a", "an", "the"];

const DIGITS: [(&str, &str); 12] = [
    ("none", "0"),
    ("zero", "0"),
    ("one", "1"),
    ("two", "2"),
    ("three", "3"),
    ("four", "4"),
    ("five", "5"),
    ("six", "6"),
    ("seven", "7"),
    ("eight", "8"),
    ("nine", "9"),
    ("ten", "10"),
];

/// Contractions; each also stands for itself with any one apostrophe left out.
const CONTRACTIONS: &str = "\
    'ow's'at 'twas ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't \
    he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't \
    needn't not've o'clock oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's \
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've \
    there're there's they'd they'd've they'll they're they've wasn't we'd've we've weren't what'll what're what's what've \
    when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't \
    wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've";

/// From a contraction that lacks an apostrophe to the whole one.
static WHOLE: LazyLock<HashMap<String, &str>> = LazyLock::new(|| {
    let lacking = |whole: &'static str| {
        whole.match_indices('\'').map(move |(at, _)| (format!("{}{}", &whole[..at], &whole[at + 1..]), whole))
    };
    // The one that goes the other way.
    CONTRACTIONS.split(' ').flat_map(lacking).chain([("somebody'd".to_owned(), "somebodyd")]).collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_in_turn_is_left_out() {
        let ten = |right: usize| {
            let answers = (0..10).map(|i| if i < right { "Red." } else { "blue" }.to_owned()).collect();
            Vqa.score("red", &Question { answers, ..Question::default() })
        };
        for (right, expected) in [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)] {
            assert!((ten(right) - expected).abs() < 1e-12, "{right}: {}", ten(right));
        }
        let one = Question { answers: vec!["red".to_owned()], ..Question::default() };
        assert_eq!((Vqa.score("red", &one), Vqa.score("red", &Question::default())), (0.0, 0.0));
    }

    #[test]
    fn spellings_of_one_answer_are_one() {
        for (answer, expected) in [
            ("The cat, a dog", "cat dog"),
            ("Ten o'clock", "10 o'clock"),
            ("oclock DONT\nyall'd've", "o'clock don't y'all'd've"),
            ("1,000.50", "1000.50"),
            ("none-one", "0 1"),
        ] {
            assert_eq!(normalised(answer), expected, "{answer}");
        }
    }
}
