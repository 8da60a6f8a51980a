//! Row A10: a file truncated while it is mapped. Each case is a process of its own, for the fault cannot be survived.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use mquant::Class;
use mquant::checkpoint::{Checkpoint, explain_bus_errors};

use crate::checkpoint::builder::{Model, f32s, whole};

/// Names the folder whose weights the child truncates.
const FOLDER: &str = "MQUANT_TEST_TRUNCATE";
/// Set when the child is to explain itself.
const EXPLAIN: &str = "MQUANT_TEST_EXPLAIN";
const SIGBUS: i32 = 7;

/// Runs [`child`] alone, in another process, on a folder of 64 KiB of weights.
fn truncated(explain: bool) -> Output {
    let model = Model::of(whole(&[("a", "F32", &[16_384], f32s(&[1.0; 16_384]))]));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "checkpoint::truncation::child", "--nocapture"]).env(FOLDER, model.path());
    if explain {
        command.env(EXPLAIN, "1");
    }
    command.output().unwrap()
}

#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    if std::env::var_os(EXPLAIN).is_some() {
        explain_bus_errors().unwrap();
        explain_bus_errors().unwrap();
    }
    let model = Checkpoint::open(folder.to_str().unwrap()).unwrap();
    let weights = std::path::Path::new(&folder).join("model.safetensors");
    let bytes = model.entries()[0].bytes.as_ref();
    // The values before the fault are still there.
    assert_eq!(bytes[..4], 1f32.to_le_bytes());
    std::fs::File::options().write(true).open(weights).unwrap().set_len(4096).unwrap();
    println!("{}", bytes.iter().map(|&b| u64::from(b)).sum::<u64>());
}

#[test]
fn a10_a_truncated_file_ends_with_a_line_and_a_code() {
    let Output { status, stderr, .. } = truncated(true);
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(i32::from(Class::Io.exit_code())), "{status}: {stderr}");
    assert_eq!(stderr, "error: a model file was truncated or its disk failed while it was being read\n");
}

/// Without the handler the same child dies of the signal: the test above tests something.
#[test]
fn a10_control_without_the_handler() {
    let Output { status, .. } = truncated(false);
    assert_eq!(status.signal(), Some(SIGBUS), "{status}");
}
