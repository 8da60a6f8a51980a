//! Where the numbers come from: recipe, samples, files, settings.

use serde::Serialize;
use serde_json::Value;

use super::numbers::{count, size};
use super::shown_text::{visible, visible_line};
use super::{BundleRecord, Report};
use crate::evaluate::{EvaluationRecord, ModelRecord};

/// Of a bundle or an evaluation.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Origin {
    pub(super) title: String,
    pub(super) facts: Vec<Fact>,
    /// In TOML.
    pub(super) recipe: Option<String>,
    pub(super) files: Vec<FileRow>,
}

/// A name and what it stands for.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) text: String,
}

/// A file of a bundle.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FileRow {
    pub(super) name: String,
    pub(super) size: String,
    pub(super) sha256: String,
}

fn fact(name: &str, text: impl AsRef<str>) -> Fact {
    Fact { name: visible_line(name), text: visible_line(text.as_ref()) }
}

/// Of every evaluation, then of every bundle.
pub(super) fn origins(report: &Report) -> Vec<Origin> {
    report.evaluations.iter().map(of_evaluation).chain(report.bundles.iter().map(of_bundle)).collect()
}

fn of_evaluation(evaluation: &EvaluationRecord) -> Origin {
    let model = |name: &str, model: &ModelRecord| {
        fact(name, format!("{}, {}, {}, {}", model.name, model.form, size(model.bytes), model.identity))
    };
    let mut facts = vec![model("model", &evaluation.model)];
    facts.extend(evaluation.baseline.iter().map(|baseline| model("compared with", baseline)));
    facts.extend(evaluation.settings.iter().map(|(name, text)| fact(name, text)));
    Origin { title: format!("Evaluation of {}", visible_line(&evaluation.model.name)), facts, ..Origin::default() }
}

fn of_bundle(bundle: &BundleRecord) -> Origin {
    let told = &bundle.provenance;
    let mut facts = vec![fact("manifest", &bundle.identity)];
    facts.extend(bundle.fingerprint.iter().map(|(name, text)| fact(name, text)));
    if told.samples > 0 {
        facts.push(fact("calibration samples used", count(told.samples as u64)));
    }
    facts.extend(told.skipped.iter().map(|why| fact("left out", why)));
    match &told.given {
        Value::Null => {}
        Value::Object(given) => facts.extend(given.iter().map(|(name, value)| fact(name, in_words(value)))),
        other => facts.push(fact("given", in_words(other))),
    }
    let files = bundle.files.iter().map(|(name, file)| FileRow {
        name: visible_line(name),
        size: size(file.bytes),
        sha256: visible_line(&file.sha256),
    });
    Origin {
        title: format!("Bundle {}", visible_line(&bundle.name)),
        facts,
        recipe: (!told.recipe.is_empty()).then(|| visible(&told.recipe)),
        files: files.collect(),
    }
}

/// A value as text; of absolute paths the last part alone, since a page travels and a folder's owner need not.
fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) if text.starts_with(['/', '\\']) => {
            text.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or_default().to_owned()
        }
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(in_words).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_keep_their_last_part_alone() {
        let given = json!(["/home/someone/data/a.tsv", "Qwen/Qwen2-VL-2B-Instruct", 3, {"b": "/x"}]);
        assert_eq!(in_words(&given), "a.tsv, Qwen/Qwen2-VL-2B-Instruct, 3, {\"b\":\"/x\"}");
    }
}
