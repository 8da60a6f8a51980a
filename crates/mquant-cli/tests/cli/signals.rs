//! A signal ends a running answer within a token, after what there is has been printed.

use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::command::{Copied, mquant};

/// The tiny model with room for an answer that takes minutes, and an end token that the prompt does not contain.
fn patient_model() -> Copied {
    Copied::new()
        .edited("config.json", "\"max_position_embeddings\": 4096", "\"max_position_embeddings\": 400000")
        .edited("generation_config.json", "\"eos_token_id\": 2", "\"eos_token_id\": 767")
}

fn start(model: &Copied, more: &[&str]) -> Child {
    // A penalty this low makes the model repeat what was said, and so never end.
    let ask = ["run", model.path(), "--prompt", "Go on.", "--max-tokens", "300000", "--repetition-penalty", "0.01"];
    mquant(&[&ask[..], more].concat()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Sends a signal while text is coming; returns the rest of it and the exit code.
fn interrupt(signal: Signal) -> (Vec<u8>, Option<i32>) {
    let model = patient_model();
    let mut child = start(&model, &[]);
    let mut stdout = child.stdout.take().unwrap();
    let mut rest = vec![0; 1];
    stdout.read_exact(&mut rest).unwrap();
    send(&child, signal);
    let sent = Instant::now();
    stdout.read_to_end(&mut rest).unwrap();
    let code = child.wait().unwrap().code();
    assert!(sent.elapsed() < Duration::from_secs(5), "{:?}", sent.elapsed());
    (rest, code)
}

#[test]
fn an_answer_ends_with_130_or_143_and_a_line_end() {
    for (signal, expected) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (text, code) = interrupt(signal);
        assert_eq!(code, Some(expected));
        assert!(text.len() > 1 && text.ends_with(b"\n"));
    }
}

#[test]
fn json_tells_what_there_is() {
    let model = patient_model();
    let mut child = start(&model, &["--json"]);
    // The answer is under way once the model has loaded; a signal before that ends the process without an object.
    std::thread::sleep(Duration::from_millis(1500));
    send(&child, Signal::INT);
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let object: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(object["finish"], "interrupted");
    assert!(object["generated_tokens"].as_u64().unwrap() > 0);
}

#[test]
fn before_the_answer_a_signal_ends_it_at_once() {
    let model = patient_model();
    // Stdin stays open, so that the question is never complete.
    let mut child = mquant(&["run", model.path()]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    send(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
}
