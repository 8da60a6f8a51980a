//! The bundled demo models answer as transformers does, question by question.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Samples of each benchmark; `mquant demo` without `--limit` answers all 400.
const SAMPLES: usize = 40;

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

fn demo(variant: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mquant"));
    command.args(["demo", "--float", "--json", "--limit", &SAMPLES.to_string()]).args(variant);
    let output = command.env("MQUANT_DEMO_MODEL", models().join("demo")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn compare(name: &str, variant: &[&str]) {
    let reference = std::fs::read_to_string(models().join("demo/reference.json")).unwrap();
    let reference: Value = serde_json::from_str(&reference).unwrap();
    let ours = demo(variant);
    let benchmarks = ours["variants"][0]["benchmarks"].as_array().unwrap();
    assert_eq!(benchmarks.len(), 6);
    for benchmark in benchmarks {
        let title = benchmark["name"].as_str().unwrap();
        let expected = reference["answers"][name][title].as_array().unwrap();
        assert_eq!(expected.len(), 400, "{title}");
        let answers = benchmark["answers"].as_array().unwrap();
        assert_eq!(answers.len(), SAMPLES, "{title}");
        let differing = answers.iter().zip(expected).filter(|(ours, theirs)| ours["answer"] != **theirs).count();
        assert_eq!(differing, 0, "{name} {title}: answers that differ from the reference's");
        assert!(benchmark["score"].as_f64().unwrap() >= 95.0, "{name} {title}: {}", benchmark["score"]);
    }
}

#[test]
fn the_demo_model_answers_as_the_reference() {
    compare("demo", &[]);
}

#[test]
fn the_stress_variant_answers_as_the_reference() {
    compare("demo-stress", &["--stress"]);
}
