//! `bench` and `demo` on tiny models: the objects they print, and that scores count what they say they count.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../mquant/tests/goldens/qwen2_vl_published")
}

fn mquant(arguments: &[&str], demo: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mquant"));
    command.args(arguments).env("MQUANT_DEMO_MODEL", demo).output().unwrap()
}

fn object(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// A demo folder with one benchmark of the given questions and expected answers, which are its calibration samples too.
fn demo_folder(root: &Path, samples: &[(&str, &str)]) -> PathBuf {
    let folder = root.join("demo");
    for part in ["bench", "calibration"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    for entry in fs::read_dir(golden()).unwrap().map(|e| e.unwrap()) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
    let image = STANDARD.encode(fs::read(golden().join("two-0.png")).unwrap());
    let rows = samples.iter().enumerate().map(|(i, (question, answer))| {
        let answer = answer.replace('"', "\"\"");
        format!("{i}\t{image}\t{question}\t\"{answer}\"\n")
    });
    let text = format!("index\timage\tquestion\tanswer\n{}", rows.collect::<String>());
    for part in ["bench", "calibration"] {
        fs::write(folder.join(part).join("Tiny.tsv"), &text).unwrap();
    }
    folder
}

#[test]
fn bench_prints_its_schema() {
    let model = golden();
    let sizes = ["--prompt-tokens", "9", "--image", "100x60", "--generate", "3", "--batch", "2", "--repeat", "2"];
    let sizes = [&sizes[..], &["--no-limits", "--cpu", "scalar"]].concat();
    let arguments = [&["bench", model.to_str().unwrap(), "--threads", "1", "--json"][..], &sizes].concat();
    let printed = object(&mquant(&arguments, &model));
    let expected = [
        "schema",
        "model",
        "threads",
        "cpu",
        "row_order",
        "prompt_tokens",
        "image",
        "generate",
        "batch",
        "repeat",
        "load_s",
        "vision_s",
        "first_token_s",
        "prefill_tokens_per_s",
        "prefill_by_row_order",
        "decode_tokens_per_s",
        "decode_sequence_tokens_per_s",
        "peak_rss_bytes",
        "limits",
        "phases",
    ];
    assert_eq!(keys(&printed), expected);
    assert_eq!(printed["schema"], "mquant.bench/2");
    assert_eq!((&printed["cpu"], &printed["limits"]), (&Value::from("scalar"), &Value::Null));
    let asked = ["threads", "prompt_tokens", "generate", "batch", "repeat"].map(|key| printed[key].as_u64().unwrap());
    assert_eq!(asked, [1, 9, 3, 2, 2]);
    // 100 × 60 becomes 112 × 56 for cells of 28 pixels.
    assert_eq!(printed["image"], serde_json::json!({"width": 100, "height": 60, "tokens": 8}));
    for key in ["load_s", "vision_s", "first_token_s", "prefill_tokens_per_s", "decode_tokens_per_s"] {
        assert!(printed[key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert_eq!(printed["row_order"], "original");
    for order in ["original_tokens_per_s", "modality_first_tokens_per_s"] {
        assert!(printed["prefill_by_row_order"][order].as_f64().unwrap() > 0.0, "{order}");
    }
    let rate = |key: &str| printed[key].as_f64().unwrap();
    // Both are quotients of their own, and may differ in the last bit.
    let of_sequences = 2.0 * rate("decode_sequence_tokens_per_s");
    assert!((rate("decode_tokens_per_s") / of_sequences - 1.0).abs() < 1e-12, "{of_sequences}");
    check_phases(&printed);
    // The weights alone are a megabyte.
    assert!(printed["peak_rss_bytes"].as_u64().unwrap() > 1 << 20);
}

/// Times of kinds add up to their phase's, and operations are those of the model's shapes.
fn check_phases(printed: &Value) {
    let phases = printed["phases"].as_array().unwrap();
    let names: Vec<&str> = phases.iter().map(|phase| phase["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["vision", "prefill", "decode"]);
    let model = Command::new(env!("CARGO_BIN_EXE_mquant"))
        .args(["inspect", golden().to_str().unwrap(), "--json"])
        .output()
        .unwrap();
    let sites = object(&model)["sites"].as_array().unwrap().clone();
    // Products of a value with a weight in the linears of the decoder's blocks, and in the head, for one row.
    let products = |prefix: &str| {
        let of = |site: &Value| {
            let outputs: u64 = site["outputs"].as_array().unwrap().iter().map(|o| o.as_u64().unwrap()).sum();
            site["inputs"].as_u64().unwrap() * outputs
        };
        sites.iter().filter(|s| s["name"].as_str().unwrap().starts_with(prefix)).map(of).sum::<u64>() as f64
    };
    let (blocks, head) = (products("language."), products("head"));
    for (phase, rows, scored) in [(&phases[1], 2.0 * 9.0, 2.0), (&phases[2], 2.0 * 3.0, 2.0 * 3.0)] {
        let kinds = phase["kinds"].as_array().unwrap();
        let sum: f64 = kinds.iter().map(|kind| kind["total_s"].as_f64().unwrap()).sum();
        let total = phase["total_s"].as_f64().unwrap();
        assert!((sum / total - 1.0).abs() < 1e-6, "{phase}");
        let floats = kinds.iter().find(|kind| kind["name"] == "float products").unwrap();
        assert_eq!(floats["ops"].as_f64().unwrap(), 2.0 * (rows * blocks + scored * head), "{phase}");
        assert_eq!((&phase["arithmetic"], &phase["ops_fraction"]), (&Value::from("f32"), &Value::Null));
    }
}

#[test]
fn bench_compares_with_the_limits_of_this_cpu() {
    let model = golden();
    let bench = ["bench", model.to_str().unwrap(), "--image", "none", "--repeat", "1", "--prompt-tokens", "3"];
    let printed = object(&mquant(&[&bench[..], &["--generate", "1", "--json"]].concat(), &model));
    let limits = &printed["limits"];
    for phase in printed["phases"].as_array().unwrap() {
        for (fraction, rate, limit) in [
            ("ops_fraction", "ops_per_s", "f32_ops_per_s"),
            ("product_ops_fraction", "product_ops_per_s", "f32_ops_per_s"),
            ("bytes_fraction", "bytes_per_s", "read_bytes_per_s"),
        ] {
            let expected = phase[rate].as_f64().unwrap() / limits[limit].as_f64().unwrap();
            assert!((phase[fraction].as_f64().unwrap() / expected - 1.0).abs() < 1e-6, "{phase}");
        }
    }
    // A gibibyte was read to find the limits; it is no memory of the model.
    assert!(printed["peak_rss_bytes"].as_u64().unwrap() < 1 << 30);
}

#[test]
fn bench_without_picture_and_beyond_the_context() {
    let model = golden();
    let bench = ["bench", model.to_str().unwrap(), "--image", "none", "--repeat", "1", "--no-limits"];
    let short = [&bench[..], &["--generate", "0", "--prompt-tokens", "3", "--json"]].concat();
    let printed = object(&mquant(&short, &model));
    let absent = ["image", "vision_s", "decode_tokens_per_s", "prefill_by_row_order"];
    assert!(absent.iter().all(|key| printed[key].is_null()), "{printed}");
    let text = mquant(&[&bench[..], &["--prompt-tokens", "3"]].concat(), &model);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("prefill") && !text.contains("vision"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let long = mquant(&[&bench[..], &["--prompt-tokens", "5000"]].concat(), &model);
    assert_eq!(long.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&long.stderr).contains("CONTEXT_EXCEEDED"));
    let wrong = mquant(&["bench", "--image", "big"], &model);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn demo_scores_count_equal_answers() {
    let root = tempfile::tempdir().unwrap();
    let questions = ["What is it?", "How many are there?", "Which colour?", "Where?"];
    let folder = demo_folder(root.path(), &questions.map(|q| (q, "never said")));
    let first = object(&mquant(&["demo", "--float", "--json"], &folder));
    assert_eq!(keys(&first), ["schema", "model", "threads", "load_s", "total_s", "peak_rss_bytes", "variants"]);
    assert_eq!((&first["schema"], variants(&first)), (&Value::from("mquant.demo/2"), vec![("float", 0.0)]));
    let variant = &first["variants"][0];
    assert_eq!(keys(variant), ["name", "bytes", "quantize_s", "answer_s", "mean", "benchmarks"]);
    assert!(variant["quantize_s"].is_null() && variant["bytes"].as_u64().unwrap() > 1 << 20);
    let benchmark = &variant["benchmarks"][0];
    let expected = [
        "name",
        "metric",
        "lower_is_better",
        "score",
        "samples",
        "prompt_tokens",
        "answer_tokens",
        "total_s",
        "tokens_per_s",
        "answers",
    ];
    assert_eq!(keys(benchmark), expected);
    assert_eq!((&benchmark["name"], benchmark["samples"].as_u64()), (&Value::from("Tiny"), Some(4)));
    assert_eq!(keys(&benchmark["answers"][0]), ["index", "question", "expected", "answer", "score"]);

    // Three of the four answers are now what is expected.
    let said = |i: usize| benchmark["answers"][i]["answer"].as_str().unwrap().to_owned();
    let answers = [said(0), "never said".to_owned(), said(2), said(3)];
    assert!(answers.iter().all(|a| !a.is_empty()), "{answers:?}");
    let samples: Vec<_> = questions.iter().copied().zip(answers.iter().map(String::as_str)).collect();
    let folder = demo_folder(root.path(), &samples);
    let second = object(&mquant(&["demo", "--float", "--json"], &folder));
    assert_eq!(variants(&second), [("float", 75.0)]);
    let limited = object(&mquant(&["demo", "--float", "--json", "--limit", "2"], &folder));
    assert_eq!(variants(&limited), [("float", 50.0)]);
    let text = mquant(&["demo", "--float", "--limit", "2"], &folder);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("Tiny") && text.contains("50.0") && text.contains("question      What is it?"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours into a pipe");
}

/// Name and mean score of every form of the model.
fn variants(printed: &Value) -> Vec<(&str, f64)> {
    let of = |variant: &'_ Value| variant["mean"].as_f64().unwrap();
    printed["variants"].as_array().unwrap().iter().map(|v| (v["name"].as_str().unwrap(), of(v))).collect()
}

#[test]
fn demo_compares_recipes_with_the_float_model() {
    let root = tempfile::tempdir().unwrap();
    let folder = demo_folder(root.path(), &[("What is it?", "never said"), ("Where?", "nor this")]);
    let printed = object(&mquant(&["demo", "--json"], &folder));
    let names: Vec<&str> = variants(&printed).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["float", "rtn-static", "quarot-static", "w4a8-dynamic", "mquant-w4a8"]);
    let forms = printed["variants"].as_array().unwrap();
    for form in &forms[1..] {
        assert!(form["quantize_s"].as_f64().unwrap() > 0.0, "{}", form["name"]);
        let [ours, float] = [form, &forms[0]].map(|form| form["bytes"].as_u64().unwrap());
        assert!(2 * ours < float, "{}: {ours} of {float} bytes", form["name"]);
        assert_eq!(form["benchmarks"][0]["samples"], 2);
    }
    let text = mquant(&["demo", "--recipe", "mquant-w8a8", "w4a16-g128", "--seed", "3"], &folder);
    let text = String::from_utf8(text.stdout).unwrap();
    let rows: Vec<&str> = text.lines().take(4).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(rows, ["score", "float", "mquant-w8a8", "w4a16-g128"], "{text}");
    let both = mquant(&["demo", "--float", "--recipe", "mquant-w8a8"], &folder);
    assert_eq!(both.status.code(), Some(2));
    fs::remove_dir_all(folder.join("calibration")).unwrap();
    let none = mquant(&["demo", "--json"], &folder);
    let said: Value = serde_json::from_slice(&none.stdout).unwrap();
    assert_eq!((none.status.code(), &said["code"]), (Some(4), &Value::from("READ")), "{said}");
}

#[test]
fn what_is_missing_is_named() {
    let root = tempfile::tempdir().unwrap();
    let folder = demo_folder(root.path(), &[("q", "a")]);
    let stress = mquant(&["demo", "--stress"], &folder);
    assert_eq!(stress.status.code(), Some(3), "{}", String::from_utf8_lossy(&stress.stderr));
    fs::remove_file(folder.join("bench/Tiny.tsv")).unwrap();
    let none = mquant(&["demo", "--float"], &folder);
    assert_eq!(none.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&none.stderr).contains("no .tsv file"));
    fs::write(folder.join("bench/Tiny.tsv"), "index\tquestion\n").unwrap();
    let column = mquant(&["demo", "--json"], &folder);
    assert_eq!(column.status.code(), Some(4));
    let said: Value = serde_json::from_slice(&column.stdout).unwrap();
    assert_eq!(said["code"], "BENCHMARK_COLUMN");
}
