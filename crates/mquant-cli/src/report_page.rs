//! The page that commands write at their end.

use std::path::{Path, PathBuf};

use mquant::disk::RealDisk;
use mquant::report::Sources;

use crate::exit::{Doing, Failure};

/// Shows folders of evaluations and bundles on a page; without a place for it beside the first bundle. Returns the page.
pub(crate) fn write<'a>(folders: impl IntoIterator<Item = &'a Path>, place: Option<&Path>) -> Result<PathBuf, Failure> {
    let disk = RealDisk::shared();
    let folders: Vec<PathBuf> = folders.into_iter().map(Path::to_owned).collect();
    let sources = Sources::new(&*disk, &folders).doing("read what is to be reported")?;
    let report = sources.gather(&*disk).doing("read what is to be reported")?;
    let place = place.map_or_else(|| sources.default_output(), Path::to_owned);
    let [page, ..] = report.write(&disk, &place).doing("write the report")?;
    Ok(page)
}
