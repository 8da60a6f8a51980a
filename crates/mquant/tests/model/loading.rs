//! A whole model folder with one small file broken: loading names the file and the field, and touches no weight.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

use mquant::Class;
use mquant::run::{LoadOptions, LoadedModel};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A copy of a golden model, cases left out.
fn copy(family: &str) -> TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(family);
    let to = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let of_a_case = [".golden.safetensors", ".messages.json", ".png"].iter().any(|end| name.ends_with(end));
        if entry.path().is_file() && !of_a_case {
            fs::copy(entry.path(), to.path().join(name)).unwrap();
        }
    }
    to
}

fn open(folder: &Path) -> mquant::Result<LoadedModel> {
    LoadedModel::open(folder.to_str().unwrap(), &LoadOptions::in_process())
}

/// Sets the field at a JSON pointer, whose parent is there.
fn set(folder: &Path, file: &str, pointer: &str, value: Value) {
    let path = folder.join(file);
    let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    json.pointer_mut(parent).unwrap()[key] = value;
    fs::write(path, json.to_string()).unwrap();
}

#[test]
fn a_field_of_any_file_is_named() {
    let published = "qwen2_vl_published";
    let cases: [(&str, &str, &str, Value, &str, &str); 9] = [
        (published, "config.json", "/hidden_size", json!("96"), "FIELD_KIND", "hidden_size"),
        (published, "config.json", "/hidden_act", json!("relu"), "FIELD_CHOICE", "hidden_act"),
        (published, "generation_config.json", "/top_p", json!(2), "FIELD_RANGE", "top_p"),
        (published, "preprocessor_config.json", "/image_std", json!([1, 1]), "FIELD_COUNT", "image_std"),
        (published, "chat_template.json", "/chat_template", json!(1), "FIELD_KIND", "chat_template"),
        (published, "tokenizer.json", "/added_tokens", json!([{"id": 1}]), "FIELD_MISSING", "added_tokens[0].content"),
        (published, "preprocessor_config.json", "/patch_size", json!(28), "PROCESSOR_MISMATCH", "patch_size is 28"),
        (published, "preprocessor_config.json", "/merge_size", json!(1), "PROCESSOR_MISMATCH", "merge_size is 1"),
        (
            "qwen2_vl",
            "processor_config.json",
            "/video_processor/temporal_patch_size",
            json!(1),
            "PROCESSOR_MISMATCH",
            "video_processor.temporal_patch_size is 1",
        ),
    ];
    for (family, file, pointer, value, code, field) in cases {
        let folder = copy(family);
        set(folder.path(), file, pointer, value);
        let error = open(folder.path()).unwrap_err();
        assert_eq!(error.code(), code, "{file}: {error}");
        assert_eq!(error.class(), if code == "FIELD_CHOICE" { Class::Unsupported } else { Class::Model });
        let message = error.to_string();
        assert!(message.starts_with(&format!("{file}: {field}")), "{message}");
        if code == "PROCESSOR_MISMATCH" {
            assert!(message.contains("config.json: vision_config."), "{message}");
        }
    }
}

/// A file cut in half, one with a key twice, a link out of the folder, and none at all.
#[test]
fn a_broken_file_of_any_kind_is_named() {
    let files = [
        ("qwen2_vl", "processor_config.json", Some("PROCESSOR_MISSING")),
        ("qwen2_vl", "tokenizer.json", Some("FILE_MISSING")),
        ("qwen2_vl", "generation_config.json", None),
        ("qwen2_vl_published", "preprocessor_config.json", Some("PROCESSOR_MISSING")),
        ("qwen2_vl_published", "chat_template.json", None),
        ("qwen2_vl_published", "config.json", Some("FILE_MISSING")),
    ];
    for (family, file, missing) in files {
        let folder = copy(family);
        let path = folder.path().join(file);
        let whole = fs::read(&path).unwrap();
        let refused = |code: &str| {
            let error = open(folder.path()).unwrap_err();
            assert_eq!(error.code(), code, "{file}: {error}");
            assert!(error.to_string().contains(file), "{error}");
        };
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        refused("JSON_SYNTAX");
        fs::write(&path, "{\"x\": 1, \"x\": 2}").unwrap();
        refused("JSON_DUPLICATE");
        fs::write(&path, b"{\"x\": \"\xff\"}").unwrap();
        refused(if file == "tokenizer.json" { "FILE_UTF8" } else { "JSON_UTF8" });
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("x"), &whole).unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(outside.path().join("x"), &path).unwrap();
        refused("PATH_ESCAPE");
        fs::remove_file(&path).unwrap();
        match missing {
            Some(code) => refused(code),
            None => drop(open(folder.path()).unwrap()),
        }
        fs::write(&path, &whole).unwrap();
        open(folder.path()).unwrap();
    }
}
