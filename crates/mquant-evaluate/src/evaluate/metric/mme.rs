//! MME: yes-or-no questions, two about each picture.
//!
//! A category's score is the percentage of right answers plus the percentage of pictures with both right; ten categories
//! are perception (2000), four cognition (800), which VLMEvalKit prints as `reasoning`. The first total is both together,
//! the number tables give. Source: Fu et al., "MME", as VLMEvalKit computes it. Answers are read as by
//! [`yes_no`](super::yes_no), where lmms-eval differs.
//!
//! The same picture means the same category and `image_path`, or in files that lack that column the same `question_id`
//! (lmms-eval). Where the kit stops, this goes on: a category nobody was asked of counts nothing, and a picture with one
//! question counts for right answers only.

use std::collections::BTreeMap;

use super::{Asked, Metric, Total, Unit, yes_no};
use crate::evaluate::Question;

/// Right answers, and pictures about which both are right.
#[derive(Debug)]
pub(in crate::evaluate) struct Mme;

/// The two sums, and the categories that are added up to them.
const SUMS: [(&str, &[&str]); 2] = [
    (
        "perception",
        &["OCR", "artwork", "celebrity", "color", "count", "existence", "landmark", "position", "posters", "scene"],
    ),
    ("cognition", &["code_reasoning", "commonsense_reasoning", "numerical_calculation", "text_translation"]),
];

/// What a category can reach.
const MOST: f64 = 200.0;

impl Metric for Mme {
    fn name(&self) -> &'static str {
        "mme"
    }

    fn score(&self, answer: &str, question: &Question) -> f64 {
        yes_no::score(answer, question)
    }

    fn is_readable(&self, answer: &str, _: &Question) -> bool {
        yes_no::said(answer).is_some()
    }

    fn totals(&self, asked: Asked<'_>, scores: &[f64]) -> Vec<Total> {
        let reached: BTreeMap<&str, f64> = categories(asked, scores)
            .into_iter()
            .map(|(name, pictures)| (name, parts(&pictures).iter().sum()))
            .collect();
        let mut totals = vec![Total { name: "Overall".to_owned(), value: 0.0, of: 0.0 }];
        for (name, categories) in SUMS {
            let there: Vec<f64> = categories.iter().filter_map(|category| reached.get(category).copied()).collect();
            let sum = Total { name: name.to_owned(), value: there.iter().sum(), of: MOST * there.len() as f64 };
            totals[0].value += sum.value;
            totals[0].of += sum.of;
            totals.push(sum);
        }
        totals.extend(reached.into_iter().map(|(name, value)| Total { name: name.to_owned(), value, of: MOST }));
        totals
    }

    fn units(&self, asked: Asked<'_>, scores: &[f64]) -> Vec<Unit> {
        let is_summed = |name: &str| SUMS.iter().any(|(_, categories)| categories.contains(&name));
        let summed = categories(asked, scores).into_iter().filter(|(name, _)| is_summed(name)).enumerate();
        summed
            .flat_map(|(stratum, (_, pictures))| {
                parts(&pictures).into_iter().map(move |value| Unit::part(stratum, value))
            })
            .collect()
    }
}

/// Of each category its pictures, and of each the scores of its questions.
fn categories<'a>(asked: Asked<'a>, scores: &[f64]) -> BTreeMap<&'a str, BTreeMap<&'a str, Vec<f64>>> {
    let mut categories = BTreeMap::<_, BTreeMap<_, Vec<f64>>>::new();
    for (question, score) in asked.questions.iter().zip(scores) {
        let named = ["image_path", "question_id"].iter().find_map(|column| asked.field(question, column));
        let picture = named.unwrap_or(&question.index);
        let category = question.category.as_deref().unwrap_or_default();
        categories.entry(category).or_default().entry(picture).or_default().push(*score);
    }
    categories
}

/// What each picture adds to its category's score.
fn parts(pictures: &BTreeMap<&str, Vec<f64>>) -> Vec<f64> {
    let questions = pictures.values().map(Vec::len).sum::<usize>().max(1) as f64;
    let pairs = pictures.values().filter(|scores| scores.len() > 1).count().max(1) as f64;
    let part = |scores: &Vec<f64>| {
        let both = match scores.as_slice() {
            [first, second, ..] => first * second,
            _ => 0.0,
        };
        100.0 * (scores.iter().sum::<f64>() / questions + both / pairs)
    };
    pictures.values().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_count_twice() {
        let columns = ["image_path".to_owned()].into();
        let question = |category: &str, picture: &str| Question {
            category: Some(category.to_owned()),
            fields: vec![picture.to_owned()],
            ..Question::default()
        };
        let questions = [
            ("OCR", "a"),
            ("count", "a"),
            ("OCR", "b"),
            ("OCR", "a"),
            ("OCR", "b"),
            ("code_reasoning", "c"),
            ("x", "d"),
        ]
        .map(|(category, picture)| question(category, picture));
        let asked: Vec<&Question> = questions.iter().collect();
        let asked = Asked { columns: &columns, questions: &asked };
        let scores = [1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0];
        let totals = Mme.totals(asked, &scores);
        let found: Vec<(&str, f64, f64)> = totals.iter().map(|t| (t.name.as_str(), t.value, t.of)).collect();
        let expected = [
            ("Overall", 325.0, 600.0),
            ("perception", 225.0, 400.0),
            ("cognition", 100.0, 200.0),
            ("OCR", 125.0, 200.0),
            ("code_reasoning", 100.0, 200.0),
            ("count", 100.0, 200.0),
            ("x", 100.0, 200.0),
        ];
        assert_eq!(found, expected);
        let units = Mme.units(asked, &scores);
        let found: Vec<(usize, f64)> = units.iter().map(|unit| (unit.stratum, unit.value)).collect();
        assert_eq!(found, [(0, 100.0), (0, 25.0), (1, 100.0), (2, 100.0)]);
    }
}
