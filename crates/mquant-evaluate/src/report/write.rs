//! The three files of a report.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{Report, ReportError, html, markdown};
use mquant_model::bundle::MANIFEST;
use mquant_model::checkpoint::{NameSync, UnfinishedFile, WriteError};
use mquant_model::disk::{Links, SharedDisk, create_folders};

/// Their names: the page, the Markdown text, the numbers.
pub const FILES: [&str; 3] = ["report.html", "report.md", "report.json"];

impl Report {
    /// The content of `report.json`.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string(self).expect("names, numbers and values are JSON");
        text + "\n"
    }

    /// Writes page, Markdown and JSON into a folder, which is made if it is not there; each file is there whole or not at all.
    ///
    /// # Errors
    /// The folder is in a bundle, whose files have hashes; or the system refuses.
    pub fn write(&self, disk: &SharedDisk, folder: &Path) -> Result<[PathBuf; 3], ReportError> {
        refuse_bundles(disk, folder)?;
        let io_error = |source| WriteError::Io { path: folder.to_owned(), source };
        create_folders(&**disk, folder).map_err(io_error)?;
        let paths = FILES.map(|name| folder.join(name));
        for (path, text) in paths.iter().zip([html(self), markdown(self), self.to_json()]) {
            let io_error = |source| WriteError::Io { path: path.clone(), source };
            let mut file = UnfinishedFile::create_on(disk, path, NameSync::WithFolder)?;
            file.write_all(text.as_bytes()).map_err(io_error)?;
            file.finish(path).map_err(io_error)?;
        }
        disk.sync_folder(folder).map_err(io_error)?;
        Ok(paths)
    }
}

fn refuse_bundles(disk: &SharedDisk, folder: &Path) -> Result<(), ReportError> {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    // Links are followed as far as there is something: `create_folders` makes the rest.
    let real = absolute.ancestors().find_map(|above| Some((above.canonicalize().ok()?, above)));
    let real = real.map_or(absolute.clone(), |(real, above)| real.join(absolute.strip_prefix(above).unwrap_or(above)));
    for above in real.ancestors().chain(absolute.ancestors()) {
        if disk.entry(&above.join(MANIFEST), Links::Followed).is_ok_and(|entry| entry.is_some()) {
            return Err(ReportError::InsideBundle { folder: folder.to_owned(), bundle: above.to_owned() });
        }
    }
    Ok(())
}
