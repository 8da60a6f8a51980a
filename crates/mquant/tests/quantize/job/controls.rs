//! The crash test can fail: without any one of the syncs, it does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::job::crashes::{OUTPUT, Story, crash_after, operations};
use crate::job::simulated::{LOSSES, Loss, Plan};

#[test]
fn a_crash_shows_each_sync_that_is_missing() {
    let mut whole = Story::new();
    whole.run(Plan::default()).unwrap();
    let (syncs, operations) = (whole.disk.syncs(), whole.disk.operations());
    assert!(syncs.len() > 90, "{}", syncs.len());
    for (i, (path, at)) in syncs.iter().enumerate() {
        let is_shown = (*at..operations).any(|operation| {
            LOSSES.iter().any(|loss| {
                let mut story = Story::new();
                let plan = Plan { crash_after: Some(operation), lying_sync: Some(i), ..Plan::default() };
                let told = story.run(plan);
                told.and_then(|()| story.crash(*loss, 1)).and_then(|()| story.end(1)).is_err()
            })
        });
        assert!(is_shown, "sync {i} of {}", path.display());
    }
}

/// What a run syncs before it works is needed only after some kinds of ends of the run before.
#[test]
fn a_crash_shows_each_sync_of_a_beginning_that_is_missing() {
    let operations = operations();
    let mut shown: BTreeMap<(PathBuf, bool), bool> = BTreeMap::new();
    // The beginning, two units, and the end.
    for killed in (0..32).chain(operations - 70..operations) {
        let mut first = Story::new();
        first.run(crash_after(killed)).unwrap();
        first.crash(Loss::Nothing, 1).unwrap();
        let begun = first.disk.copy();
        let mut whole = Story::on(begun.copy());
        whole.run(Plan::default()).unwrap();
        let syncs = whole.disk.syncs();
        let is_complete = syncs.len() == 1;
        for (i, (path, at)) in syncs.iter().enumerate().take(5) {
            let key = (path.clone(), is_complete);
            let is_of_work =
                ["units", "bundle"].iter().any(|name| path.starts_with(format!("{OUTPUT}.partial/{name}")));
            if shown.get(&key) == Some(&true) || is_of_work {
                continue;
            }
            let is_shown = (*at..(*at + 30)).any(|operation| {
                let mut story = Story::on(begun.copy());
                let plan = Plan { crash_after: Some(operation), lying_sync: Some(i), ..Plan::default() };
                let told = story.run(plan);
                told.and_then(|()| story.crash(Loss::Unsynced, 1)).and_then(|()| story.end(1)).is_err()
            });
            *shown.entry(key).or_default() |= is_shown;
        }
    }
    let unseen: BTreeSet<_> = shown.iter().filter(|(_, is_shown)| !**is_shown).map(|(key, _)| key).collect();
    assert!(unseen.is_empty(), "{unseen:?} of {shown:?}");
    assert_eq!(shown.len(), 6, "{shown:?}");
}
