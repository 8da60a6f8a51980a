//! `mquant verify`: a bundle compared with the hashes in its manifest.

use std::path::PathBuf;

use clap::Args;
use mquant::bundle::{FileReport, FileState, Fingerprint, Report, verify};
use serde::Serialize;
use serde_json::Value;

use crate::failure::{Doing, Done, Failure};
use crate::output::{Output, talk};
use crate::progress::Progress;

/// Arguments of `mquant verify`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mquant verify path/to/bundle
  mquant verify path/to/bundle --json

Every file is read and compared with length and SHA-256 in mquant.json. Hidden files, such as the
packed weights that a first start keeps, do not count. Exit code 0: the bundle is as it was written;
3: files are missing, changed or new, or there is no mquant.json.")]
pub(crate) struct VerifyArgs {
    /// The folder of a bundle
    bundle: PathBuf,
}

/// `mquant.verify/1`.
#[derive(Debug, Serialize)]
struct Verification<'a> {
    bundle: String,
    intact: bool,
    fingerprint: &'a Fingerprint,
    provenance: &'a Value,
    files: Vec<FileRow<'a>>,
}

#[derive(Debug, Serialize)]
struct FileRow<'a> {
    name: &'a str,
    state: &'static str,
    /// In words, where there is more to say.
    detail: Option<String>,
    expected_bytes: Option<u64>,
    expected_sha256: Option<&'a str>,
}

impl<'a> FileRow<'a> {
    fn new(file: &'a FileReport) -> Self {
        let (state, detail) = match &file.state {
            FileState::Intact => ("intact", None),
            FileState::Missing => ("missing", None),
            FileState::Extra => ("extra", None),
            FileState::Resized { bytes } => ("resized", Some(format!("it has {bytes} bytes"))),
            FileState::Changed { sha256 } => ("changed", Some(format!("its SHA-256 is {sha256}"))),
            FileState::Unreadable { reason } => ("unreadable", Some(reason.clone())),
        };
        let expected = file.expected.as_ref();
        Self {
            name: &file.name,
            state,
            detail,
            expected_bytes: expected.map(|expected| expected.bytes),
            expected_sha256: expected.map(|expected| expected.sha256.as_str()),
        }
    }
}

/// Bytes of a step of progress.
const STEP: u64 = 1 << 20;

pub(crate) fn run(args: &VerifyArgs, output: &Output) -> Result<Done, Failure> {
    let mut progress: Option<Progress> = None;
    let mut read = |done: u64, total: u64| {
        progress.get_or_insert_with(|| Progress::bar("reading, in MiB", total / STEP)).set(done / STEP);
    };
    let report = verify(&args.bundle, &mut read).doing("verify the bundle")?;
    drop(progress);
    let rows: Vec<FileRow<'_>> = report.files.iter().map(FileRow::new).collect();
    let intact = report.is_intact();
    if output.is_json() {
        let Report { manifest, .. } = &report;
        output.object(
            "verify/1",
            &Verification {
                bundle: args.bundle.to_string_lossy().into_owned(),
                intact,
                fingerprint: &manifest.fingerprint,
                provenance: &manifest.provenance,
                files: rows,
            },
        )?;
    } else {
        let differ = rows.iter().filter(|row| row.state != "intact").count();
        let row = |row: &FileRow<'_>| {
            let bytes = row.expected_bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
            let state = row.detail.as_ref().map_or(row.state.to_owned(), |detail| format!("{}: {detail}", row.state));
            vec![row.name.to_owned(), bytes, state]
        };
        output.table_left(&["file", "bytes", "state"], rows.iter().map(row).collect())?;
        if differ > 0 {
            talk(&format!("{differ} of {} files are not as they were written", rows.len()));
        }
    }
    Ok(if intact { Done::Complete } else { Done::Differs })
}
