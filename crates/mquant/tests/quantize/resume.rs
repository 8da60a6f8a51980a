//! A job that was stopped goes on to the same bytes, and does nothing twice that was committed.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use mquant::Error;
use mquant::calibrate::samples::Gathered;
use mquant::nn::PartId;
use mquant::pipeline::{Event, Outcome};
use mquant::recipe::Recipe;
use mquant::run::LoadedModel;

use crate::folder::{GOLDEN, at, edit, golden_copy, open, samples};
use crate::making::{Making, differing, files, names, preset};

/// All that a recipe can do to a unit, and the less of it the faster: this is run dozens of times.
fn recipe() -> Recipe {
    let mut recipe = preset("mquant-w4a8");
    recipe.calibration.generated_tokens = 2;
    recipe
}

struct Toy {
    loaded: LoadedModel,
    recipe: Recipe,
    shown: Gathered,
}

/// What a run did until it was stopped or ended.
#[derive(Default)]
struct Seen {
    events: usize,
    /// Units that were computed.
    computed: Vec<PartId>,
    /// Units that were there.
    known: Vec<PartId>,
    committed: usize,
}

impl Toy {
    fn new() -> Self {
        Self { loaded: open(&at(GOLDEN)), recipe: recipe(), shown: samples(2) }
    }

    /// Runs until the event of this number.
    fn run(&self, output: &Path, last: Option<usize>) -> (Seen, Outcome) {
        let mut seen = Seen::default();
        let making = Making::new(&self.loaded, &self.recipe, &self.shown);
        let outcome = making.run(output, &mut |event| {
            match event {
                Event::Unit { unit, known: true, .. } => seen.known.push(unit),
                Event::Unit { unit, .. } => seen.computed.push(unit),
                Event::Committed { .. } => seen.committed += 1,
                _ => {}
            }
            seen.events += 1;
            if last == Some(seen.events - 1) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        (seen, outcome.unwrap())
    }

    fn whole(&self) -> (usize, BTreeMap<String, Vec<u8>>) {
        let root = tempfile::tempdir().unwrap();
        let output = root.path().join("out");
        let (seen, outcome) = self.run(&output, None);
        assert!(matches!(outcome, Outcome::Complete(_)));
        (seen.events, files(&output))
    }

    fn units(&self) -> Vec<PartId> {
        self.loaded.model.part_ids()
    }
}

#[test]
fn stopped_at_any_event_it_ends_with_the_same_bytes() {
    let toy = Toy::new();
    let (events, expected) = toy.whole();
    // Two samples; eight units with a beginning and an end each; four sites of each of four blocks, and four others; the end.
    assert_eq!(events, 2 + 8 * 2 + 4 * 4 + 4 + 1);
    for last in 0..events {
        let root = tempfile::tempdir().unwrap();
        let output = root.path().join("out");
        let (stopped, outcome) = toy.run(&output, Some(last));
        assert!(matches!(outcome, Outcome::Interrupted), "event {last}");
        assert_eq!((stopped.events, names(root.path())), (last + 1, vec!["out.partial".to_owned()]), "event {last}");
        let (seen, outcome) = toy.run(&output, None);
        let Outcome::Complete(summary) = outcome else { panic!("event {last}: {outcome:?}") };
        assert_eq!(seen.known, toy.units()[..stopped.committed], "event {last}");
        assert_eq!((summary.resumed, seen.computed.len()), (stopped.committed, 8 - stopped.committed), "event {last}");
        assert_eq!(differing(&expected, &files(&output)), Vec::<String>::new(), "event {last} of {events}");
        assert_eq!(names(root.path()), ["out"], "event {last}");
    }
}

#[test]
fn stopped_after_every_unit_it_ends_with_the_same_bytes() {
    let toy = Toy::new();
    let (_, expected) = toy.whole();
    let root = tempfile::tempdir().unwrap();
    let output = root.path().join("out");
    let making = Making::new(&toy.loaded, &toy.recipe, &toy.shown);
    for done in 0..toy.units().len() {
        let (mut known, mut computed) = (0, 0);
        let outcome = making.run(&output, &mut |event| match event {
            Event::Unit { known: is_known, .. } => {
                known += usize::from(is_known);
                computed += usize::from(!is_known);
                ControlFlow::Continue(())
            }
            Event::Committed { .. } if computed == 1 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        assert!(matches!(outcome.unwrap(), Outcome::Interrupted));
        assert_eq!((known, computed), (done, 1));
    }
    let summary = making.end(&output).unwrap();
    assert_eq!((summary.resumed, summary.units.len()), (8, 8));
    assert_eq!(differing(&expected, &files(&output)), Vec::<String>::new());
}

#[test]
fn a_damaged_unit_is_done_again() {
    let toy = Toy::new();
    let (_, expected) = toy.whole();
    let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let flipped = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        bytes
    };
    type Damage<'a> = &'a dyn Fn(&[u8]) -> Option<Vec<u8>>;
    let damages: [(&str, Damage<'_>); 3] = [
        ("vision.0", &|bytes| Some(flipped(bytes))),
        ("embedding", &|bytes| Some(half(bytes))),
        ("vision.patch", &|_| None),
    ];
    for (name, damage) in damages {
        let root = tempfile::tempdir().unwrap();
        let output = root.path().join("out");
        let (stopped, _) = toy.run(&output, Some(2 + 4 + 2 * 5 + 12));
        assert!(stopped.committed >= 5, "{}", stopped.committed);
        let path = root.path().join("out.partial/units").join(name);
        match damage(&fs::read(&path).unwrap()) {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let (seen, outcome) = toy.run(&output, None);
        assert!(matches!(outcome, Outcome::Complete(_)), "{name}");
        let again: Vec<String> = seen.computed.iter().map(ToString::to_string).collect();
        assert!(again.contains(&name.to_owned()) && again.len() == 1 + 8 - stopped.committed, "{name}: {again:?}");
        assert_eq!(differing(&expected, &files(&output)), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn what_is_complete_is_left_alone() {
    let toy = Toy::new();
    let root = tempfile::tempdir().unwrap();
    let output = root.path().join("out");
    toy.run(&output, None);
    let stamp = || fs::metadata(output.join("mquant.json")).unwrap().modified().unwrap();
    let (before, made) = (files(&output), stamp());
    let (seen, outcome) = toy.run(&output, None);
    assert!(matches!(outcome, Outcome::AlreadyComplete) && seen.events == 0);
    assert_eq!((differing(&before, &files(&output)), stamp()), (vec![], made));
}

/// Opens the output with something changed, whether it is begun or complete.
fn refused(change: impl Fn(&mut Toy, &mut Option<usize>)) -> [Error; 2] {
    let mut toy = Toy::new();
    let root = tempfile::tempdir().unwrap();
    let (begun, ended) = (root.path().join("begun"), root.path().join("ended"));
    toy.run(&begun, Some(8));
    toy.run(&ended, None);
    let before = (names(&root.path().join("begun.partial/units")), files(&ended));
    let mut context = None;
    change(&mut toy, &mut context);
    let found = [&begun, &ended].map(|output| {
        let making = Making { context, ..Making::new(&toy.loaded, &toy.recipe, &toy.shown) };
        let ended = making.run(output, &mut |_| ControlFlow::Continue(())).map(drop);
        ended.expect_err("something else was quantised")
    });
    assert_eq!(before, (names(&root.path().join("begun.partial/units")), files(&ended)), "a refusal changes nothing");
    found
}

#[test]
fn other_inputs_are_refused_by_name() {
    let other_model = golden_copy();
    edit(other_model.path(), "model.norm.weight", |i, v| if i == 5 { v + 0.25 } else { v });
    type Change<'a> = &'a dyn Fn(&mut Toy, &mut Option<usize>);
    let changes: [(&str, Change<'_>); 5] = [
        ("recipe", &|toy, _| toy.recipe.calibration.generated_tokens = 3),
        ("recipe", &|toy, _| toy.recipe.seed = 1),
        ("samples", &|toy, _| toy.shown = samples(3)),
        ("model", &|toy, _| toy.loaded = open(other_model.path())),
        ("context", &|_, context| *context = Some(900)),
    ];
    for (part, change) in changes {
        for error in refused(change) {
            assert_eq!((error.code(), error.class().exit_code()), ("JOB_FINGERPRINT", 2), "{part}: {error}");
            assert!(error.to_string().contains(&format!("was made with another {part}: expected ")), "{error}");
        }
    }
}
