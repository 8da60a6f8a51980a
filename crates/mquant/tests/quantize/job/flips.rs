//! Bits flip where they lie: every one is noticed, and costs no more than its unit.

use std::fs;
use std::path::{Path, PathBuf};

use mquant::bundle::verify;
use mquant::disk::RealDisk;
use mquant::job::Note;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::job::simulated::{Loss, Plan, Simulated};
use crate::job::toy::{Done, Outcome, expected, outcome, run};

const UNITS: usize = 4;
const OUTPUT: &str = "/out";

/// A job killed with all units done and nothing else.
fn worked() -> Simulated {
    let disk = Simulated::new();
    let ran = |plan| {
        disk.start(plan);
        run(&disk.shared(), Path::new(OUTPUT), UNITS, &mut |_| {}).0
    };
    for operation in 0.. {
        let done = ran(Plan { crash_after: Some(operation), ..Plan::default() });
        disk.restart(Loss::Nothing, 1);
        if done.promised.len() == UNITS {
            return disk;
        }
    }
    unreachable!()
}

fn after_a_flip(worked: &Simulated, path: &Path, bit: usize, result: &crate::job::toy::Files) -> Done {
    let disk = worked.copy();
    disk.flip(path, bit);
    disk.start(Plan::default());
    let (done, ended) = run(&disk.shared(), Path::new(OUTPUT), UNITS, &mut |_| {});
    ended.unwrap();
    let outcome = outcome(&disk.files(), Path::new(OUTPUT), result);
    assert_eq!(outcome, Outcome::Whole, "bit {bit} of {}", path.display());
    done
}

#[test]
fn in_the_journal() {
    let (worked, result) = (worked(), expected(UNITS));
    let path = Path::new("/out.partial/journal.jsonl");
    let bytes = worked.files()[path].len();
    for bit in 0..bytes * 8 {
        let done = after_a_flip(&worked, path, bit, &result);
        // The end of the last line alone looks like a crash.
        let is_noted = done.notes.iter().any(|note| matches!(note, Note::JournalLine { .. }));
        assert!(is_noted || bit / 8 == bytes - 1, "bit {bit}");
        assert!((1..=2).contains(&done.computed.len()), "bit {bit}: {:?}", done.computed);
    }
}

#[test]
fn in_the_fingerprint() {
    let (worked, result) = (worked(), expected(UNITS));
    let path = Path::new("/out.partial/job.json");
    for bit in 0..worked.files()[path].len() * 8 {
        let done = after_a_flip(&worked, path, bit, &result);
        assert_eq!((done.notes, done.computed), (vec![Note::Header], vec![]), "bit {bit}");
    }
}

#[test]
fn in_units() {
    let (worked, result) = (worked(), expected(UNITS));
    let mut random = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..1000 {
        let unit = random.random_range(0..UNITS);
        let path = PathBuf::from(format!("/out.partial/units/unit.{unit}"));
        let bit = random.random_range(0..worked.files()[&path].len() * 8);
        let done = after_a_flip(&worked, &path, bit, &result);
        assert_eq!(done.computed, [unit], "bit {bit}");
        assert!(matches!(&done.notes[..], [Note::Unit { name, .. }] if *name == format!("unit.{unit}")));
    }
}

#[test]
fn in_the_result() {
    let root = tempfile::tempdir().unwrap();
    let output = root.path().join("out");
    run(&RealDisk::shared(), &output, UNITS, &mut |_| {}).1.unwrap();
    let is_intact = || verify(&output, &mut |_, _| {}).is_ok_and(|report| report.is_intact());
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for (name, bytes) in expected(UNITS) {
        for _ in 0..200 {
            assert!(is_intact());
            let bit = random.random_range(0..bytes.len() * 8);
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(output.join(&name), flipped).unwrap();
            assert!(!is_intact(), "bit {bit} of {}", name.display());
            fs::write(output.join(&name), &bytes).unwrap();
        }
    }
}
