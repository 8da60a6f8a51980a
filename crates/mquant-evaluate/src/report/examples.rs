//! Samples with both answers, those that differ first, and where they differ.

use serde::Serialize;

use super::Report;
use super::numbers::fixed;
use super::shown_text::{visible, visible_line};
use super::word_diff::{Piece, Stretch, differences};

/// A sample.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ExampleView {
    pub(super) benchmark: String,
    pub(super) index: String,
    pub(super) question: String,
    pub(super) expected: String,
    pub(super) picture: Option<String>,
    pub(super) sounds: usize,
    /// The baseline's, if there is one, then the model's.
    pub(super) answers: Vec<AnswerView>,
    pub(super) differs: bool,
}

/// An answer.
#[derive(Clone, Debug, Serialize)]
pub(super) struct AnswerView {
    pub(super) who: String,
    /// How its own words are marked.
    pub(super) side: Side,
    pub(super) stretches: Vec<Stretch>,
    /// In a word or two.
    pub(super) judged: String,
}

/// Whose answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Side {
    Baseline,
    Model,
}

/// All examples of a report, in the order they are shown.
pub(super) fn examples(report: &Report) -> Vec<ExampleView> {
    let mut views = Vec::new();
    for evaluation in &report.evaluations {
        let who = |model: &crate::evaluate::ModelRecord| match model.form.as_str() {
            "float" => "float".to_owned(),
            "" => visible_line(&model.name),
            form => visible_line(form),
        };
        let model = who(&evaluation.model);
        let baseline = evaluation.baseline.as_ref().map_or_else(|| "baseline".to_owned(), who);
        for benchmark in &evaluation.benchmarks {
            for example in &benchmark.examples {
                let own = visible(&example.answer);
                let other = example.baseline_answer.as_deref().map(visible);
                let differs = other.as_ref().is_some_and(|other| *other != own);
                let [left, right] = match &other {
                    Some(other) => differences(other, &own),
                    None => [Vec::new(), vec![Stretch { piece: Piece::Same, text: own }]],
                };
                let answer = |who: &str, side, stretches, score: Option<f64>| AnswerView {
                    who: who.to_owned(),
                    side,
                    stretches,
                    judged: match score {
                        Some(1.0) => "right".to_owned(),
                        Some(s) if benchmark.lower_is_better => format!("{} % errors", fixed(100.0 * (1.0 - s), 0)),
                        Some(0.0) => "wrong".to_owned(),
                        Some(s) => format!("scored {}", fixed(s, 2)),
                        None => "not judged".to_owned(),
                    },
                };
                let mut answers = Vec::new();
                if other.is_some() {
                    answers.push(answer(&baseline, Side::Baseline, left, example.baseline_score));
                }
                answers.push(answer(&model, Side::Model, right, Some(example.score)));
                views.push(ExampleView {
                    benchmark: visible_line(&benchmark.name),
                    index: visible_line(&example.index),
                    question: visible(&example.question),
                    expected: example.expected.iter().map(|text| visible_line(text)).collect::<Vec<_>>().join(" · "),
                    picture: example.picture.clone(),
                    sounds: example.sounds,
                    answers,
                    differs,
                });
            }
        }
    }
    // The sort keeps the order of the benchmarks.
    views.sort_by_key(|view| !view.differs);
    views
}
