//! OCRBench: an accepted answer occurs in what was said.
//!
//! Letter case does not count and line breaks are spaces; of handwritten formulas letter case counts and spaces do not.
//! Every question is one point. Source: Liu et al., "OCRBench", as VLMEvalKit computes it. lmms-eval differs: it knows
//! formulas by the data set HME100k instead of the category, folds full-width ASCII, and prints a share of 1000.

use super::python_text::strip;
use super::{Asked, Metric, Total, Unit};
use crate::evaluate::Question;

/// 1 when an accepted answer is contained, else 0.
#[derive(Debug)]
pub(in crate::evaluate) struct OcrBench;

const FORMULAS: &str = "Handwritten Mathematical Expression Recognition";

/// What is printed, and the categories counted to it.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Text Recognition",
        &[
            "Regular Text Recognition",
            "Irregular Text Recognition",
            "Artistic Text Recognition",
            "Handwriting Recognition",
            "Digit String Recognition",
            "Non-Semantic Text Recognition",
        ],
    ),
    ("Scene Text-centric VQA", &["Scene Text-centric VQA"]),
    ("Doc-oriented VQA", &["Doc-oriented VQA"]),
    ("Key Information Extraction", &["Key Information Extraction"]),
    (FORMULAS, &[FORMULAS]),
];

impl Metric for OcrBench {
    fn name(&self) -> &'static str {
        "ocrbench"
    }

    fn score(&self, answer: &str, question: &Question) -> f64 {
        let is_formula = question.category.as_deref() == Some(FORMULAS);
        let compared = |text: &str| match is_formula {
            true => strip(text).replace(['\n', ' '], ""),
            false => strip(&text.to_lowercase()).replace('\n', " "),
        };
        let said = compared(answer);
        if question.answers.iter().any(|expected| said.contains(&compared(expected))) { 1.0 } else { 0.0 }
    }

    fn totals(&self, asked: Asked<'_>, scores: &[f64]) -> Vec<Total> {
        let (points, most) = (scores.iter().sum::<f64>(), scores.len() as f64);
        let mut totals = vec![
            Total { name: "Final Score".to_owned(), value: points, of: most },
            Total { name: "Final Score Norm".to_owned(), value: points / 10.0, of: most / 10.0 },
        ];
        for (name, categories) in GROUPS {
            let belongs = |category: Option<&str>| category.is_some_and(|category| categories.contains(&category));
            let of_group = asked.categories().zip(scores).filter(|(category, _)| belongs(*category));
            let (value, of) = of_group.fold((0.0, 0.0), |(value, of), (_, score)| (value + score, of + 1.0));
            totals.push(Total { name: name.to_owned(), value, of });
        }
        totals
    }

    fn units(&self, _: Asked<'_>, scores: &[f64]) -> Vec<Unit> {
        scores.iter().map(|score| Unit::part(0, *score)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(category: &str, answer: &str) -> Question {
        Question { answers: vec![answer.to_owned()], category: Some(category.to_owned()), ..Question::default() }
    }

    #[test]
    fn formulas_count_case_and_no_spaces() {
        let words = question("Doc-oriented VQA", " Two\nWords");
        assert_eq!(OcrBench.score("these are TWO words.", &words), 1.0);
        assert_eq!(OcrBench.score("these are twowords.", &words), 0.0);
        let formula = question(FORMULAS, "x ^ 2");
        assert_eq!(OcrBench.score("y = x\n^ {2} x^2", &formula), 1.0);
        assert_eq!(OcrBench.score("X^2", &formula), 0.0);
        assert_eq!(OcrBench.score("x", &Question::default()), 0.0);
    }

    #[test]
    fn points_are_counted_by_group() {
        let questions = [question("Digit String Recognition", "1"), question(FORMULAS, "2"), question(FORMULAS, "3")];
        let asked: Vec<&Question> = questions.iter().collect();
        let columns = [].into();
        let asked = Asked { columns: &columns, questions: &asked };
        let totals = OcrBench.totals(asked, &[1.0, 0.0, 1.0]);
        let found: Vec<(&str, f64, f64)> = totals.iter().map(|t| (t.name.as_str(), t.value, t.of)).collect();
        let expected = [
            ("Final Score", 2.0, 3.0),
            ("Final Score Norm", 0.2, 0.3),
            ("Text Recognition", 1.0, 1.0),
            ("Scene Text-centric VQA", 0.0, 0.0),
            ("Doc-oriented VQA", 0.0, 0.0),
            ("Key Information Extraction", 0.0, 0.0),
            (FORMULAS, 1.0, 2.0),
        ];
        assert_eq!(found, expected);
    }
}
