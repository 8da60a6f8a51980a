//! What is refused before any work: other inputs than those of the work there, and outputs that cannot be.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use mquant::Explain;
use mquant::disk::{RealDisk, SharedDisk};
use mquant::job::{Fingerprint, Job, JobError, Opened};

use crate::job::simulated::{Plan, Simulated};
use crate::job::toy::{expected, fingerprint, real_files, run};

const UNITS: usize = 4;

fn open(disk: &SharedDisk, output: &Path, fingerprint: &Fingerprint) -> Result<Opened, JobError> {
    Job::open(disk, output, fingerprint)
}

#[test]
fn another_fingerprint_is_refused_by_the_name_of_its_part() {
    let root = tempfile::tempdir().unwrap();
    let (begun, ended) = (root.path().join("begun"), root.path().join("ended"));
    let disk = RealDisk::shared();
    let Opened::Unfinished(mut job) = open(&disk, &begun, &fingerprint()).unwrap() else { panic!("it is new") };
    job.commit("a", b"content").unwrap();
    drop(job);
    run(&disk, &ended, UNITS, &mut |_| {}).1.unwrap();
    for part in fingerprint().into_keys().chain(["another".to_owned()]) {
        let mut changed = fingerprint();
        changed.insert(part.clone(), "changed".to_owned());
        let mut without = fingerprint();
        without.remove(&part);
        for other in [changed, without].into_iter().filter(|other| *other != fingerprint()) {
            for output in [&begun, &ended] {
                let error = open(&disk, output, &other).unwrap_err();
                assert!(error.to_string().contains(&format!("made with another {part}: expected ")), "{error}");
                assert_eq!((error.code(), error.class().exit_code()), ("JOB_FINGERPRINT", 2));
            }
        }
    }
    let Opened::Unfinished(mut job) = open(&disk, &begun, &fingerprint()).unwrap() else { panic!("it was not ended") };
    assert_eq!(job.done().collect::<Vec<_>>(), ["a"]);
    assert_eq!(job.unit("a"), Some(b"content".to_vec()), "refusals change nothing");
    assert!(job.take_notes().is_empty());
    assert!(matches!(open(&disk, &ended, &fingerprint()).unwrap(), Opened::Complete(_)));
    assert_eq!(real_files(&ended), expected(UNITS));
}

#[test]
fn outputs_that_cannot_be_are_refused_at_once() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::write(at("file"), "x").unwrap();
    fs::create_dir_all(at("folder")).unwrap();
    fs::create_dir_all(at("taken.partial/mine")).unwrap();
    fs::write(at("blocked.partial"), "x").unwrap();
    symlink(at("folder"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    symlink(at("folder"), at("linked.partial")).unwrap();
    let cases = [
        ("file", "JOB_OUTPUT_EXISTS"),
        ("folder", "JOB_OUTPUT_EXISTS"),
        ("link", "JOB_OUTPUT_EXISTS"),
        ("dangling", "JOB_OUTPUT_EXISTS"),
        ("folder/../new", "JOB_OUTPUT"),
        ("..", "JOB_OUTPUT"),
        ("new.partial", "JOB_OUTPUT"),
        ("taken", "JOB_FOREIGN"),
        ("blocked", "JOB_FOREIGN"),
        ("linked", "JOB_FOREIGN"),
        ("file/new", "JOB_IO"),
    ];
    let before = RealDisk.entries(root.path());
    let clock = Instant::now();
    for (name, code) in cases {
        let error = open(&RealDisk::shared(), &at(name), &fingerprint()).unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(error.to_string().contains(name.rsplit('/').next().unwrap()), "{name}: {error}");
        assert!(error.hint().is_some(), "{name}");
    }
    assert!(clock.elapsed() < Duration::from_secs(1));
    assert_eq!(RealDisk.entries(root.path()), before, "nothing was made or removed");
}

trait Entries {
    fn entries(&self, folder: &Path) -> Vec<std::ffi::OsString>;
}

impl Entries for RealDisk {
    fn entries(&self, folder: &Path) -> Vec<std::ffi::OsString> {
        mquant::disk::Disk::list(self, folder).unwrap()
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_at_once() {
    let disk = Simulated::new();
    // Read-only; no permission.
    for error in [30, 13] {
        let folder = (0..).find(|call| {
            disk.start(Plan { failing: Some((*call, error)), ..Plan::default() });
            let refused = open(&disk.shared(), Path::new("/out"), &fingerprint()).unwrap_err();
            assert_eq!((refused.code(), refused.class().exit_code()), ("JOB_IO", 74));
            refused.to_string() == "failed to make the folder /out.partial"
        });
        assert!(folder.is_some_and(|call| call < 5));
        assert!(disk.files().is_empty());
    }
}

#[test]
fn a_second_run_is_told_who_has_the_lock() {
    let root = tempfile::tempdir().unwrap();
    let disk = RealDisk::shared();
    let output = root.path().join("out");
    let Opened::Unfinished(job) = open(&disk, &output, &fingerprint()).unwrap() else { panic!("it is new") };
    let error = open(&disk, &output, &fingerprint()).unwrap_err();
    assert_eq!((error.code(), error.class().exit_code()), ("JOB_LOCKED", 75));
    let holder = format!("out.partial is being worked on by process {}", std::process::id());
    assert!(error.to_string().ends_with(&holder), "{error}");
    drop(job);
    assert!(open(&disk, &output, &fingerprint()).is_ok(), "the lock goes with its holder");
}

#[test]
fn a_failed_builder_leaves_the_units() {
    let root = tempfile::tempdir().unwrap();
    let disk = RealDisk::shared();
    let output = root.path().join("out");
    let begin = || match open(&disk, &output, &fingerprint()).unwrap() {
        Opened::Unfinished(job) => job,
        Opened::Complete(_) => panic!("it was not ended"),
    };
    let mut job = begin();
    job.commit("a", b"content").unwrap();
    assert_eq!(job.commit("../a", b"").unwrap_err().code(), "JOB_UNIT_NAME");
    assert_eq!(job.require_space(u64::MAX).unwrap_err().code(), "JOB_NO_SPACE");
    job.require_space(1).unwrap();
    let failed = job.finish(&serde_json::json!(null), |_, folder| {
        folder.write("config.json", b"{}")?;
        Err(JobError::UnitName { found: "a failure".to_owned() })
    });
    assert_eq!(failed.unwrap_err().code(), "JOB_UNIT_NAME");
    assert_eq!(RealDisk.entries(&root.path().join("out.partial")), ["job.json", "journal.jsonl", "lock", "units"]);
    assert_eq!(begin().unit("a"), Some(b"content".to_vec()));
    assert_eq!(RealDisk.entries(root.path()), ["out.partial"]);
}
