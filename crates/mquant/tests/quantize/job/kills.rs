//! Real processes on a real disk: killed at any moment, and several at once on one output.
//!
//! This program is its own victim (`--toy OUTPUT LOG`).

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "this program is a test")]

mod toy;

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Instant;

use mquant::Explain;
use mquant::bundle::verify;
use mquant::disk::RealDisk;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use toy::{Outcome, expected, outcome, real_files, run};

const KILLS: usize = 1000;
const RACES: usize = 50;
const RACERS: usize = 4;
/// Few, so that kills hit the beginning and the end often.
const UNITS: usize = 8;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--toy") => return victim(Path::new(&arguments[2]), Path::new(&arguments[3])),
        Some("--list") => {}
        _ => {
            kills();
            races();
        }
    }
    ExitCode::SUCCESS
}

/// Runs the job, and writes down what it computes. Says how it ended.
fn victim(output: &Path, log: &Path) -> ExitCode {
    let mut log = OpenOptions::new().append(true).create(true).open(log).unwrap();
    let (done, result) = run(&RealDisk::shared(), output, UNITS, &mut |unit| writeln!(log, "{unit}").unwrap());
    match result {
        Ok(()) if done.was_complete => println!("complete"),
        Ok(()) if done.notes.is_empty() => println!("made"),
        Ok(()) => println!("damaged: {:?}", done.notes),
        Err(e) => {
            println!("{} {e}", e.code());
            return ExitCode::from(e.class().exit_code());
        }
    }
    ExitCode::SUCCESS
}

fn start(output: &Path, log: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--toy").args([output, log]).stdout(Stdio::piped()).spawn().unwrap()
}

/// In memory where there is such a place: a kill takes nothing that was written, and syncs of a disk take most of the time.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// How a victim ended, and what it said.
fn end(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
}

fn computed(log: &Path) -> usize {
    fs::read_to_string(log).unwrap_or_default().lines().count()
}

fn kills() {
    let root = folder();
    let (output, log) = (root.path().join("out"), root.path().join("log"));
    let result = expected(UNITS);
    let look = || outcome(&below(&output), &output, &result);
    let clock = Instant::now();
    assert_eq!(end(start(&output, &log)), (Some(0), "made".to_owned()));
    let whole = clock.elapsed();
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let (mut kills, mut results, mut since) = (0, 0, 0);
    fs::remove_dir_all(&output).unwrap();
    fs::remove_file(&log).unwrap();
    while kills < KILLS {
        let mut child = start(&output, &log);
        sleep(whole.mul_f64(random.random_range(0.0..1.1)));
        child.kill().unwrap();
        let (code, said) = end(child);
        let found = look();
        match code {
            None => {
                (kills, since) = (kills + 1, since + 1);
                assert_ne!(found, Outcome::Broken, "kill {kills}");
            }
            Some(0) => assert_eq!(found, Outcome::Whole, "{said}"),
            Some(code) => panic!("{code}: {said}"),
        }
        assert!(computed(&log) <= UNITS + since, "{} units computed with {since} kills", computed(&log));
        if found == Outcome::Whole {
            let (code, said) = end(start(&output, &log));
            assert_eq!((code, said.as_str()), (Some(0), "complete"));
            assert_eq!(names(root.path()), ["log", "out"]);
            assert!(verify(&output, &mut |_, _| {}).unwrap().is_intact());
            fs::remove_dir_all(&output).unwrap();
            fs::remove_file(&log).unwrap();
            (results, since) = (results + 1, 0);
        }
    }
    let seconds = clock.elapsed().as_secs_f64();
    println!("kills: {kills} kills, {results} results of the same bytes, none broken, in {seconds:.1} s");
    assert!(results > 50, "kills always hit the beginning: {results}");
}

fn races() {
    let result = expected(UNITS);
    let (mut locked, mut complete) = (0, 0);
    for race in 0..RACES {
        let root = folder();
        let (output, log) = (root.path().join("out"), root.path().join("log"));
        let racers: Vec<Child> = (0..RACERS).map(|_| start(&output, &log)).collect();
        let processes: Vec<String> = racers.iter().map(|racer| format!("by process {}", racer.id())).collect();
        let ends: Vec<(Option<i32>, String)> = racers.into_iter().map(end).collect();
        let mut winners = 0;
        for (code, said) in &ends {
            match (code, said.as_str()) {
                (Some(0), "made") => winners += 1,
                (Some(0), "complete") => complete += 1,
                (Some(75), said) if said.starts_with("JOB_LOCKED") => {
                    let is_named = processes.iter().any(|process| said.ends_with(process));
                    assert!(is_named || said.ends_with("by another process"), "{said}");
                    locked += 1;
                }
                other => panic!("race {race}: {other:?}"),
            }
        }
        assert_eq!(winners, 1, "race {race}: {ends:?}");
        assert_eq!(computed(&log), UNITS, "race {race}");
        assert_eq!(outcome(&below(&output), &output, &result), Outcome::Whole, "race {race}");
        // A run that found the result may have been the last to leave the work.
        assert!(end(start(&output, &log)).1 == "complete" && names(root.path()) == ["log", "out"], "race {race}");
    }
    println!("races: {RACES} of {RACERS} processes, one winner each; {locked} found it locked, {complete} complete");
    assert!(locked >= 5, "they must overlap: {locked}");
}

fn below(output: &Path) -> toy::Files {
    real_files(output).into_iter().map(|(name, bytes)| (output.join(name), bytes)).collect()
}

fn names(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<OsString> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}
