//! The power goes after every operation: running again ends with the same bytes, and nothing that was promised is lost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mquant::job::Note;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::job::simulated::{LOSSES, Loss, Plan, Simulated};
use crate::job::toy::{Outcome, expected, outcome, run};

pub(crate) const UNITS: usize = 30;
pub(crate) const OUTPUT: &str = "/models/out";

/// Files of the result, by name.
pub(crate) fn result() -> &'static BTreeMap<PathBuf, Vec<u8>> {
    static RESULT: OnceLock<BTreeMap<PathBuf, Vec<u8>>> = OnceLock::new();
    RESULT.get_or_init(|| expected(UNITS))
}

/// One job over several runs, and what it has promised so far.
pub(crate) struct Story {
    pub(crate) disk: Simulated,
    promised: Vec<usize>,
    is_finished: bool,
    computed: usize,
    pub(crate) runs: usize,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self::on(Simulated::new())
    }

    pub(crate) fn on(disk: Simulated) -> Self {
        Self { disk, promised: Vec::new(), is_finished: false, computed: 0, runs: 0 }
    }

    /// Runs the job; says what is wrong with it, if anything is.
    pub(crate) fn run(&mut self, plan: Plan) -> Result<(), String> {
        self.disk.start(plan);
        let mut computed = Vec::new();
        // A process does not notice that the power has gone.
        let mut computing = |unit| computed.extend((!self.disk.is_off()).then_some(unit));
        let (done, result) = run(&self.disk.shared(), Path::new(OUTPUT), UNITS, &mut computing);
        self.runs += 1;
        self.computed += computed.len();
        if let Some(lost) = self.promised.iter().find(|unit| computed.contains(*unit)) {
            return Err(format!("unit {lost} was promised and is lost"));
        }
        if self.is_finished && !done.was_complete {
            return Err("the result was promised and is lost".to_owned());
        }
        // A line of the journal that was not promised may be torn.
        if let Some(note) = done.notes.iter().find(|note| !matches!(note, Note::JournalLine { .. })) {
            return Err(format!("a crash alone damaged something: {note}"));
        }
        if self.computed > UNITS + self.runs - 1 {
            return Err(format!("{} units were computed in {} runs", self.computed, self.runs));
        }
        self.promised.extend(done.promised);
        self.is_finished |= result.is_ok();
        let is_off = plan.crash_after.is_some() || plan.failing.is_some() || plan.full_from.is_some();
        match result {
            Err(e) if !is_off => Err(format!("the run failed: {e}")),
            _ => self.look(),
        }
    }

    /// Takes the power away and gives it back.
    pub(crate) fn crash(&mut self, loss: Loss, seed: u64) -> Result<(), String> {
        self.disk.restart(loss, seed);
        self.look()
    }

    fn look(&self) -> Result<(), String> {
        match outcome(&self.disk.files(), Path::new(OUTPUT), result()) {
            Outcome::Broken => Err("the result is neither whole nor absent".to_owned()),
            Outcome::Absent if self.is_finished => Err("the result was promised and is lost".to_owned()),
            _ => Ok(()),
        }
    }

    /// Runs to the end, after which one more crash changes nothing and nothing else is left.
    pub(crate) fn end(&mut self, seed: u64) -> Result<(), String> {
        self.run(Plan::default())?;
        self.crash(Loss::Unsynced, seed)?;
        self.run(Plan::default())?;
        let left = self.disk.files().into_keys().find(|path| !path.starts_with(OUTPUT));
        left.map_or(Ok(()), |path| Err(format!("{} is left over", path.display())))
    }
}

/// Operations of a whole run.
pub(crate) fn operations() -> usize {
    let mut story = Story::new();
    story.run(Plan::default()).unwrap();
    story.disk.operations()
}

pub(crate) fn crash_after(operation: usize) -> Plan {
    Plan { crash_after: Some(operation), ..Plan::default() }
}

#[test]
fn a_crash_after_any_operation_loses_nothing() {
    let operations = operations();
    assert!(operations >= 250, "{operations}");
    for operation in 0..operations {
        for loss in LOSSES {
            let seed = operation as u64;
            let mut story = Story::new();
            let told = story.run(crash_after(operation));
            let told = told.and_then(|()| story.crash(loss, seed)).and_then(|()| story.end(seed));
            assert_eq!(told, Ok(()), "operation {operation} of {operations}, {loss:?}");
        }
    }
}

#[test]
fn a_crash_while_going_on_after_a_crash_loses_nothing() {
    let operations = operations();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for pair in 0..2000 {
        let mut pick = || (random.random_range(0..operations), LOSSES[random.random_range(0..LOSSES.len())]);
        let ((first, first_loss), (second, second_loss)) = (pick(), pick());
        // Half of them soon after the start, where a run finds out what there is.
        let second = if pair % 2 == 0 { second % 40 } else { second };
        let mut story = Story::new();
        let told = story
            .run(crash_after(first))
            .and_then(|()| story.crash(first_loss, pair))
            .and_then(|()| story.run(crash_after(second)))
            .and_then(|()| story.crash(second_loss, pair))
            .and_then(|()| story.end(pair));
        assert_eq!(told, Ok(()), "{first} {first_loss:?}, then {second} {second_loss:?}");
    }
}
