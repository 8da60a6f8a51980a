//! Where the bundled demo model is.

use std::env;
use std::path::{Path, PathBuf};

use crate::failure::{CliError, Doing, Failure};

/// Names the folder of the demo model.
pub(crate) const VARIABLE: &str = "MQUANT_DEMO_MODEL";
/// Where the project keeps it.
const PLACE: &str = "models/demo";

/// Names the folder of the demo model that hears.
pub(crate) const OMNI_VARIABLE: &str = "MQUANT_DEMO_OMNI_MODEL";
/// What is added to the demo model's folder for the one that hears.
const OMNI_SUFFIX: &str = "-omni";

/// The folder of the demo model that hears: `$MQUANT_DEMO_OMNI_MODEL`, else `demo-omni` beside [`folder`].
///
/// # Errors
/// If there is none.
pub(crate) fn omni_folder(demo: &Path) -> Result<PathBuf, Failure> {
    match env::var_os(OMNI_VARIABLE).filter(|value| !value.is_empty()) {
        Some(named) => Ok(PathBuf::from(named)),
        None => omni_beside(demo).doing("find a model"),
    }
}

/// `models/demo-omni` with a configuration, for `models/demo`.
fn omni_beside(demo: &Path) -> Result<PathBuf, CliError> {
    let beside = with_suffix(demo, OMNI_SUFFIX);
    if beside.join("config.json").is_file() { Ok(beside) } else { Err(CliError::NoOmniModel { looked_for: beside }) }
}

/// `models/demo-stress` for `models/demo`.
pub(crate) fn with_suffix(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    folder.with_file_name(name)
}

/// The demo model's folder: `$MQUANT_DEMO_MODEL`, else `models/demo` in a folder above the executable or in the current
/// folder or one above it.
///
/// # Errors
/// If there is none.
pub(crate) fn folder() -> Result<PathBuf, Failure> {
    if let Some(named) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let executable = env::current_exe().and_then(|path| path.canonicalize()).ok();
    let current = env::current_dir().ok();
    find([executable, current].into_iter().flatten()).doing("find a model")
}

/// The first `models/demo` with a configuration in one of `starts` or above.
fn find(starts: impl Iterator<Item = PathBuf>) -> Result<PathBuf, CliError> {
    let mut searched = 0;
    for start in starts {
        for folder in start.ancestors() {
            let place = folder.join(PLACE);
            if place.join("config.json").is_file() {
                return Ok(place);
            }
            searched += 1;
        }
    }
    Err(CliError::NoDemoModel { looked_for: Path::new(PLACE).to_owned(), searched })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_lie_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let demo = root.path().join("demo");
        assert_eq!(with_suffix(&demo, "-stress"), root.path().join("demo-stress"));
        assert!(matches!(omni_beside(&demo), Err(CliError::NoOmniModel { .. })));
        std::fs::create_dir_all(root.path().join("demo-omni")).unwrap();
        std::fs::write(root.path().join("demo-omni/config.json"), "{}").unwrap();
        assert_eq!(omni_beside(&demo).unwrap(), root.path().join("demo-omni"));
    }

    #[test]
    fn it_is_found_above_and_told_when_absent() {
        let root = tempfile::tempdir().unwrap();
        let start = root.path().join("target/release/mquant");
        let found = || find([start.clone()].into_iter());
        assert!(matches!(found(), Err(CliError::NoDemoModel { .. })));
        std::fs::create_dir_all(root.path().join(PLACE)).unwrap();
        assert!(found().is_err(), "a folder without config.json is no model");
        std::fs::write(root.path().join(PLACE).join("config.json"), "{}").unwrap();
        assert_eq!(found().unwrap(), root.path().join(PLACE));
    }
}
