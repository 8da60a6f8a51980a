//! Word error rate, as speech recognition is judged: words that must be inserted, deleted or replaced to make the transcript
//! of the answer, by the words of the transcript, over all samples together; in percent, and more than 100 where the model says
//! more than there is. Lower is better.
//!
//! Answer and transcript are compared as Whisper's [`english`] has them, and one transcript counts, the first. A sample's own
//! score is 1 less its rate, from which its edits follow. An answer is right where it has no error.
//! lmms-eval takes out what this leaves of punctuation (the point of `3.5`) as well.

use std::collections::BTreeMap;

use super::edits::levenshtein;
use super::groups::{OVERALL, put};
use super::{Asked, Metric, Total, Unit, english};
use crate::evaluate::Question;
use crate::evaluate::statistics::rate;

/// 1 less the errors by the words of the transcript.
#[derive(Debug)]
pub(in crate::evaluate) struct Wer;

impl Metric for Wer {
    fn name(&self) -> &'static str {
        "wer"
    }

    fn score(&self, answer: &str, question: &Question) -> f64 {
        let (heard, said) = (english::normalised(transcript(question)), english::normalised(answer));
        let [heard, said] = [&heard, &said].map(|text| text.split_whitespace().collect::<Vec<_>>());
        1.0 - levenshtein(&heard, &said) as f64 / divisor(heard.len())
    }

    fn is_right(&self, score: f64) -> bool {
        score >= 1.0
    }

    fn lower_is_better(&self) -> bool {
        true
    }

    fn totals(&self, asked: Asked<'_>, scores: &[f64]) -> Vec<Total> {
        let units = self.units(asked, scores);
        let of = |name: &str, units: &mut dyn Iterator<Item = &Unit>| {
            let (edits, words) =
                units.fold((0.0, 0.0), |(edits, words), unit| (edits + unit.value, words + unit.per.unwrap_or(0.0)));
            Total { name: name.to_owned(), value: rate(edits, words), of: 100.0 }
        };
        let mut totals = vec![of(OVERALL, &mut units.iter())];
        let mut groups = BTreeMap::<&str, Vec<&Unit>>::new();
        for (category, unit) in asked.categories().zip(&units) {
            category.into_iter().for_each(|category| groups.entry(category).or_default().push(unit));
        }
        groups.into_iter().for_each(|(name, units)| put(&mut totals, of(name, &mut units.into_iter())));
        totals
    }

    fn units(&self, asked: Asked<'_>, scores: &[f64]) -> Vec<Unit> {
        let unit = |(question, score): (&&Question, &f64)| {
            let words = english::normalised(transcript(question)).split_whitespace().count();
            Unit { stratum: 0, value: ((1.0 - score) * divisor(words)).round(), per: Some(words as f64) }
        };
        asked.questions.iter().zip(scores).map(unit).collect()
    }

    fn reference<'q>(&self, question: &'q Question) -> Option<&'q str> {
        question.answers.first().map(String::as_str)
    }
}

fn transcript(question: &Question) -> &str {
    question.answers.first().map_or("", String::as_str)
}

/// Words that a sample's edits are divided by: of silence, where every word is an error, one.
fn divisor(words: usize) -> f64 {
    words.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(transcript: &str, category: &str) -> Question {
        Question { answers: vec![transcript.to_owned()], category: Some(category.to_owned()), ..Question::default() }
    }

    #[test]
    fn errors_are_those_of_all_words_together() {
        let rows = [
            ("MR QUILTER IS THE APOSTLE OF THE MIDDLE CLASSES", "Mister Quilter is the apostle of middle class.", "a"),
            ("twenty one colours", "21 colors", "b"),
            ("yes", "no no no", "b"),
            ("", "uh", "c"),
            ("um", "what", "c"),
        ];
        let questions = rows.map(|(transcript, _, category)| question(transcript, category));
        let scores: Vec<f64> = rows.iter().zip(&questions).map(|((_, answer, _), q)| Wer.score(answer, q)).collect();
        assert_eq!(scores, [1.0 - 2.0 / 9.0, 1.0, -2.0, 1.0, 0.0]);
        assert!(Wer.is_right(scores[1]) && !Wer.is_right(scores[0]));
        let asked: Vec<&Question> = questions.iter().collect();
        let asked = Asked { columns: &Vec::new().into(), questions: &asked };
        let units: Vec<(f64, Option<f64>)> =
            Wer.units(asked, &scores).into_iter().map(|unit| (unit.value, unit.per)).collect();
        assert_eq!(units, [(2.0, Some(9.0)), (0.0, Some(2.0)), (3.0, Some(1.0)), (0.0, Some(0.0)), (1.0, Some(0.0))]);
        let totals = Wer.totals(asked, &scores);
        let found: Vec<(&str, f64)> = totals.iter().map(|total| (total.name.as_str(), total.value)).collect();
        assert_eq!(found, [("Overall", 50.0), ("a", 200.0 / 9.0), ("b", 100.0), ("c", 100.0)]);
        assert_eq!(totals[0].percent(Wer.lower_is_better()), 50.0);
        let babble = Total { name: String::new(), value: 350.0, of: 100.0 };
        assert_eq!(babble.percent(true), 0.0);
        assert_eq!(Wer.totals(Asked { columns: asked.columns, questions: &[] }, &[])[0].value, 0.0);
    }
}
