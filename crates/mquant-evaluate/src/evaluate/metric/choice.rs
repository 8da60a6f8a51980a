//! Multiple choice: the letter of the right option, read from the answer by exact matching (`choice_letter`), no judge
//! model. What cannot be read is wrong; [`is_readable`](Metric::is_readable) tells it, so that reports can count it.
//!
//! Three metrics share this file, as VLMEvalKit tells the sets apart by name: `choice`; `choice_open` (MMMU), which makes
//! of a question without options one between its answer and "Other Answers"; `choice_circular` (MMBench, CCBench), where
//! a file asks each question once for each order of the options and all must be right. There rows whose `index` is the
//! same modulo 1,000,000 (or whose `g_index` is) are one question, counted where the row of that very index is there.
//!
//! Totals are percentages (the kit's table has shares of 1), for each `split`: all, each `l2-category`, each category.
//! Where a file has several splits the first total is that of the first of test, validation, val, dev. lmms-eval differs:
//! MMMU and ScienceQA have readers of their own there, and MMBench is judged by a model.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::choice_letter::{REFUSAL, inferred};
use super::groups::{OVERALL, grouped, percent, put};
use super::{Asked, Metric, Total, Unit};
use crate::evaluate::Question;

/// 1 when the right option is named, else 0.
#[derive(Debug)]
pub(in crate::evaluate) struct Choice {
    name: &'static str,
    rows: Rows,
    open: Open,
}

/// What one question is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rows {
    /// Each row.
    Alone,
    /// The rows of equal index modulo [`CIRCLE`].
    Circular,
}

/// What becomes of questions without options.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Open {
    /// Nothing named can be right.
    Wrong,
    /// A choice between the answer and others.
    AsChoice,
}

/// The distance between the indices of one question's rows.
const CIRCLE: i64 = 1_000_000;

/// `choice`.
pub(in crate::evaluate) const CHOICE: Choice = Choice { name: "choice", rows: Rows::Alone, open: Open::Wrong };
/// `choice_open`.
pub(in crate::evaluate) const CHOICE_OPEN: Choice =
    Choice { name: "choice_open", rows: Rows::Alone, open: Open::AsChoice };
/// `choice_circular`.
pub(in crate::evaluate) const CHOICE_CIRCULAR: Choice =
    Choice { name: "choice_circular", rows: Rows::Circular, open: Open::Wrong };

/// What the kit prints for MMBench's abilities.
const ABILITIES: [(&str, &str); 6] = [
    ("coarse_perception", "CP"),
    ("finegrained_perception (instance-level)", "FP-S"),
    ("finegrained_perception (cross-instance)", "FP-C"),
    ("logic_reasoning", "LR"),
    ("relation_reasoning", "RR"),
    ("attribute_reasoning", "AR"),
];

impl Metric for Choice {
    fn name(&self) -> &'static str {
        self.name
    }

    fn score(&self, answer: &str, question: &Question) -> f64 {
        let is_right = self.named(answer, question).is_some_and(|named| self.right(question) == Some(named));
        if is_right { 1.0 } else { 0.0 }
    }

    fn is_readable(&self, answer: &str, question: &Question) -> bool {
        self.named(answer, question).is_some_and(|named| named != REFUSAL)
    }

    fn totals(&self, asked: Asked<'_>, scores: &[f64]) -> Vec<Total> {
        let judged = self.judged(asked, scores);
        let splits = splits(asked);
        let mut totals = Vec::new();
        for split in &splits {
            let of_split = judged.iter().filter(|row| split.is_none_or(|split| row.split == Some(split)));
            let rows: Vec<&Judged> = of_split.collect();
            let named = |name: &str| match split {
                Some(split) if splits.len() > 1 => format!("{name} ({split})"),
                _ => name.to_owned(),
            };
            let all: Vec<f64> = rows.iter().map(|row| row.score).collect();
            put(&mut totals, percent(named(OVERALL), &all));
            let second = grouped(rows.iter().map(|row| (row.second_category, row.score)));
            let first = grouped(rows.iter().map(|row| (row.question.category.as_deref(), row.score)));
            for (name, scores) in second.into_iter().chain(first) {
                let short = ABILITIES.iter().find(|(ability, _)| *ability == name).map_or(name, |(_, short)| short);
                put(&mut totals, percent(named(short), &scores));
            }
        }
        totals
    }

    fn units(&self, asked: Asked<'_>, scores: &[f64]) -> Vec<Unit> {
        let first = splits(asked).first().copied().flatten();
        let mut judged = self.judged(asked, scores);
        judged.retain(|row| first.is_none_or(|split| row.split == Some(split)));
        let part = 100.0 / judged.len().max(1) as f64;
        judged.iter().map(|row| Unit::part(0, part * row.score)).collect()
    }
}

/// A question that was judged.
struct Judged<'a> {
    question: &'a Question,
    split: Option<&'a str>,
    second_category: Option<&'a str>,
    score: f64,
}

impl Choice {
    /// The letter that an answer names.
    fn named(&self, answer: &str, question: &Question) -> Option<char> {
        let is_open = question.options.iter().all(|(letter, _)| *letter != 'A');
        if self.open == Open::Wrong || !is_open {
            return inferred(answer, &question.options);
        }
        let right = question.answers.first()?;
        let others = question.options.iter().filter(|(letter, _)| *letter > 'B').cloned();
        let options = [('A', right.clone()), ('B', "Other Answers".to_owned())].into_iter().chain(others);
        inferred(answer, &options.collect::<Vec<_>>())
    }

    /// The letter of the right option.
    fn right(&self, question: &Question) -> Option<char> {
        let mut letters = question.answers.first()?.chars();
        match (letters.next(), letters.next()) {
            (Some(letter @ 'A'..='Z'), None) => Some(letter),
            _ => (self.open == Open::AsChoice).then_some('A'),
        }
    }

    fn judged<'a>(&self, asked: Asked<'a>, scores: &[f64]) -> Vec<Judged<'a>> {
        let judged = |question: &'a Question, score: f64| Judged {
            question,
            split: asked.field(question, "split"),
            second_category: asked.field(question, "l2-category"),
            score,
        };
        let rows = asked.questions.iter().copied().zip(scores.iter().copied());
        if self.rows == Rows::Alone {
            return rows.map(|(question, score)| judged(question, score)).collect();
        }
        let mut circles = BTreeMap::<Place, (Option<&Question>, f64)>::new();
        for (question, score) in rows {
            let (place, is_main) = Place::of(question, asked);
            let (main, all) = circles.entry(place).or_insert((None, 1.0));
            if is_main {
                *main = Some(question);
            }
            *all = f64::min(*all, score);
        }
        circles.into_values().filter_map(|(main, all)| Some(judged(main?, all))).collect()
    }
}

/// Which question a row of a circular file asks.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Place<'a> {
    Index(i64),
    /// Of rows whose index is no number.
    Name(&'a str),
}

impl<'a> Place<'a> {
    /// The question, and whether the row is the one it is counted by.
    fn of(question: &'a Question, asked: Asked<'a>) -> (Self, bool) {
        let Ok(index) = question.index.parse::<i64>() else { return (Place::Name(&question.index), true) };
        let named = asked.field(question, "g_index").and_then(|name| name.parse().ok());
        let place = named.unwrap_or(index.rem_euclid(CIRCLE));
        (Place::Index(place), place == index)
    }
}

/// The splits of a file, that of the benchmark's score first; one None when it has none.
fn splits(asked: Asked<'_>) -> Vec<Option<&str>> {
    let names: BTreeSet<&str> = asked.fields("split").flatten().collect();
    let mut splits: Vec<Option<&str>> = names.into_iter().map(Some).collect();
    let published = ["dev", "val", "validation", "test"];
    let rank = |split: &Option<&str>| {
        let lower = split.unwrap_or_default().to_lowercase();
        published.iter().rposition(|name| lower.starts_with(name))
    };
    splits.sort_by_key(|split| Reverse(rank(split)));
    if splits.is_empty() { vec![None] } else { splits }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(index: &str, answer: &str, split: &str) -> Question {
        Question {
            index: index.to_owned(),
            answers: vec![answer.to_owned()],
            options: [('A', "one"), ('B', "two")].map(|(l, t)| (l, t.to_owned())).into(),
            fields: vec![split.to_owned()],
            ..Question::default()
        }
    }

    fn totals(metric: &Choice, questions: &[Question], scores: &[f64]) -> Vec<(String, f64)> {
        let columns = ["split".to_owned()].into();
        let asked: Vec<&Question> = questions.iter().collect();
        let asked = Asked { columns: &columns, questions: &asked };
        let totals = metric.totals(asked, scores);
        let units: f64 = metric.units(asked, scores).iter().map(|unit| unit.value).sum();
        assert!((totals[0].value - units).abs() < 1e-9, "{totals:?} {units}");
        totals.into_iter().map(|total| (total.name, total.value)).collect()
    }

    #[test]
    fn open_questions_are_a_choice_where_declared() {
        let open = Question { answers: vec!["24 cm".to_owned()], ..Question::default() };
        assert_eq!([CHOICE_OPEN.score("24 CM.", &open), CHOICE.score("24 cm", &open)], [1.0, 0.0]);
        assert_eq!([CHOICE_OPEN.score("A", &open), CHOICE_OPEN.score("B", &open)], [1.0, 0.0]);
        assert!(!CHOICE_OPEN.is_readable("25", &open) && CHOICE_OPEN.is_readable("B", &open));
        assert_eq!(CHOICE.score("two", &question("1", "B", "")), 1.0);
        assert_eq!(CHOICE.score("two", &question("1", "b", "")), 0.0);
    }

    #[test]
    fn all_orders_of_a_question_must_be_right() {
        let rows = ["1", "2", "1000001", "1000002", "2000001", "1000003", "x"].map(|index| question(index, "A", ""));
        let scores = [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0];
        let expected = 200.0 / 3.0;
        assert_eq!(totals(&CHOICE_CIRCULAR, &rows, &scores), [("Overall".to_owned(), expected)]);
    }

    #[test]
    fn the_published_split_comes_first() {
        let rows = ["dev", "validation", "validation", "other"].map(|split| question("1", "A", split));
        let found = totals(&CHOICE, &rows, &[0.0, 1.0, 0.0, 1.0]);
        let expected = [("Overall (validation)", 50.0), ("Overall (dev)", 0.0), ("Overall (other)", 100.0)];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)));
        let found = totals(&CHOICE, &rows[1..3], &[1.0, 1.0]);
        assert_eq!(found, [("Overall".to_owned(), 100.0)]);
    }
}
