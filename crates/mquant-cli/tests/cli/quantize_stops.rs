//! `mquant quantize` stopped by signals and by other runs: the same command goes on to the same bytes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::command::{mquant, object, output, stderr};
use crate::quantize::Place;

const KILLS: usize = 60;

fn start(place: &Place) -> Child {
    let arguments = place.arguments(&[]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    mquant(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Reads what it tells until it has done that many units.
fn wait_for(talk: &mut impl BufRead, committed: usize) {
    let mut seen = 0;
    while seen < committed {
        let mut line = String::new();
        assert!(talk.read_line(&mut line).unwrap() > 0, "it ended early");
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        seen += usize::from(told["event"] == "committed");
    }
}

#[test]
fn killed_at_any_time_it_goes_on_to_one_result() {
    // Other tests run beside it: the fastest of some runs is how long one takes.
    let run = || {
        let (whole, clock) = (Place::new(), Instant::now());
        assert_eq!(whole.run(&[]).status.code(), Some(0));
        (clock.elapsed(), whole.files())
    };
    let ((a, expected), (b, again), (c, _)) = (run(), run(), run());
    assert!(expected == again);
    let time = a.min(b).min(c);
    let mut state = 7u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    let (mut kills, mut results, mut stopped_early) = (0, 0, 0);
    let mut place = Place::new();
    while kills < KILLS {
        let mut child = start(&place);
        sleep(time.mul_f64(random()));
        child.kill().unwrap();
        let ended = child.wait_with_output().unwrap();
        match ended.status.code() {
            None => kills += 1,
            Some(0) => {}
            Some(code) => panic!("{code}: {}", stderr(&ended)),
        }
        if place.output().exists() {
            assert!(place.files() == expected, "kill {kills}: another result");
            let again = place.run(&[]);
            assert_eq!(
                (again.status.code(), place.names()),
                (Some(0), vec!["out".to_owned(), "out-report".to_owned()])
            );
            assert_eq!(output(&["verify", place.output().to_str().unwrap()]).status.code(), Some(0));
            (results, place) = (results + 1, Place::new());
        } else {
            stopped_early += 1;
        }
    }
    if place.names() != Vec::<String>::new() {
        let ended = object(&place.run(&["--json"]), "mquant.quantize/1");
        println!("{} units were there at the last start", ended["resumed"]);
    } else {
        assert_eq!(place.run(&[]).status.code(), Some(0));
    }
    assert!(place.files() == expected);
    println!(
        "{kills} kills of runs of {time:.2?}, {stopped_early} before the end, {} results, one content",
        results + 1
    );
    assert!(stopped_early >= KILLS / 2 && results >= 3, "{stopped_early} {results}");
}

#[test]
fn an_interrupt_keeps_what_is_done() {
    let whole = Place::new();
    assert_eq!(whole.run(&[]).status.code(), Some(0));
    for (signal, code, units) in [(Signal::INT, 130, 1), (Signal::TERM, 143, 4)] {
        let place = Place::new();
        let mut child = start(&place);
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        wait_for(&mut talk, units);
        send(&child, signal);
        let sent = Instant::now();
        let mut rest = String::new();
        talk.read_to_string(&mut rest).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert!(sent.elapsed() < Duration::from_secs(5), "{:?}", sent.elapsed());
        assert_eq!((ended.status.code(), ended.stdout.len()), (Some(code), 0), "{rest}");
        assert!(rest.ends_with("what is done is kept: the same command goes on from here\n"), "{rest}");
        assert_eq!(place.names(), ["out.partial"]);
        let report = object(&place.run(&["--json"]), "mquant.quantize/1");
        assert!(report["resumed"].as_u64().unwrap() >= units as u64, "{}", report["resumed"]);
        assert!(place.files() == whole.files());
    }
}

#[test]
fn a_second_run_is_told_who_has_the_output() {
    let place = Place::new();
    let mut first = start(&place);
    let mut talk = BufReader::new(first.stderr.take().unwrap());
    wait_for(&mut talk, 1);
    send(&first, Signal::STOP);
    let second = place.run(&["--json"]);
    send(&first, Signal::CONT);
    let error = object(&second, "mquant.error/1");
    assert_eq!((second.status.code(), &error["code"]), (Some(75), &"JOB_LOCKED".into()));
    let holder = format!("is being worked on by process {}", first.id());
    assert!(error["message"].as_str().unwrap().contains(&holder), "{error}");
    talk.read_to_string(&mut String::new()).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert_eq!(place.names(), ["out", "out-report"]);
}
