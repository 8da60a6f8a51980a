//! `mquant eval` and `mquant compare`: what they find, keep, refuse, and go on with after a kill.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{golden, mquant, object, output, stderr, stdout};
use crate::quantize::calibration;

const ROWS: usize = 120;

/// A benchmark file of so many rows, the ones at `broken` with half a picture.
fn benchmark(folder: &Path, rows: usize, broken: &[usize]) -> PathBuf {
    let pictures =
        ["two-0.png", "turns-1.png", "two-1.png"].map(|name| fs::read(golden("qwen2_vl").join(name)).unwrap());
    let row = |i: usize| {
        let picture = &pictures[i % 3];
        let whole = if broken.contains(&i) { &picture[..9] } else { &picture[..] };
        format!("{i}\t{}\tQuestion {}?\tanswer {i}\tkind {}\n", STANDARD.encode(whole), i * 7 % 11, i % 2)
    };
    let text = format!("index\timage\tquestion\tanswer\tcategory\n{}", (0..rows).map(row).collect::<String>());
    let path = folder.join("Tiny.tsv");
    fs::write(&path, text).unwrap();
    path
}

struct Place {
    root: TempDir,
    bench: PathBuf,
}

impl Place {
    fn new(rows: usize, broken: &[usize]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let bench = benchmark(root.path(), rows, broken);
        Self { root, bench }
    }

    fn path(&self, name: &str) -> String {
        self.root.path().join(name).to_str().unwrap().to_owned()
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let model = golden("qwen2_vl");
        let first = ["eval", model.to_str().unwrap(), "--bench", self.bench.to_str().unwrap()];
        first
            .iter()
            .chain(&["--metric", "exact_match", "--threads", "2"])
            .chain(more)
            .map(|a| (*a).to_owned())
            .collect()
    }

    fn run(&self, more: &[&str]) -> Output {
        let arguments = self.arguments(more);
        output(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// An evaluation without what differs from run to run: times.
fn timeless(path: &Path) -> Value {
    let mut value: Value = serde_json::from_slice(&fs::read(path.join("evaluation.json")).unwrap()).unwrap();
    for benchmark in value["benchmarks"].as_array_mut().unwrap() {
        for side in ["model", "baseline"] {
            if let Some(sat) = benchmark[side].as_object_mut() {
                sat.remove("seconds");
            }
        }
    }
    value
}

#[test]
fn a_killed_evaluation_goes_on_to_the_same_numbers() {
    let place = Place::new(ROWS, &[]);
    let (whole, killed) = (place.path("whole"), place.path("killed"));
    let base = golden("qwen2_vl");
    let options = |out: &str| -> Vec<String> {
        let more = ["--baseline", base.to_str().unwrap(), "--max-tokens", "12", "--batch", "4", "--output", out];
        place.arguments(&more)
    };
    let arguments = options(&whole);
    let ended = output(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ended.status.code(), Some(0), "{}", stderr(&ended));
    let lines = |stage: &str| {
        let text = fs::read_to_string(Path::new(&killed).join(format!("lines/{stage}/Tiny.jsonl")));
        text.map_or(0, |text| text.lines().count())
    };
    let arguments = options(&killed);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Killed in the middle of each stage.
    let mut kills = 0;
    for (stage, at) in [("model", 20), ("model", 70), ("baseline", 30), ("tokens", 40)] {
        let mut child = mquant(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while lines(stage) < at {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        kills += usize::from(child.wait().unwrap().code().is_none());
    }
    assert!(kills >= 3, "{kills} kills came in time");
    let before = lines("model");
    assert!(before >= 70);
    let ended = output(&arguments);
    assert_eq!(ended.status.code(), Some(0), "{}", stderr(&ended));
    assert_eq!(timeless(Path::new(&killed)), timeless(Path::new(&whole)));
    for file in ["predictions/model_Tiny.tsv", "predictions/baseline_Tiny.jsonl"] {
        let [a, b] = [&killed, &whole].map(|folder| fs::read(Path::new(folder).join(file)).unwrap());
        assert!(a == b && !a.is_empty(), "{file}");
    }
    // Asked again it asks nobody.
    let again = output(&arguments);
    assert_eq!(again.status.code(), Some(0));
    assert_eq!(timeless(Path::new(&killed)), timeless(Path::new(&whole)));
}

#[test]
fn a_model_beside_itself_differs_in_nothing() {
    let place = Place::new(30, &[]);
    let base = golden("qwen2_vl");
    let out = place.path("out");
    let more = ["--baseline", base.to_str().unwrap(), "--max-tokens", "6", "--limit", "20", "--output", &out];
    let ended = place.run(&[&more[..], &["--json"]].concat());
    let found = object(&ended, "mquant.evaluation/1");
    let benchmark = &found["benchmarks"][0];
    assert_eq!((&benchmark["samples"], &benchmark["name"]), (&20.into(), &"Tiny".into()));
    assert_eq!(benchmark["paired"]["difference"], 0.0);
    assert_eq!(benchmark["paired"]["mcnemar_p"], 1.0);
    assert_eq!((&benchmark["tokens"]["kl"], &benchmark["tokens"]["top1_agreement"]), (&0.0.into(), &1.0.into()));
    assert_eq!(benchmark["tokens"]["perplexity"], benchmark["tokens"]["baseline_perplexity"]);
    assert_eq!(benchmark["examples"].as_array().unwrap().len(), 8);
    assert!(benchmark["examples"][0]["picture"].as_str().unwrap().starts_with("data:image/"));
    for file in ["report.html", "report.md", "report.json", "settings.json"] {
        assert!(Path::new(&out).join(file).is_file(), "{file}");
    }
    // The kits' own forms: every column but the picture, and the prediction.
    let table = fs::read_to_string(Path::new(&out).join("predictions/model_Tiny.tsv")).unwrap();
    let mut rows = table.lines();
    assert_eq!(rows.next(), Some("index\tquestion\tanswer\tcategory\tprediction"));
    assert!(rows.next().unwrap().starts_with("0\tQuestion 0?\tanswer 0\tkind 0\t"));
    let lines = fs::read_to_string(Path::new(&out).join("predictions/model_Tiny.jsonl")).unwrap();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((&first["doc_id"], &first["target"]), (&0.into(), &"answer 0".into()));
    assert_eq!(first["resps"][0][0], first["prediction"]);
    assert_eq!(lines.lines().count(), 20);

    let shown = stdout(&place.run(&more));
    assert!(shown.contains("Tiny") && shown.contains("difference") && shown.contains("same top 1"), "{shown}");
}

#[test]
fn bad_rows_are_named_and_borne_within_the_limit() {
    let out = |place: &Place| place.run(&["--max-tokens", "1", "--json"]);
    let place = Place::new(40, &[3, 17]);
    let ended = out(&place);
    let found = object(&ended, "mquant.evaluation/1");
    let skipped: Vec<&str> =
        found["benchmarks"][0]["skipped"].as_array().unwrap().iter().map(|row| row.as_str().unwrap()).collect();
    assert_eq!(skipped.len(), 2);
    assert!(skipped[0].contains("row 4") && skipped[1].contains("row 18"), "{skipped:?}");
    assert_eq!(found["benchmarks"][0]["samples"], 38);
    assert!(stderr(&ended).contains("note: left out"), "{}", stderr(&ended));

    let ended = out(&Place::new(40, &[3, 17, 30]));
    let error = object(&ended, "mquant.error/1");
    assert_eq!((ended.status.code(), &error["code"]), (Some(4), &"BENCHMARK_ROWS".into()));
    for row in ["row 4", "row 18", "row 31"] {
        assert!(error["message"].as_str().unwrap().contains(row), "{error}");
    }
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_computed() {
    let place = Place::new(3, &[]);
    let model = golden("qwen2_vl");
    let (model, bench) = (model.to_str().unwrap(), place.bench.to_str().unwrap());
    let refused = |arguments: &[&str], code: i32, expected: &str| {
        let ended = output(arguments);
        assert_eq!(ended.status.code(), Some(code), "{}", stderr(&ended));
        assert!(stderr(&ended).contains(expected), "{}", stderr(&ended));
    };
    refused(&["eval", model, "--bench", bench], 2, "Tiny.tsv is no published benchmark");
    refused(&["eval", model, "--bench", bench, bench, "--metric", "anls"], 2, "Tiny twice");
    refused(&["eval", model, "--bench", bench, "--metric", "guess"], 2, "guess");
    refused(&["eval", model, "--bench", "/none.tsv", "--metric", "anls"], 4, "none.tsv");
    refused(&["eval", model, "--bench", bench, "--metric", "anls", "--blame"], 2, "--baseline");
    let float = ["eval", model, "--bench", bench, "--metric", "anls", "--baseline", model, "--blame"];
    refused(&float, 5, "has no recipe");

    let out = place.path("out");
    assert_eq!(place.run(&["--max-tokens", "2", "--output", &out]).status.code(), Some(0));
    let other = place.run(&["--max-tokens", "3", "--output", &out]);
    assert_eq!(other.status.code(), Some(2));
    assert!(stderr(&other).contains("was begun with another benchmark Tiny"), "{}", stderr(&other));
    let photos = place.path("photos");
    fs::create_dir(&photos).unwrap();
    fs::write(Path::new(&photos).join("cat.png"), "x").unwrap();
    let foreign = place.run(&["--output", &photos]);
    assert_eq!(foreign.status.code(), Some(2));
    assert!(stderr(&foreign).contains("is no evaluation: it holds cat.png"), "{}", stderr(&foreign));
}

#[test]
fn two_models_are_shown_side_by_side_up_to_where_they_part() {
    let (one, other) = (golden("qwen2_vl"), golden("qwen2_vl_published"));
    let image = one.join("two-0.png");
    let ask = |second: &Path, more: &[&str]| {
        let first = ["compare", one.to_str().unwrap(), second.to_str().unwrap(), "--image", image.to_str().unwrap()];
        output(&[&first[..], &["--prompt", "What is this?", "--max-tokens", "8", "--threads", "1"], more].concat())
    };
    let same = object(&ask(&one, &["--json"]), "mquant.compare/1");
    assert_eq!((&same["parting"], &same["kl"]), (&Value::Null, &0.0.into()));
    assert_eq!(same["answers"][0], same["answers"][1]);
    assert!(stdout(&ask(&one, &[])).starts_with("both "));

    let parted = object(&ask(&other, &["--json"]), "mquant.compare/1");
    let parting = &parted["parting"];
    assert!(parting["token"].as_u64().is_some() && parted["kl"].as_f64().unwrap() > 0.0, "{parted}");
    let candidates = parting["candidates"].as_array().unwrap();
    // Either model's choice comes first, and is what it finds most likely.
    for side in 0..2 {
        let said: Vec<&Value> = candidates.iter().filter(|c| c["said_by"][side] == true).collect();
        assert_eq!(said.len(), 1);
        let most = candidates.iter().map(|c| c["probability"][side].as_f64().unwrap()).fold(0.0, f64::max);
        assert_eq!(said[0]["probability"][side], most);
        assert!(candidates[side]["said_by"].as_array().unwrap().contains(&true.into()));
    }
    assert!(stdout(&ask(&other, &[])).contains("A says"));
}

#[test]
fn a_budget_is_spent_and_told() {
    let root = tempfile::tempdir().unwrap();
    let (out, data) = (root.path().join("out"), calibration("DemoTextVQA.tsv"));
    let model = golden("qwen2_vl");
    let quantize = |more: &[&str]| {
        let first = ["quantize", model.to_str().unwrap(), "--recipe", "rtn-static", "--calibration", &data];
        let rest = ["--samples", "4", "--output", out.to_str().unwrap(), "--auto"];
        output(&[&first[..], &rest, more].concat())
    };
    let neither = quantize(&[]);
    assert_eq!(neither.status.code(), Some(2));
    assert!(stderr(&neither).contains("--target-drop or --budget"), "{}", stderr(&neither));
    let ended = quantize(&["--budget", "1M", "--json"]);
    let report = object(&ended, "mquant.quantize/1");
    assert_eq!(report["recipe"], "rtn-static-auto");
    let bits: Vec<u64> =
        report["sites"].as_array().unwrap().iter().map(|site| site[1]["weight_bits"].as_u64().unwrap()).collect();
    assert!(bits.iter().filter(|bits| **bits == 8).count() > 2, "{bits:?}");
    assert!(stderr(&ended).contains("groups of sites get 8 bits"), "{}", stderr(&ended));
    let mut names: Vec<String> =
        fs::read_dir(root.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["out", "out-report"]);
    assert_eq!(output(&["verify", out.to_str().unwrap()]).status.code(), Some(0));
    let again = quantize(&["--budget", "1M"]);
    assert_eq!(again.status.code(), Some(0));
    assert!(stderr(&again).contains("is there already"), "{}", stderr(&again));
    // Another budget, or other samples, are another bundle.
    for other in [["--budget", "2M"].as_slice(), &["--budget", "1M", "--seed", "7"]] {
        let refused = quantize(other);
        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
        assert!(stderr(&refused).contains("was made with another"), "{}", stderr(&refused));
    }
}
