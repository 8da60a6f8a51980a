//! Each class of error: its exit code, one clear message, and with `--json` one object.

use std::fs;
use std::process::Output;

use crate::command::{Copied, golden, mquant, object, output, output_with_stdin, stderr};

/// One message on stderr, of this code.
fn check_message(output: &Output, exit_code: i32, code: &str) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(exit_code), "{code}: {text}");
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{text}");
    assert!(text.starts_with("error: failed to "), "{text}");
    let message = text.split("\nhint: ").next().unwrap().trim_end();
    assert!(message.ends_with(&format!(" [{code}]")), "expected {code}: {text}");
    assert!(!text.contains("panicked") && !text.contains("RUST_BACKTRACE"), "{text}");
}

/// The same with and without `--json`.
fn check(arguments: &[&str], exit_code: i32, code: &str) {
    let plain = output(arguments);
    check_message(&plain, exit_code, code);
    assert!(plain.stdout.is_empty(), "{code}: an error is no data");
    let json = output(&[arguments, &["--json"]].concat());
    check_message(&json, exit_code, code);
    let object = object(&json, "mquant.error/1");
    assert_eq!((&object["code"], &object["exit_code"]), (&code.into(), &exit_code.into()));
    let message = object["message"].as_str().unwrap();
    assert!(stderr(&json).starts_with(&format!("error: {message} [")), "{message}");
}

#[test]
fn usage_is_2() {
    let model = golden("qwen2_vl");
    let model = model.to_str().unwrap();
    let ask = |more: &[&'static str]| [&["run", model, "--prompt", "x"], more].concat();
    check(&ask(&["--temperature", "-1"]), 2, "OPTION_RANGE");
    check(&ask(&["--temperature", "nan"]), 2, "OPTION_RANGE");
    check(&ask(&["--top-p", "1.5"]), 2, "OPTION_RANGE");
    check(&ask(&["--context", "5000"]), 2, "CONTEXT_TOO_LARGE");
    check(&ask(&["--min-pixels", "5000", "--max-pixels", "4000"]), 2, "OPTION_RANGE");
    for wrong in
        [&["--colour"][..], &["--threads", "0"], &["--threads", "5000"], &["--max-tokens", "0"], &["--top-k", "x"]]
    {
        let output = output(&[&ask(&["--json"])[..], wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert_eq!(object(&output, "mquant.error/1")["code"], "USAGE");
        assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));
    }
}

#[test]
fn a_broken_model_is_3() {
    let inspect = |model: &Copied, code| check(&["inspect", model.path()], 3, code);
    check(&["run", "/nowhere/at/all", "--prompt", "x"], 3, "MODEL_NOT_FOUND");
    check(&["inspect", "no-org/no-name"], 3, "HUB_NOT_CACHED");
    let demo = mquant(&["run", "--prompt", "x"]).env("MQUANT_DEMO_MODEL", "/nowhere").output().unwrap();
    check_message(&demo, 3, "MODEL_NOT_FOUND");
    let demo = mquant(&["demo", "--omni"]).env("MQUANT_DEMO_MODEL", "/nowhere/demo").output().unwrap();
    check_message(&demo, 3, "DEMO_MODEL_MISSING");
    inspect(&Copied::new().with("config.json", "{"), "JSON_SYNTAX");
    inspect(&Copied::new().edited("config.json", "\"hidden_size\": 128", "\"hidden_size\": 129"), "FIELD_CONFLICT");
    inspect(&Copied::new().with("model.safetensors", "short"), "ST_HEADER_LEN");
    inspect(&Copied::new().with("tokenizer.json", "{}"), "TOKENIZER_FORM");
    let no_template = Copied::new();
    fs::remove_file(no_template.file("chat_template.jinja")).unwrap();
    inspect(&no_template, "TEMPLATE_MISSING");
}

#[test]
fn wrong_input_is_4() {
    let model = golden("qwen2_vl");
    let no_image = model.join("config.json");
    let (model, no_image) = (model.to_str().unwrap(), no_image.to_str().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, content: &str| {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    check(&["run", model, "--image", no_image, "--prompt", "x"], 4, "IMAGE_FORMAT");
    check(&["run", model, "--image", "/nowhere.png", "--prompt", "x"], 4, "READ");
    check(&["run", model, "--audio", "/nowhere.wav", "--prompt", "x"], 4, "READ");
    check(&["run", model, "--prompt", ""], 4, "PROMPT_EMPTY");
    check(&["run", model], 4, "PROMPT_EMPTY");
    check(&["run", model, "--prompt", "hello there", "--context", "5"], 4, "CONTEXT_EXCEEDED");
    check(&["inspect", model, "--image", "1x1000"], 4, "IMAGE_ASPECT");
    let out = path("out.safetensors", "");
    let logits = |messages: &str, code| check(&["logits", model, "--messages", messages, "--out", &out], 4, code);
    logits("/nowhere.json", "READ");
    logits(&path("broken.json", "[{"), "MESSAGES_JSON");
    logits(&path("empty.json", "[]"), "MESSAGES_FORM");
    logits(&path("one.json", r#"[[{"role": "user", "content": "x"}], []]"#), "MESSAGES_FORM");
    let not_text = output_with_stdin(&["run", model], b"caf\xe9");
    check_message(&not_text, 4, "NOT_TEXT");
    let refusing = Copied::new().with("chat_template.jinja", "{{ raise_exception('no system here') }}");
    check(&["run", refusing.path(), "--prompt", "x"], 4, "TEMPLATE_REFUSED");
}

#[test]
fn what_is_not_supported_is_5() {
    let other = Copied::new().edited("config.json", "\"model_type\": \"qwen2_vl\"", "\"model_type\": \"qwen9_vl\"");
    check(&["inspect", other.path()], 5, "MODEL_FAMILY");
    let pickled = Copied::new().with("pytorch_model.bin", "x");
    fs::remove_file(pickled.file("model.safetensors")).unwrap();
    check(&["inspect", pickled.path()], 5, "WEIGHTS_FORMAT");
    let messages = pickled.file("remote.json");
    let remote =
        r#"[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}]}]"#;
    fs::write(&messages, remote).unwrap();
    let (messages, out) = (messages.to_str().unwrap(), pickled.file("out.safetensors"));
    let arguments = ["logits", other.path(), "--messages", messages, "--out", out.to_str().unwrap()];
    check(&arguments, 5, "MESSAGES_UNSUPPORTED");
}

#[test]
fn a_model_that_does_not_hear_says_so() {
    let model = golden("qwen2_vl");
    let sound = golden("../fixtures/audio/files/mono.flac");
    let (model, sound) = (model.to_str().unwrap(), sound.to_str().unwrap());
    check(&["run", model, "--audio", sound, "--prompt", "x"], 5, "AUDIO_NOT_READ");
    check(&["compare", model, model, "--audio", sound, "--prompt", "x"], 5, "AUDIO_NOT_READ");
    let folder = tempfile::tempdir().unwrap();
    fs::copy(sound, folder.path().join("mono.flac")).unwrap();
    let (bench, out) = (folder.path().join("Heard.tsv"), folder.path().join("out"));
    fs::write(&bench, "index\taudio_path\tquestion\tanswer\n0\tmono.flac\tWhat is said?\tx\n").unwrap();
    let (bench, out) = (bench.to_str().unwrap(), out.to_str().unwrap());
    check(&["eval", model, "--bench", bench, "--metric", "wer"], 5, "BENCHMARK_AUDIO");
    let quantize = ["quantize", model, "--recipe", "rtn-static", "--calibration", bench, "--output", out];
    // A note on the number of samples stands before the error.
    let refused = output(&[&quantize[..], &["--text-only-calibration"]].concat());
    assert_eq!(refused.status.code(), Some(5));
    assert!(stderr(&refused).contains("Heard.tsv: row 1 has a sound, and the model reads no sound [CALIB_AUDIO]"));
    let told = output(&["run", model, "--audio", sound, "--prompt", "x"]);
    let text = stderr(&told);
    assert!(text.contains("the model reads no sound") && text.contains("hint: leave the sound out"), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (messages, out) = (path("messages.json"), path("out.safetensors"));
    for part in [
        format!(r#"{{"type":"audio","audio":"{sound}"}}"#),
        r#"{"type":"input_audio","input_audio":{"data":"AQID","format":"wav"}}"#.to_owned(),
        format!(r#"{{"type":"video","video":"/nowhere","audio":"{sound}"}}"#),
    ] {
        fs::write(&messages, format!(r#"[{{"role":"user","content":[{part}]}}]"#)).unwrap();
        check(&["logits", model, "--messages", &messages, "--out", &out], 5, "AUDIO_NOT_READ");
    }
}

#[test]
fn a_template_that_never_ends_is_6() {
    let endless = "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}";
    let model = Copied::new().with("chat_template.jinja", endless);
    check(&["run", model.path(), "--prompt", "x"], 6, "TEMPLATE_BUDGET");
}

#[test]
fn a_weight_that_is_no_number_is_7() {
    let model = Copied::new();
    let mut weights = fs::read(model.file("model.safetensors")).unwrap();
    let last = weights.len() - 4;
    weights[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    let model = model.with("model.safetensors", weights);
    check(&["inspect", model.path()], 7, "WEIGHT_NOT_FINITE");
}

#[test]
fn output_that_cannot_be_written_is_74() {
    let model = golden("qwen2_vl");
    let messages = model.join("text.messages.json");
    let (model, messages) = (model.to_str().unwrap(), messages.to_str().unwrap());
    let logits = |out: &str, code| check(&["logits", model, "--messages", messages, "--out", out], 74, code);
    logits("/nowhere/out.safetensors", "WRITE_IO");
    logits("/dev/null", "WRITE_NOT_REGULAR");
    logits("/", "WRITE_NOT_REGULAR");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = mquant(&["run", model, "--prompt", "x", "--max-tokens", "4"]).stdout(full).output().unwrap();
    check_message(&output, 74, "STDOUT");
}
