//! The system refuses, at every call and in several ways: one clear error, and running again goes on.

use std::path::Path;

use mquant::Explain;

use crate::job::crashes::{OUTPUT, Story, UNITS};
use crate::job::simulated::{Loss, NO_SPACE, Plan, Simulated};
use crate::job::toy::run;

/// Input or output error, no space, read-only, quota.
const ERRORS: [i32; 4] = [5, NO_SPACE, 30, 122];

fn calls() -> usize {
    let mut story = Story::new();
    story.run(Plan::default()).unwrap();
    story.disk.calls()
}

#[test]
fn every_call_may_fail_once() {
    let calls = calls();
    assert!(calls > 400, "{calls}");
    for call in 0..calls {
        for error in ERRORS {
            let at = format!("call {call} of {calls}, error {error}");
            let plan = Plan { failing: Some((call, error)), ..Plan::default() };
            let disk = Simulated::new();
            disk.start(plan);
            let (done, result) = run(&disk.shared(), Path::new(OUTPUT), UNITS, &mut |_| {});
            let computed = done.computed.len();
            if let Err(e) = result {
                let (message, source) = (e.to_string(), std::error::Error::source(&e));
                assert!(message.contains("/models"), "{at}: {message}");
                assert!(source.is_some() && e.hint().is_some() || e.code() != "JOB_IO", "{at}: {message}");
                assert_eq!(e.class().exit_code(), 74, "{at}: {message}");
                if e.code() == "JOB_NO_SPACE" {
                    assert!(message.contains("bytes are needed, 1073741824 are free"), "{message}");
                }
            }
            disk.restart(Loss::Nothing, 1);
            disk.start(Plan::default());
            let (again, result) = run(&disk.shared(), Path::new(OUTPUT), UNITS, &mut |_| {});
            result.unwrap();
            assert!(computed + again.computed.len() <= UNITS + 1, "{at}");
            assert!(!done.promised.iter().any(|unit| again.computed.contains(unit) && done.computed.contains(unit)));
            // What a failed sync took must not be relied on.
            let mut story = Story::on(disk);
            let told = story.crash(Loss::Unsynced, 1).and_then(|()| story.end(1));
            assert_eq!(told, Ok(()), "{at}");
            assert_eq!(story.runs, 2);
        }
    }
}

#[test]
fn a_full_disk_stops_the_job_and_more_space_lets_it_go_on() {
    for call in 0..calls() {
        let mut story = Story::new();
        let told = story
            .run(Plan { full_from: Some(call), ..Plan::default() })
            .and_then(|()| story.run(Plan { full_from: Some(30), ..Plan::default() }))
            .and_then(|()| story.crash(Loss::Unsynced, 1))
            .and_then(|()| story.end(1));
        assert_eq!(told, Ok(()), "full from call {call} on");
    }
}
