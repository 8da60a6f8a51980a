//! A job small enough to be run thousands of times: units of known content, and a result with several weight files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mquant::checkpoint::{ShardsWriter, StoredDtype, TensorShape};
use mquant::disk::SharedDisk;
use mquant::job::{Fingerprint, Job, JobError, Note, Opened};
use serde_json::json;

/// Files by path.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What a run did, as far as it came.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Units that were computed.
    pub(crate) computed: Vec<usize>,
    /// Units that the job said are done.
    pub(crate) promised: Vec<usize>,
    pub(crate) notes: Vec<Note>,
    /// Whether the result was there already.
    pub(crate) was_complete: bool,
}

pub(crate) fn fingerprint() -> Fingerprint {
    let parts = ["recipe", "model", "calibration", "version", "level"];
    parts.map(|part| (part.to_owned(), format!("the {part} of the toy"))).into()
}

/// From a byte to a few pages; no two alike.
pub(crate) fn content(unit: usize) -> Vec<u8> {
    let mut x = unit as u64 + 1;
    let bytes = (0..=(unit % 7) * 1500 + unit).map(|_| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 56) as u8
    });
    bytes.collect()
}

/// Runs the job as far as it goes. `computing` is told of every unit before it is computed.
pub(crate) fn run(
    disk: &SharedDisk,
    output: &Path,
    units: usize,
    computing: &mut dyn FnMut(usize),
) -> (Done, Result<(), JobError>) {
    let mut done = Done::default();
    let result = try_run(disk, output, units, computing, &mut done);
    (done, result)
}

fn try_run(
    disk: &SharedDisk,
    output: &Path,
    units: usize,
    computing: &mut dyn FnMut(usize),
    done: &mut Done,
) -> Result<(), JobError> {
    let mut job = match Job::open(disk, output, &fingerprint())? {
        Opened::Complete(_) => {
            done.was_complete = true;
            return Ok(());
        }
        Opened::Unfinished(job) => job,
    };
    done.notes.extend(job.take_notes());
    for unit in 0..units {
        let name = format!("unit.{unit}");
        if job.unit(&name).is_none() {
            computing(unit);
            done.computed.push(unit);
            job.commit(&name, &content(unit))?;
        }
        done.promised.push(unit);
    }
    done.notes.extend(job.take_notes());
    job.finish(&json!({"units": units}), |job, folder| {
        folder.write("config.json", b"{}\n")?;
        let contents = (0..units).map(|unit| job.require_unit(&format!("unit.{unit}")));
        let contents = contents.collect::<Result<Vec<_>, _>>()?;
        let shape = |(i, bytes): (usize, &Vec<u8>)| TensorShape {
            name: format!("t{i}"),
            dtype: StoredDtype::U8,
            shape: vec![bytes.len() + 1],
        };
        let tensors = contents.iter().enumerate().map(shape).collect();
        let mut weights = ShardsWriter::create(&folder, tensors, 40_000)?;
        for bytes in &contents {
            weights.write(bytes)?;
            weights.write(&[0])?;
        }
        weights.finish()?;
        Ok::<_, JobError>(folder)
    })?;
    Ok(())
}

/// What is below `output`, and whether that is all there is: nothing, the whole result, or neither.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Absent,
    Whole,
    Broken,
}

pub(crate) fn outcome(files: &Files, output: &Path, expected: &Files) -> Outcome {
    let found: Files = files
        .iter()
        .filter_map(|(path, bytes)| Some((path.strip_prefix(output).ok()?.to_owned(), bytes.clone())))
        .collect();
    match found {
        found if found.is_empty() => Outcome::Absent,
        found if found == *expected => Outcome::Whole,
        _ => Outcome::Broken,
    }
}

/// The result of a run in which nothing happened, by path below the output.
pub(crate) fn expected(units: usize) -> Files {
    let root = tempfile::tempdir().unwrap();
    let output = root.path().join("out");
    run(&mquant::disk::RealDisk::shared(), &output, units, &mut |_| {}).1.unwrap();
    real_files(&output)
}

/// Files of a folder on the system's disk, by name.
pub(crate) fn real_files(folder: &Path) -> Files {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeMap::new() };
    let entries = entries.map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into(), std::fs::read(entry.path()).unwrap())).collect()
}
