//! Row A9: no name in a file leads outside the folder, and nothing but a regular file is read.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use mquant::checkpoint::{Checkpoint, TEXT_CAP};

use crate::checkpoint::builder::{Model, f32s, refusal, whole};

fn weights() -> Vec<u8> {
    whole(&[("a", "F32", &[2], f32s(&[1.0, 2.0]))])
}

fn index_of(file: &str) -> String {
    serde_json::json!({"weight_map": {"a": file}}).to_string()
}

#[test]
fn a9_names_in_an_index_stay_in_the_folder() {
    let long = format!("{}.safetensors", "n".repeat(300));
    let names = [
        "",
        ".",
        "..",
        "../canary.safetensors",
        "a/../../canary.safetensors",
        "./model.safetensors",
        "sub/w.safetensors",
        "/etc/passwd",
        "//host/share/w.safetensors",
        "..\\canary.safetensors",
        "C:\\w.safetensors",
        "C:w.safetensors",
        "\\\\host\\share\\w.safetensors",
        "\\\\?\\C:\\w.safetensors",
        "\\\\.\\pipe\\w.safetensors",
        "w.safetensors:stream",
        "file:///w.safetensors",
        "w\0.safetensors",
        "w.safetensors\0",
        "w\n.safetensors",
        "\u{1b}[2J.safetensors",
        " w.safetensors",
        "w.safetensors ",
        "w.safetensors.",
        "CON.safetensors",
        "nul.safetensors",
        "AUX",
        "com1.safetensors",
        "LPT9.x.safetensors",
        "w?.safetensors",
        "w*.safetensors",
        "<w>.safetensors",
        "w|.safetensors",
        "\"w\".safetensors",
        "~/../w.safetensors",
        "%2e%2e/w.safetensors",
        "....//w.safetensors",
        "a/",
        "/",
        "\\",
        "../",
        "..\\",
        "a//b.safetensors",
        "$HOME/w.safetensors",
        "sub\\..\\..\\w.safetensors",
        &long,
    ];
    for name in names {
        let model = Model::new();
        model.write("model.safetensors.index.json", index_of(name));
        assert_eq!(model.refusal(), "PATH_ESCAPE", "{name:?}");
    }
    for (name, expected) in [
        ("W.safetensors", "SHARD_MISSING"), // the folder has w.safetensors
        ("w.SAFETENSORS", "INDEX_FORM"),
        ("w.bin", "INDEX_FORM"),
        ("w\u{2044}x.safetensors", "SHARD_MISSING"), // looks like a slash and is none
        ("...safetensors", "SHARD_MISSING"),
        ("w.safetensors", "accepted"),
    ] {
        let model = Model::new();
        model.write("w.safetensors", weights());
        model.write("model.safetensors.index.json", index_of(name));
        assert_eq!(model.refusal(), expected, "{name:?}");
    }
}

#[test]
fn a9_links_stay_in_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("canary"), weights()).unwrap();
    fs::create_dir(outside.path().join("blobs")).unwrap();
    fs::write(outside.path().join("blobs/canary"), weights()).unwrap();
    for target in [outside.path().join("canary"), outside.path().join("blobs/canary")] {
        let model = Model::new();
        symlink(target, model.path().join("model.safetensors")).unwrap();
        assert_eq!(model.refusal(), "PATH_ESCAPE");
    }

    let model = Model::new();
    fs::create_dir(model.path().join("inner")).unwrap();
    fs::write(model.path().join("inner/w"), weights()).unwrap();
    symlink("inner/w", model.path().join("model.safetensors")).unwrap();
    assert_eq!(model.refusal(), "accepted", "a link inside the folder");

    let model = Model::new();
    symlink(outside.path(), model.path().join("inner")).unwrap();
    symlink("inner/canary", model.path().join("model.safetensors")).unwrap();
    assert_eq!(model.refusal(), "PATH_ESCAPE", "a link through a linked folder");

    let model = Model::new();
    symlink("nowhere", model.path().join("model.safetensors")).unwrap();
    assert_eq!(model.refusal(), "FILE_MISSING", "a link to nothing");
    let model = Model::new();
    symlink("model.safetensors", model.path().join("model.safetensors")).unwrap();
    assert_eq!(model.refusal(), "FILE_IO", "a link to itself");

    let model = Model::of(weights());
    fs::remove_file(model.path().join("config.json")).unwrap();
    symlink("/etc/hostname", model.path().join("config.json")).unwrap();
    assert_eq!(model.refusal(), "PATH_ESCAPE", "a linked configuration");
}

/// A Hub cache with one model, whose snapshot holds links as clients write them.
fn cached(root: &Path, model: &str) -> std::path::PathBuf {
    let model = root.join(model);
    let snapshot = model.join("snapshots/0123456789abcdef0123456789abcdef01234567");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(model.join("blobs")).unwrap();
    fs::write(model.join("blobs/w"), weights()).unwrap();
    fs::write(model.join("blobs/c"), "{}").unwrap();
    symlink("../../blobs/w", snapshot.join("model.safetensors")).unwrap();
    symlink("../../blobs/c", snapshot.join("config.json")).unwrap();
    snapshot
}

#[test]
fn a9_a_snapshot_links_to_the_blobs_of_its_own_model_only() {
    let root = tempfile::tempdir().unwrap();
    let open = |path: &Path| refusal(Checkpoint::open(path.to_str().unwrap()));
    let snapshot = cached(root.path(), "models--org--name");
    assert_eq!(open(&snapshot), "accepted");
    let alias = root.path().join("alias");
    symlink(&snapshot, &alias).unwrap();
    assert_eq!(open(&alias), "accepted", "the folder itself may be reached by a link");

    assert_eq!(open(&cached(root.path(), "not-a-model")), "PATH_ESCAPE");
    let other = cached(root.path(), "models--org--other");
    fs::write(root.path().join("models--org--name/loose"), weights()).unwrap();
    for target in ["../../../models--org--name/blobs/w", "../../../models--org--name/loose", "../../blobs/../loose"] {
        fs::remove_file(other.join("model.safetensors")).unwrap();
        symlink(target, other.join("model.safetensors")).unwrap();
        assert_ne!(open(&other), "accepted", "{target}");
    }
}

#[test]
fn a9_only_regular_files_are_read_and_none_can_hang() {
    let started = Instant::now();
    let model = Model::new();
    let at = model.path().join("model.safetensors");
    rustix::fs::mknodat(rustix::fs::CWD, &at, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_eq!(model.refusal(), "FILE_NOT_REGULAR", "a pipe");

    let model = Model::new();
    fs::create_dir(model.path().join("model.safetensors")).unwrap();
    assert_eq!(model.refusal(), "FILE_NOT_REGULAR", "a folder");

    let model = Model::new();
    let _socket = UnixListener::bind(model.path().join("model.safetensors")).unwrap();
    assert_eq!(model.refusal(), "FILE_IO", "a socket");

    for device in ["/dev/zero", "/dev/stdin", "/proc/self/mem"] {
        let model = Model::new();
        symlink(device, model.path().join("model.safetensors")).unwrap();
        assert_eq!(model.refusal(), "PATH_ESCAPE", "{device}");
    }
    let model = Model::of(weights());
    fs::remove_file(model.path().join("config.json")).unwrap();
    let config = model.path().join("config.json");
    rustix::fs::mknodat(rustix::fs::CWD, &config, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_eq!(model.refusal(), "FILE_NOT_REGULAR", "a pipe in place of the configuration");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn other_files_are_read_when_they_are_there() {
    let model = Model::of(weights());
    model.write("generation_config.json", r#"{"eos_token_id": [1, 2]}"#);
    model.write("chat_template.jinja", "{{ messages }}");
    model.write("broken.jinja", [0xff]);
    let huge = fs::File::create(model.path().join("tokenizer.json")).unwrap();
    huge.set_len(TEXT_CAP + 1).unwrap();
    let checkpoint = model.open().unwrap();
    assert_eq!(checkpoint.dir(), model.path());
    assert!(checkpoint.fields("preprocessor_config.json").unwrap().is_none());
    let generation = checkpoint.fields("generation_config.json").unwrap().unwrap();
    assert_eq!(generation.usize_or_list("eos_token_id", 8, 0..=9).unwrap(), [1, 2]);
    assert_eq!(checkpoint.text("chat_template.jinja").unwrap().as_deref(), Some("{{ messages }}"));
    assert!(checkpoint.text("missing.jinja").unwrap().is_none());
    assert_eq!(refusal(checkpoint.text("broken.jinja")), "FILE_UTF8");
    assert_eq!(refusal(checkpoint.text("tokenizer.json")), "FILE_SIZE");
    assert_eq!(refusal(checkpoint.fields("tokenizer.json")), "FILE_SIZE");
    assert!(checkpoint.text("../config.json").unwrap().is_none());
}

#[test]
fn what_is_no_model_folder_is_refused() {
    let model = Model::of(weights());
    let file = model.path().join("config.json");
    let absent = model.path().join("absent");
    assert_eq!(refusal(Checkpoint::open(file.to_str().unwrap())), "MODEL_NOT_A_FOLDER");
    assert_eq!(refusal(Checkpoint::open(absent.to_str().unwrap())), "MODEL_NOT_FOUND");
    for text in ["", "no-such-name", "\0", "org/na me", "org/name/../x", &"x".repeat(5_000)] {
        let code = refusal(Checkpoint::open(text));
        assert!(["MODEL_NOT_FOUND", "FILE_IO"].contains(&code), "{text:?}: {code}");
    }
    fs::remove_file(file).unwrap();
    assert_eq!(model.refusal(), "FILE_MISSING");
}

#[test]
fn an_id_resolves_in_the_cache_of_the_environment() {
    // The environment of a process cannot be changed safely once threads run, so a child of this test reads it.
    const CHILD: &str = "MQUANT_TEST_OPENS_ID";
    if let Ok(id) = std::env::var(CHILD) {
        match Checkpoint::open(&id) {
            Ok(checkpoint) => println!("opened {} tensors", checkpoint.entries().len()),
            Err(error) => println!("{}: {error}", mquant::Explain::code(&error)),
        }
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let snapshot = cached(root.path(), "models--org--name");
    let commit = snapshot.file_name().unwrap().to_str().unwrap().to_owned();
    fs::create_dir(root.path().join("models--org--name/refs")).unwrap();
    fs::write(root.path().join("models--org--name/refs/main"), &commit).unwrap();
    let open = |id: &str, folder: &Path| {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "checkpoint::folders::an_id_resolves_in_the_cache_of_the_environment", "--nocapture"])
            .envs([(CHILD, id), ("HF_HUB_CACHE", root.path().to_str().unwrap()), ("HF_HUB_OFFLINE", "1")])
            .current_dir(folder)
            .output()
            .unwrap();
        String::from_utf8(child.stdout).unwrap()
    };
    let elsewhere = tempfile::tempdir().unwrap();
    assert!(open("org/name", elsewhere.path()).contains("opened 1 tensors"));
    assert!(open(&format!("org/name@{commit}"), elsewhere.path()).contains("opened 1 tensors"));
    let absent = open("org/absent", elsewhere.path());
    assert!(absent.contains("HUB_NOT_CACHED") && absent.contains("models--org--absent"), "{absent}");
    // A folder of that name wins, even a broken one.
    fs::create_dir_all(elsewhere.path().join("org/name")).unwrap();
    assert!(open("org/name", elsewhere.path()).contains("WEIGHTS_MISSING"));
}
