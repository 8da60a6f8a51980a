//! What is gathered from folders, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use mquant::bundle::Manifest;
use mquant::disk::RealDisk;
use mquant::evaluate::EvaluationRecord;
use mquant::report::{BlameRecord, BundleRecord, FILES, Report, Sources};
use mquant::{Class, Explain};
use serde_json::json;
use tempfile::TempDir;

use crate::report::made::{SMALL, blame, bundle, evaluation};

fn write_evaluation(dir: &Path, record: &EvaluationRecord) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("evaluation.json"), serde_json::to_string(record).unwrap()).unwrap();
}

fn write_bundle(dir: &Path, record: &BundleRecord) {
    fs::create_dir_all(dir).unwrap();
    let BundleRecord { fingerprint, files, provenance, .. } = record.clone();
    let manifest = Manifest { fingerprint, provenance: serde_json::to_value(provenance).unwrap(), files };
    fs::write(dir.join("mquant.json"), manifest.to_bytes()).unwrap();
}

fn gather(folders: &[&Path]) -> Result<Report, String> {
    let folders: Vec<PathBuf> = folders.iter().map(|dir| dir.to_path_buf()).collect();
    let sources = Sources::new(&RealDisk, &folders).map_err(|e| format!("{} {e}", e.code()))?;
    sources.gather(&RealDisk).map_err(|e| format!("{} {e}", e.code()))
}

/// A record that went through its file.
pub(crate) fn gathered(record: &EvaluationRecord) -> Report {
    let dir = tempfile::tempdir().unwrap();
    write_evaluation(dir.path(), record);
    gather(&[dir.path()]).unwrap()
}

#[test]
fn folders_of_both_kinds_make_one_report() {
    let dir = tempfile::tempdir().unwrap();
    let (judged, made) = (dir.path().join("judged"), dir.path().join("made"));
    write_evaluation(&judged, &evaluation(None));
    write_bundle(&made, &bundle(SMALL));
    let report = gather(&[&made, &judged]).unwrap();
    assert_eq!((report.schema.as_str(), report.evaluations.len(), report.bundles.len()), ("mquant.report/1", 1, 1));
    let names = |record: &EvaluationRecord| {
        record.benchmarks.iter().map(|b| (b.name.clone(), b.samples, b.examples.clone())).collect::<Vec<_>>()
    };
    assert_eq!(names(&report.evaluations[0]), names(&evaluation(None)));
    let BundleRecord { name, identity, provenance, .. } = &report.bundles[0];
    assert_eq!((name.as_str(), identity.len()), ("made", 64));
    assert_eq!(provenance.sites.len(), bundle(SMALL).provenance.sites.len());
    let again: Report = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(again.bundles[0].provenance.sites.len(), provenance.sites.len());
}

#[test]
fn what_costs_the_accuracy_lies_beside_the_evaluation() {
    let dir = tempfile::tempdir().unwrap();
    let with = |blame: serde_json::Value| {
        fs::write(dir.path().join("blame.json"), blame.to_string()).unwrap();
        gather(&[dir.path()])
    };
    let mut value = serde_json::to_value(blame().blame).unwrap();
    value["schema"] = json!("mquant.blame/1");
    // Alone it says nothing of any model.
    assert!(with(value.clone()).unwrap_err().starts_with("REPORT_NOTHING "));
    write_evaluation(dir.path(), &evaluation(None));
    let report = with(value.clone()).unwrap();
    // Numbers lose their last bit in JSON.
    let told = |record: &BlameRecord| {
        let BlameRecord { model, identity, blame } = record.clone();
        let patterns =
            [blame.towers, blame.kinds, blame.blocks].map(|costs| costs.into_iter().map(|cost| cost.pattern));
        let patterns: Vec<String> = patterns.into_iter().flatten().collect();
        (model, identity, patterns, blame.remedies, blame.advice, blame.recipe, blame.tokens)
    };
    let again: Report = serde_json::from_str(&report.to_json()).unwrap();
    for found in [&report, &again] {
        assert_eq!(found.blames.iter().map(told).collect::<Vec<_>>(), [told(&blame())]);
    }
    let mut long = value.clone();
    long["advice"] = json!("x".repeat(1_000_000));
    long["kinds"][0]["pattern"] = json!("y".repeat(1_000_000));
    let grown = with(long).unwrap().to_json().len() - report.to_json().len();
    // A recipe's length and a name's.
    assert!((32_000..34_000).contains(&grown), "{grown}");
    value["remedies"][0]["change"] = json!("prayer");
    let wrong = with(value.clone()).unwrap_err();
    assert!(wrong.starts_with("REPORT_FORM ") && wrong.contains("blame.json") && wrong.contains("prayer"), "{wrong}");
    value["schema"] = json!("mquant.blame/2");
    let newer = with(value).unwrap_err();
    assert!(newer.starts_with("REPORT_SCHEMA ") && newer.contains("expected \"mquant.blame/1\""), "{newer}");
}

#[test]
fn the_report_lies_beside_bundles_and_never_in_them() {
    let dir = tempfile::tempdir().unwrap();
    let (judged, made) = (dir.path().join("judged"), dir.path().join("made"));
    write_evaluation(&judged, &evaluation(None));
    write_bundle(&made, &bundle(SMALL));
    let output = |folders: &[&PathBuf]| {
        let folders: Vec<PathBuf> = folders.iter().map(|p| p.to_path_buf()).collect();
        Sources::new(&RealDisk, &folders).unwrap().default_output()
    };
    assert_eq!(output(&[&made, &judged]), judged);
    assert_eq!(output(&[&made]), dir.path().join("made-report"));
    let report = gather(&[&made]).unwrap();
    let disk = RealDisk::shared();
    for inside in [made.clone(), made.join("new"), made.join("a/b")] {
        let refused = report.write(&disk, &inside).unwrap_err();
        assert_eq!((refused.code(), refused.class()), ("REPORT_INSIDE_BUNDLE", Class::Usage));
    }
    let linked = dir.path().join("linked");
    std::os::unix::fs::symlink(&made, &linked).unwrap();
    assert_eq!(report.write(&disk, &linked).unwrap_err().code(), "REPORT_INSIDE_BUNDLE");
    assert_eq!(fs::read_dir(&made).unwrap().count(), 1);
    // A folder that is both has its report beside it too.
    write_evaluation(&made, &evaluation(None));
    assert_eq!(output(&[&made]), dir.path().join("made-report"));
}

#[test]
fn three_files_are_written_and_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a/b");
    let report = gathered(&evaluation(None));
    for _ in 0..2 {
        let paths = report.write(&RealDisk::shared(), &folder).unwrap();
        assert_eq!(paths, FILES.map(|name| folder.join(name)));
    }
    let mut names: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["report.html", "report.json", "report.md"]);
    assert_eq!(fs::read_to_string(folder.join("report.html")).unwrap(), mquant::report::html(&report));
}

#[test]
fn what_cannot_be_read_is_told_with_file_and_place() {
    let dir = tempfile::tempdir().unwrap();
    let at = |content: &str| {
        fs::write(dir.path().join("evaluation.json"), content).unwrap();
        gather(&[dir.path()]).unwrap_err()
    };
    let newer = at("{\"schema\": \"mquant.evaluation/2\"}");
    assert!(
        newer.starts_with("REPORT_SCHEMA ")
            && newer.contains("evaluation.json: schema is \"mquant.evaluation/2\", expected"),
        "{newer}"
    );
    assert!(at("[]").starts_with("REPORT_SCHEMA "));
    let cut = at("{\"schema\": \"mquant.evaluation/1\", \n");
    assert!(cut.starts_with("REPORT_FORM ") && cut.contains("line 2"), "{cut}");
    let lacking = at("{\"schema\": \"mquant.evaluation/1\"}");
    assert!(lacking.contains("missing field `model`"), "{lacking}");
    let deep = at(&"[".repeat(100_000));
    assert!(deep.starts_with("REPORT_FORM ") && deep.len() < 400, "{deep}");
    let odd = at(&format!("{{\"schema\": \"{}\"}}", "x".repeat(100_000)));
    assert!(odd.len() < 400, "{}", odd.len());
}

#[test]
fn bundles_that_cannot_be_believed_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = |provenance| Manifest { fingerprint: Default::default(), provenance, files: Default::default() };
    let with = |provenance| {
        fs::write(dir.path().join("mquant.json"), manifest(provenance).to_bytes()).unwrap();
        gather(&[dir.path()])
    };
    assert!(with(json!(null)).is_ok() && with(json!({})).is_ok());
    assert!(with(json!({"sites": 7})).unwrap_err().starts_with("REPORT_FORM "));
    let mut site = serde_json::to_value(&bundle(SMALL).provenance.sites["head"]).unwrap();
    let wrong = with(json!({"sites": {"vision.01.qkv": site}})).unwrap_err();
    assert!(wrong.contains("expected a site such as vision.3.qkv, found \"vision.01.qkv\""), "{wrong}");
    site["clipped"] = json!({"smell": 0.5});
    let wrong = with(json!({"sites": {"head": site}})).unwrap_err();
    assert!(wrong.contains("head: expected a modality (text, vision or audio), found \"smell\""), "{wrong}");
    let text = String::from_utf8(manifest(json!({"samples": 1})).to_bytes())
        .unwrap()
        .replace("\"samples\": 1", "\"samples\": 2");
    fs::write(dir.path().join("mquant.json"), text).unwrap();
    assert!(gather(&[dir.path()]).unwrap_err().starts_with("MANIFEST_CHANGED "));
}

#[test]
fn folders_with_nothing_are_named() {
    let dir: TempDir = tempfile::tempdir().unwrap();
    let nothing = gather(&[dir.path()]).unwrap_err();
    assert!(nothing.starts_with("REPORT_NOTHING ") && nothing.contains("found neither"), "{nothing}");
    assert!(gather(&[&dir.path().join("none")]).unwrap_err().starts_with("REPORT_NOTHING "));
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(gather(&[&file]).unwrap_err().starts_with("REPORT_NOTHING "));
    assert!(gather(&[]).unwrap_err().starts_with("REPORT_NO_FOLDER "));
    assert!(gather(&[dir.path(); 17]).unwrap_err().starts_with("REPORT_TOO_MANY "));
}
