//! `mquant report`: what it writes where, and how it refuses.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::command::{object, output, stderr, stdout};

/// As small as an evaluation can be.
const EVALUATION: &str = r#"{"schema": "mquant.evaluation/1",
    "model": {"name": "tiny", "form": "rtn", "bytes": 1000, "identity": "i"},
    "baseline": {"name": "float", "form": "float", "bytes": 4000, "identity": "j"},
    "settings": {"threads": "2"}, "benchmarks": [{"name": "Bench", "metric": "exact_match", "samples": 50, "skipped": [],
    "model": {"totals": [{"name": "score", "value": 90.0, "of": 100.0}], "interval": [80.0, 97.0],
        "prompt_tokens": 10, "answer_tokens": 2, "seconds": 1.0},
    "baseline": {"totals": [{"name": "score", "value": 92.0, "of": 100.0}], "interval": [82.0, 98.0],
        "prompt_tokens": 10, "answer_tokens": 2, "seconds": 4.0},
    "paired": {"difference": -2.0, "interval": [-6.0, 2.0], "model_only": 0, "baseline_only": 1, "mcnemar_p": 1.0},
    "tokens": null, "examples": []}]}"#;

fn evaluation() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("evaluation.json"), EVALUATION).unwrap();
    dir
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_evaluation_becomes_a_page_beside_it() {
    let dir = evaluation();
    let done = output(&["report", dir.path().to_str().unwrap()]);
    assert_eq!((done.status.code(), stderr(&done).as_str()), (Some(0), ""));
    let paths = ["report.html", "report.md", "report.json"].map(|name| dir.path().join(name));
    assert_eq!(stdout(&done), paths.clone().map(|path| format!("{}\n", path.display())).concat());
    assert_eq!(names(dir.path()), ["evaluation.json", "report.html", "report.json", "report.md"]);
    let expected = "tiny (rtn) reaches 90.00 %, the float model 92.00 %: no measurable loss; 4.0× smaller.";
    assert!(fs::read_to_string(&paths[0]).unwrap().contains(expected));
    let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&paths[2]).unwrap()).unwrap();
    assert_eq!(json["schema"], "mquant.report/1");
}

#[test]
fn output_and_json() {
    let (dir, other) = (evaluation(), tempfile::tempdir().unwrap());
    let to = other.path().join("new");
    let done = output(&["report", dir.path().to_str().unwrap(), "--output", to.to_str().unwrap(), "--json"]);
    let written = object(&done, "mquant.report_files/1");
    assert_eq!(written["html"], to.join("report.html").to_str().unwrap());
    assert_eq!((&written["evaluations"], &written["bundles"]), (&1.into(), &0.into()));
    assert_eq!((names(dir.path()).len(), names(&to).len()), (1, 3));
}

#[test]
fn refusals_have_codes() {
    let dir = evaluation();
    let path = dir.path().to_str().unwrap();
    fs::write(dir.path().join("mquant.json"), "{}").unwrap();
    let run = |arguments: &[&str]| {
        let done = output(arguments);
        (done.status.code(), stderr(&done))
    };
    let (code, text) = run(&["report", path]);
    assert!(code == Some(5) && text.contains("[MANIFEST_SCHEMA]"), "{code:?} {text}");
    let (other, empty) = (evaluation(), tempfile::tempdir().unwrap());
    let (code, text) = run(&["report", other.path().to_str().unwrap(), "--output", path]);
    assert!(code == Some(2) && text.contains("[REPORT_INSIDE_BUNDLE]"), "{code:?} {text}");
    let (code, text) = run(&["report", empty.path().to_str().unwrap()]);
    assert!(code == Some(4) && text.contains("[REPORT_NOTHING]"), "{code:?} {text}");
    fs::write(other.path().join("evaluation.json"), "{").unwrap();
    let (code, text) = run(&["report", other.path().to_str().unwrap()]);
    assert!(code == Some(4) && text.contains("[REPORT_FORM]"), "{code:?} {text}");
    assert_eq!(run(&["report"]).0, Some(2));
}
