//! Starting the command, and model folders to start it on.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The command with the given arguments, closed stdin, and nothing of the caller's environment that it reads.
pub(crate) fn mquant(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mquant"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("MQUANT_DEMO_MODEL")
        .env_remove("MQUANT_DEMO_OMNI_MODEL")
        .env_remove("HF_HUB_OFFLINE")
        .env_remove("MQUANT_CPU");
    command.current_dir(std::env::temp_dir());
    command
}

/// Runs it to its end.
pub(crate) fn output(arguments: &[&str]) -> Output {
    mquant(arguments).output().unwrap()
}

/// Runs it to its end with something on stdin.
pub(crate) fn output_with_stdin(arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child =
        mquant(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    child.wait_with_output().unwrap()
}

/// The one JSON object on stdout.
pub(crate) fn object(output: &Output, schema: &str) -> Value {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}\n{}", stderr(output)));
    assert_eq!(value["schema"], schema);
    value
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A tiny model with its golden conversations.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../mquant/tests/goldens").join(name).canonicalize().unwrap()
}

/// A copy of the tiny model that a test may spoil.
pub(crate) struct Copied {
    dir: TempDir,
}

impl Copied {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            "config.json",
            "generation_config.json",
            "chat_template.jinja",
            "model.safetensors",
            "processor_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
        ];
        for file in files {
            fs::copy(golden("qwen2_vl").join(file), dir.path().join(file)).unwrap();
        }
        Self { dir }
    }

    pub(crate) fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// With one file replaced.
    pub(crate) fn with(self, file: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.file(file), content).unwrap();
        self
    }

    /// With a text in one file replaced by another, which must occur.
    pub(crate) fn edited(self, file: &str, from: &str, to: &str) -> Self {
        let text = fs::read_to_string(self.file(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        self.with(file, text.replace(from, to))
    }
}
