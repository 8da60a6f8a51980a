//! Names that a result can have, and what is there already.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{BUNDLE, Fingerprint, HEADER, JOURNAL, JobError, LOCK, UNITS};
use mquant_model::bundle::{MANIFEST, Manifest};
use mquant_model::checkpoint::SUFFIX;
use mquant_model::disk::{Disk, Entry, Links};
use mquant_model::excerpt::{excerpt, quoted};

/// `OUT.partial` for an output that is not there and can be.
///
/// # Errors
/// No result can have this name.
pub(super) fn work_folder(output: &Path) -> Result<PathBuf, JobError> {
    let refuse = |problem| JobError::Output { path: output.to_owned(), problem };
    if output.components().any(|part| part == Component::ParentDir) {
        return Err(refuse("expected a path without '..'"));
    }
    let name = output.file_name().ok_or_else(|| refuse("expected the name of a folder"))?;
    let text = name.to_string_lossy();
    if text.ends_with(SUFFIX) {
        return Err(refuse("names that end in .partial are those of unfinished work"));
    }
    let mut work = name.to_owned();
    work.push(SUFFIX);
    Ok(output.with_file_name(work))
}

/// The manifest of a result that is there and is that of this job.
///
/// # Errors
/// There is anything else of that name.
pub(super) fn existing(
    disk: &dyn Disk,
    output: &Path,
    fingerprint: &Fingerprint,
) -> Result<Option<Manifest>, JobError> {
    let refuse = |problem: &str| Err(JobError::Exists { path: output.to_owned(), problem: problem.to_owned() });
    match disk.entry(output, Links::Themselves) {
        // A folder above it that is a file will be refused when it is to be made.
        Ok(None) => return Ok(None),
        Ok(Some(Entry::Folder)) => {}
        Ok(Some(Entry::File { .. })) => return refuse("it is a file"),
        Ok(Some(Entry::Link)) => return refuse("it is a symbolic link"),
        Ok(Some(Entry::Other)) => return refuse("it is neither file nor folder"),
        Err(source) => return Err(JobError::io("look at", output, source)),
    }
    let Some(manifest) = Manifest::read(disk, output)? else {
        return refuse(&format!("a folder without {MANIFEST}"));
    };
    compare(output, &manifest.fingerprint, fingerprint)?;
    Ok(Some(manifest))
}

/// Whether two fingerprints are the same.
///
/// # Errors
/// [`JobError::Fingerprint`] with the first part that differs.
pub(super) fn compare(path: &Path, there: &Fingerprint, here: &Fingerprint) -> Result<(), JobError> {
    let parts = there.keys().chain(here.keys());
    let Some(part) = parts.into_iter().find(|part| there.get(*part) != here.get(*part)) else { return Ok(()) };
    let words = |value: Option<&String>| value.map_or_else(|| "none".to_owned(), |value| quoted(value));
    Err(JobError::Fingerprint {
        path: path.to_owned(),
        part: excerpt(part),
        expected: words(there.get(part)),
        found: words(here.get(part)),
    })
}

/// Whether there is a folder of a job, or at least an empty one.
///
/// # Errors
/// There is something else of that name.
pub(super) fn check_work(disk: &dyn Disk, work: &Path) -> Result<(), JobError> {
    let foreign = |found: String| JobError::Foreign { path: work.to_owned(), found };
    match disk.entry(work, Links::Themselves).map_err(|e| JobError::io("look at", work, e))? {
        Some(Entry::Folder) => {}
        Some(_) => return Err(foreign("no files: it is no folder".to_owned())),
        None => return Err(JobError::io("look at", work, io::ErrorKind::NotFound.into())),
    }
    let names = disk.list(work).map_err(|e| JobError::io("list", work, e))?;
    match names.iter().find(|name| !is_of_a_job(name)) {
        Some(name) => Err(foreign(excerpt(&name.to_string_lossy()))),
        None => Ok(()),
    }
}

fn is_of_a_job(name: &OsStr) -> bool {
    is_unfinished(name) || [LOCK, HEADER, JOURNAL, UNITS, BUNDLE].iter().any(|known| name == *known)
}

/// Whether it is a file that a killed run was writing.
pub(super) fn is_unfinished(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b".") && name.ends_with(SUFFIX.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mquant_model::error::Explain;

    #[test]
    fn names_that_no_result_can_have() {
        for refused in ["", ".", "/", "..", "a/..", "a/../b", "../b", "b.partial", "a/b.partial/", ".partial"] {
            assert_eq!(work_folder(Path::new(refused)).unwrap_err().code(), "JOB_OUTPUT", "{refused}");
        }
        for (output, work) in [("b", "b.partial"), ("a.b/c/", "a.b/c.partial"), ("/b.q", "/b.q.partial")] {
            assert_eq!(work_folder(Path::new(output)).unwrap(), Path::new(work));
        }
    }

    #[test]
    fn the_part_that_differs_is_named() {
        let of = |parts: &[(&str, &str)]| parts.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let there: Fingerprint = of(&[("model", "m"), ("recipe", "r")]);
        let message = |here: &Fingerprint| compare(Path::new("o"), &there, here).unwrap_err().to_string();
        assert!(compare(Path::new("o"), &there, &there.clone()).is_ok());
        let expected = "o was made with another recipe: expected \"r\" as there, found \"R\"";
        assert_eq!(message(&of(&[("model", "m"), ("recipe", "R")])), expected);
        assert!(message(&of(&[("model", "m")])).contains("another recipe: expected \"r\" as there, found none"));
        let more = of(&[("model", "m"), ("recipe", "r"), ("level", &"x".repeat(900))]);
        assert!(message(&more).contains("another level: expected none"));
        assert!(message(&more).len() < 250);
    }
}
