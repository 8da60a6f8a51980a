//! Where the bundled demo model is.

use std::env;
use std::path::{Path, PathBuf};

use crate::failure::{CliError, Doing, Failure};

/// Names the folder of the demo model.
pub(crate) const VARIABLE: &str = "MQUANT_DEMO_MODEL";
/// Where the project keeps it.
const PLACE: &str = "models/demo";

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
