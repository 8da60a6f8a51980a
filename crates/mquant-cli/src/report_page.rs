//! The page that shows what came of a command.

use std::path::{Path, PathBuf};

use mquant::disk::RealDisk;
use mquant::report::{Report, Sources};

use crate::failure::{Doing, Failure};

/// A page, and the files that hold it.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) report: Report,
    pub(crate) page: PathBuf,
    pub(crate) markdown: PathBuf,
    pub(crate) json: PathBuf,
}

/// Shows folders of evaluations and bundles on a page; without a place for it in the first evaluation, else beside the first
/// bundle.
pub(crate) fn write<'a>(folders: impl IntoIterator<Item = &'a Path>, place: Option<&Path>) -> Result<Written, Failure> {
    let disk = RealDisk::shared();
    let folders: Vec<PathBuf> = folders.into_iter().map(Path::to_owned).collect();
    let sources = Sources::new(&*disk, &folders).doing("read what is to be reported")?;
    let report = sources.gather(&*disk).doing("read what is to be reported")?;
    let place = place.map_or_else(|| sources.default_output(), Path::to_owned);
    let [page, markdown, json] = report.write(&disk, &place).doing("write the report")?;
    Ok(Written { report, page, markdown, json })
}
