//! Everything cut to a size that a page can hold.

use serde_json::Value;

use super::{BlameRecord, Report, picture};
use crate::evaluate::{BenchmarkRecord, EvaluationRecord, Example, ModelRecord};
use mquant_quantize::pipeline::SiteReport;

/// Characters of a name.
const NAME: usize = 120;
/// Characters of a sentence: a note, a reason, an accepted answer.
const SENTENCE: usize = 300;
/// Characters of a question or an answer.
const PASSAGE: usize = 1200;
/// Characters of a recipe.
const RECIPE: usize = 32_000;
/// Characters of what the caller of `quantize` told.
const GIVEN: usize = 4_000;
/// Entries of a list of small things.
const ENTRIES: usize = 64;
/// Notes of a site, and sentences about samples that were left out.
const NOTES: usize = 8;
/// Examples of a benchmark.
const EXAMPLES: usize = 12;
/// Examples of all benchmarks.
const ALL_EXAMPLES: usize = 240;
/// Bytes of all pictures, as they are embedded.
const PICTURES: usize = 1_000_000;
/// Stages of a site.
const STAGES: usize = 12;
/// Sites of a bundle: those of 255 blocks in two towers.
const SITES: usize = 2_048;

/// Cuts what is too long, and leaves out what is too much.
pub(super) fn trim(report: &mut Report) {
    let (mut pictures, mut examples) = (PICTURES, ALL_EXAMPLES);
    for evaluation in &mut report.evaluations {
        trim_evaluation(evaluation);
        for benchmark in &mut evaluation.benchmarks {
            benchmark.examples.truncate(examples);
            examples -= benchmark.examples.len();
            for example in &mut benchmark.examples {
                trim_picture(example, &mut pictures);
            }
        }
    }
    report.blames.iter_mut().for_each(trim_blame);
    for bundle in &mut report.bundles {
        cut(&mut bundle.name, NAME);
        bundle.fingerprint = cut_map(&bundle.fingerprint);
        while bundle.files.len() > ENTRIES * 4 {
            bundle.files.pop_last();
        }
        let told = &mut bundle.provenance;
        cut(&mut told.recipe, RECIPE);
        cut_all(&mut told.skipped, NOTES);
        while told.sites.len() > SITES {
            told.sites.pop_last();
        }
        told.sites.values_mut().for_each(trim_site);
        told.units.truncate(SITES);
        told.units.iter_mut().for_each(|unit| cut(&mut unit.unit, NAME));
        if told.given.to_string().chars().count() > GIVEN {
            let mut given = told.given.to_string();
            cut(&mut given, GIVEN);
            told.given = Value::String(given);
        }
    }
}

fn trim_evaluation(evaluation: &mut EvaluationRecord) {
    trim_model(&mut evaluation.model);
    evaluation.baseline.iter_mut().for_each(trim_model);
    evaluation.settings = cut_map(&evaluation.settings);
    evaluation.benchmarks.truncate(ENTRIES);
    evaluation.benchmarks.iter_mut().for_each(trim_benchmark);
}

fn trim_blame(BlameRecord { model, identity, blame }: &mut BlameRecord) {
    [model, identity].into_iter().for_each(|text| cut(text, NAME));
    for costs in [&mut blame.towers, &mut blame.kinds, &mut blame.blocks] {
        costs.truncate(ENTRIES);
        costs.iter_mut().for_each(|cost| cut(&mut cost.pattern, NAME));
    }
    blame.remedies.truncate(ENTRIES);
    blame.remedies.iter_mut().for_each(|remedy| cut(&mut remedy.pattern, NAME));
    blame.advice.iter_mut().chain(&mut blame.recipe).for_each(|text| cut(text, RECIPE));
}

fn trim_model(model: &mut ModelRecord) {
    for text in [&mut model.name, &mut model.form, &mut model.identity] {
        cut(text, NAME);
    }
}

fn trim_benchmark(benchmark: &mut BenchmarkRecord) {
    cut(&mut benchmark.name, NAME);
    cut(&mut benchmark.metric, NAME);
    cut_all(&mut benchmark.skipped, NOTES);
    for sat in std::iter::once(&mut benchmark.model).chain(&mut benchmark.baseline) {
        sat.totals.truncate(ENTRIES);
        sat.totals.iter_mut().for_each(|total| cut(&mut total.name, NAME));
    }
    benchmark.examples.truncate(EXAMPLES);
    for example in &mut benchmark.examples {
        cut(&mut example.index, NAME);
        cut(&mut example.question, PASSAGE);
        cut(&mut example.answer, PASSAGE);
        example.baseline_answer.iter_mut().for_each(|answer| cut(answer, PASSAGE));
        example.expected.truncate(3);
        example.expected.iter_mut().for_each(|answer| cut(answer, SENTENCE));
    }
}

/// `left`: bytes that pictures may still have.
fn trim_picture(example: &mut Example, left: &mut usize) {
    match &example.picture {
        Some(picture) if picture.len() <= *left && picture::is_harmless(picture) => *left -= picture.len(),
        _ => example.picture = None,
    }
}

fn trim_site(site: &mut SiteReport) {
    cut(&mut site.input, NAME);
    site.hessian.iter_mut().for_each(|text| cut(text, SENTENCE));
    cut_all(&mut site.notes, NOTES);
    site.stages.truncate(STAGES);
    site.stages.iter_mut().for_each(|stage| cut(&mut stage.stage, NAME));
}

fn cut_all(texts: &mut Vec<String>, most: usize) {
    let left_out = texts.len().saturating_sub(most);
    texts.truncate(most);
    texts.iter_mut().for_each(|text| cut(text, SENTENCE));
    if left_out > 0 {
        texts.push(format!("and {left_out} more"));
    }
}

fn cut_map(map: &std::collections::BTreeMap<String, String>) -> std::collections::BTreeMap<String, String> {
    let shortened = |text: &String, most| {
        let mut text = text.clone();
        cut(&mut text, most);
        text
    };
    map.iter().take(ENTRIES).map(|(name, text)| (shortened(name, NAME), shortened(text, SENTENCE))).collect()
}

/// `text` with at most `most` characters, the last of them `…` if there were more.
fn cut(text: &mut String, most: usize) {
    if let Some((at, _)) = text.char_indices().nth(most) {
        let last = text[..at].char_indices().next_back().map_or(0, |(last, _)| last);
        text.truncate(last);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_text_has_as_many_characters_as_it_may() {
        for (text, expected) in [("abc", "abc"), ("abcd", "ab…"), ("äöüß", "äö…"), ("", "")] {
            let mut text = text.to_owned();
            cut(&mut text, 3);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn lists_say_how_many_were_left_out() {
        let mut texts: Vec<String> = (0..10).map(|i| i.to_string()).collect();
        cut_all(&mut texts, 2);
        assert_eq!(texts, ["0", "1", "and 8 more"]);
    }
}
