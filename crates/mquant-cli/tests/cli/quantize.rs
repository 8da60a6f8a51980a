//! `mquant quantize`: what it plans, tells, refuses and leaves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Copied, golden, mquant, object, output, stderr, stdout};

/// A place for an output, and a command that makes it of the tiny model.
pub(crate) struct Place {
    pub(crate) root: TempDir,
    model: PathBuf,
}

pub(crate) fn calibration(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo/calibration").join(name);
    path.canonicalize().unwrap().to_str().unwrap().to_owned()
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::of(&golden("qwen2_vl"))
    }

    pub(crate) fn of(model: &Path) -> Self {
        // In memory where there is such a place: a job syncs often.
        let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self { root, model: model.to_owned() }
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.root.path().join("out")
    }

    /// The arguments with two samples and the recipe `mquant-w4a8`.
    pub(crate) fn arguments(&self, more: &[&str]) -> Vec<String> {
        let data = calibration("DemoTextVQA.tsv");
        self.arguments_of("mquant-w4a8", &[&["--calibration", &data, "--samples", "2"], more].concat())
    }

    fn arguments_of(&self, recipe: &str, more: &[&str]) -> Vec<String> {
        let (model, out) = (self.model.to_str().unwrap(), self.output());
        let first = ["quantize", model, "--recipe", recipe, "--output", out.to_str().unwrap(), "--threads", "2"];
        first.iter().chain(more).map(|argument| (*argument).to_owned()).collect()
    }

    pub(crate) fn run(&self, more: &[&str]) -> Output {
        run(&self.arguments(more))
    }

    pub(crate) fn names(&self) -> Vec<String> {
        names(self.root.path())
    }

    /// The bundle's files.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let read = |name: String| (name.clone(), fs::read(self.output().join(name)).unwrap());
        names(&self.output()).into_iter().map(read).collect()
    }
}

pub(crate) fn run(arguments: &[String]) -> Output {
    output(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

/// Exit code and error code.
fn refusal(output: &Output) -> (Option<i32>, String) {
    let error = object(output, "mquant.error/1");
    assert_eq!(error["exit_code"].as_i64().map(|code| code as i32), output.status.code());
    (output.status.code(), error["code"].as_str().unwrap().to_owned())
}

#[test]
fn a_plan_tells_time_memory_and_disk_and_writes_nothing() {
    let place = Place::new();
    let plan = object(&place.run(&["--plan", "--json"]), "mquant.quantize_plan/1");
    let number = |key: &str| plan[key].as_f64().unwrap_or_else(|| panic!("{key}: {plan}"));
    assert_eq!((&plan["recipe"], number("samples")), (&"mquant-w4a8".into(), 2.0));
    assert!(number("patches") >= 2.0 * 4.0 && number("tokens") > 10.0, "{plan}");
    assert!(number("seconds") > 0.0 && number("seconds") < 60.0, "{plan}");
    let units = plan["units"].as_array().unwrap();
    let expected =
        ["vision.patch", "vision.0", "vision.1", "projector", "embedding", "language.0", "language.1", "head"];
    assert_eq!(units.iter().map(|unit| unit[0].as_str().unwrap()).collect::<Vec<_>>(), expected);
    let sum: f64 = units.iter().map(|unit| unit[1].as_f64().unwrap()).sum();
    let most = units.iter().map(|unit| unit[2].as_u64().unwrap()).max();
    assert!((sum / number("seconds") - 1.0).abs() < 1e-9 && most == plan["memory_bytes"].as_u64(), "{plan}");
    assert!(number("disk_bytes") > 2.0 * number("bundle_bytes"));
    let text = stdout(&place.run(&["--plan"]));
    for row in ["recipe", "samples", "time", "memory", "bundle", "disk"] {
        assert!(text.lines().any(|line| line.starts_with(row)), "{row}: {text}");
    }
    assert_eq!(place.names(), Vec::<String>::new());
    // What was planned is what is made.
    let made = object(&place.run(&["--json"]), "mquant.quantize/1");
    let bytes = made["bytes"].as_f64().unwrap();
    assert!((number("bundle_bytes") / bytes - 1.0).abs() < 0.3, "{} {bytes}", plan["bundle_bytes"]);
    assert_eq!(made["estimated_bytes"], plan["memory_bytes"]);
}

#[test]
fn more_memory_than_allowed_is_refused_unless_forced() {
    let place = Place::new();
    let refused = place.run(&["--memory-limit", "1M", "--json"]);
    assert_eq!(refusal(&refused), (Some(6), "QUANTIZE_MEMORY".to_owned()));
    let told = stderr(&refused);
    assert!(told.contains("at most 1.0 MB") && told.contains("hint: "), "{told}");
    assert_eq!(place.names(), Vec::<String>::new());
    for enough in [["--memory-limit", "100G"].as_slice(), &["--memory-limit", "1M", "--force"]] {
        let place = Place::new();
        assert_eq!(place.run(enough).status.code(), Some(0));
        assert_eq!(place.names(), ["out", "out-report"]);
    }
    assert_eq!(place.run(&["--memory-limit", "much"]).status.code(), Some(2));
}

#[test]
fn a_run_reports_as_json_on_stdout_and_a_line_for_each_step_on_stderr() {
    let place = Place::new();
    let ended = place.run(&["--json"]);
    let report = object(&ended, "mquant.quantize/1");
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "schema",
        "output",
        "recipe",
        "seconds",
        "estimated_seconds",
        "peak_rss_bytes",
        "estimated_bytes",
        "bytes",
        "samples",
        "skipped",
        "resumed",
        "sites",
        "units",
    ];
    assert_eq!(keys, expected);
    assert_eq!((&report["samples"], &report["resumed"]), (&2.into(), &0.into()));
    assert_eq!((report["sites"].as_array().unwrap().len(), report["units"].as_array().unwrap().len()), (20, 8));
    let lines: Vec<Value> = stderr(&ended)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, [["unit", "committed"].repeat(8), vec!["report"]].concat());
    for (i, pair) in lines[..16].chunks(2).enumerate() {
        let [begun, done] = pair else { panic!("{pair:?}") };
        assert_eq!((&begun["index"], &begun["of"], &begun["known"]), (&i.into(), &8.into(), &false.into()));
        assert!(begun["unit"] == done["unit"] && done["seconds"].is_number() && done["left_s"].is_number(), "{done}");
    }
    let verified = output(&["verify", place.output().to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
    // A second run finds it, says so and leaves it.
    let before = (place.files(), fs::metadata(place.output().join("mquant.json")).unwrap().modified().unwrap());
    let again = place.run(&[]);
    assert_eq!(again.status.code(), Some(0));
    assert!(
        stderr(&again).contains("is there already, made of the same model, recipe and samples"),
        "{}",
        stderr(&again)
    );
    let after = (place.files(), fs::metadata(place.output().join("mquant.json")).unwrap().modified().unwrap());
    assert!(before == after && place.names() == ["out", "out-report"]);
    answers(&place);
}

/// The bundle answers, in any row order the same; and cannot be quantised again.
fn answers(place: &Place) {
    let image = golden("qwen2_vl").join("one-0.png");
    let out = place.output();
    let [original, first] = ["original", "modality-first"].map(|order| {
        let ask = ["run", out.to_str().unwrap(), "--image", image.to_str().unwrap(), "--prompt", "What is this?"];
        let answer = output(&[&ask[..], &["--max-tokens", "12", "--row-order", order, "--json"]].concat());
        object(&answer, "mquant.run/1")["text"].as_str().unwrap().to_owned()
    });
    assert!(!original.is_empty() && original == first, "{original:?} {first:?}");
    let again = Place::of(&out);
    assert_eq!(refusal(&again.run(&["--json"])), (Some(5), "QUANTIZE_FLOAT".to_owned()));
    assert_eq!(again.names(), Vec::<String>::new());
}

#[test]
fn text_tells_components_and_what_to_try() {
    let place = Place::new();
    let text = stdout(&place.run(&[]));
    for row in ["vision", "projector", "language", "head"] {
        assert!(text.lines().any(|line| line.starts_with(row)), "{row}: {text}");
    }
    assert!(text.contains(" from 2 samples in ") && text.contains("try it:  mquant run "), "{text}");
    assert!(!text.contains('\u{1b}') && text.lines().all(|line| line.chars().count() < 200), "{text}");
}

#[test]
fn what_can_be_told_without_weights_is_told_before_they_are_read() {
    // Weights of nothing but NaN: whoever reads them says so.
    let model = Copied::new();
    let mut bytes = fs::read(model.file("model.safetensors")).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize + 8;
    bytes[header..].fill(0xff);
    let model = model.with("model.safetensors", bytes);
    let place = Place::of(Path::new(model.path()));
    let file = |name: &str, text: &str| {
        let path = model.file(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let quantize = |sites: &str| {
        format!(
            "name = \"mine\"\ndescription = \"\"\n[[step]]\ndo = \"quantize\"\nsites = [\"{sites}\"]\nweight_bits = 8\n\
             method = \"rtn\"\ninput = \"per_token\"\n"
        )
    };
    let audio = file("audio.toml", &quantize("audio.*.qkv"));
    // A stream of norms with gains cannot be rotated.
    let rotate = "do = \"rotate_stream\"\ntowers = [\"language\"]\nkind = \"hadamard\"\n[[step]]\ndo = \"quantize\"";
    let gains = file("gains.toml", &quantize("language").replace("do = \"quantize\"", rotate));
    let unknown = file("unknown.toml", "name = \"mine\"\nbits = 4\n");
    let text = file("text.jsonl", "[{\"role\": \"user\", \"content\": \"Hello.\"}]\n");
    let pictures = calibration("DemoMME.tsv");
    let one = |data: &str| vec!["--calibration".to_owned(), data.to_owned(), "--samples".to_owned(), "1".to_owned()];
    let cases = [
        ("w1a1", &pictures, 2, "RECIPE_UNKNOWN"),
        (&unknown, &pictures, 4, "RECIPE_SYNTAX"),
        (&audio, &pictures, 4, "RECIPE_NO_MATCH"),
        (&gains, &pictures, 4, "RECIPE_ORDER"),
        ("mquant-w4a8", &text, 4, "CALIB_NO_VISUAL"),
        ("mquant-w4a8", &"/nowhere/a.tsv".to_owned(), 4, "CALIB_IO"),
        ("mquant-w4a8", &pictures, 7, "WEIGHT_NOT_FINITE"),
    ];
    for (recipe, data, exit, code) in cases {
        let data = one(data);
        let more: Vec<&str> = data.iter().map(String::as_str).chain(["--json"]).collect();
        let found = refusal(&run(&place.arguments_of(recipe, &more)));
        assert_eq!(found.0, Some(exit), "{recipe}: {found:?}");
        assert_eq!(found.1, code, "{recipe}");
        assert_eq!(place.names(), Vec::<String>::new());
    }
}

#[test]
fn text_alone_is_enough_where_it_is_asked_for() {
    let place = Place::new();
    let data = place.root.path().join("text.jsonl");
    fs::write(&data, "[{\"role\": \"user\", \"content\": \"Hello.\"}]\n".repeat(2)).unwrap();
    let more = ["--calibration", data.to_str().unwrap(), "--samples", "2", "--text-only-calibration", "--json"];
    let report = object(&run(&place.arguments_of("mquant-w4a8", &more)), "mquant.quantize/1");
    let site = |name: &str| {
        let sites = report["sites"].as_array().unwrap();
        sites.iter().find(|site| site[0] == name).unwrap_or_else(|| panic!("no {name}"))[1].clone()
    };
    assert_eq!(site("vision.0.qkv")["input"], "per_token");
    assert!(
        site("vision.0.qkv")["notes"].as_array().unwrap().iter().any(|n| n.as_str().unwrap().contains("no activation"))
    );
    assert_eq!(site("language.0.qkv")["input"], "per_modality");
}

#[test]
fn samples_that_are_in_a_benchmark_are_told() {
    let place = Place::new();
    let bench = calibration("DemoTextVQA.tsv");
    let told = stderr(&place.run(&["--plan", "--benchmark", &bench]));
    assert_eq!(told.matches("warning: DemoTextVQA.tsv: row").count(), 2, "{told}");
    let other = calibration("../bench/DemoTextVQA.tsv");
    let told = stderr(&place.run(&["--plan", "--benchmark", &other]));
    assert_eq!(told, "no calibration sample is in the benchmarks\n");
}

#[test]
fn other_inputs_are_refused_by_name() {
    let place = Place::new();
    assert_eq!(place.run(&[]).status.code(), Some(0));
    let before = place.files();
    let other = Copied::new();
    let mut bytes = fs::read(other.file("model.safetensors")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let other = other.with("model.safetensors", bytes);
    let elsewhere = Place { root: place.root, model: PathBuf::from(other.path()) };
    let refused = |output: &Output, part: &str| {
        assert_eq!(refusal(output), (Some(2), "JOB_FINGERPRINT".to_owned()), "{part}");
        let told = stderr(output);
        assert!(
            told.contains(&format!("was made with another {part}: expected \"")) && told.contains("hint: "),
            "{told}"
        );
    };
    refused(&elsewhere.run(&["--json"]), "model");
    let place = Place { model: golden("qwen2_vl"), ..elsewhere };
    refused(&place.run(&["--seed", "1", "--json"]), "recipe");
    refused(&place.run(&["--max-pixels", "6272", "--json"]), "pixels");
    refused(&place.run(&["--context", "2000", "--json"]), "context");
    refused(&place.run(&["--cpu", "scalar", "--json"]), "level");
    let data = calibration("DemoMME.tsv");
    let more = ["--calibration", &data, "--samples", "2", "--json"];
    refused(&run(&place.arguments_of("mquant-w4a8", &more)), "samples");
    refused(&run(&place.arguments_of("mquant-w8a8", &more)), "recipe");
    assert!(place.files() == before, "a refusal changes nothing");
    let output = mquant(&["verify", place.output().to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}
