//! A bundle compared with the hashes in its manifest.

use std::path::Path;

use super::manifest::{FileHash, MANIFEST, Manifest, ManifestError, is_listed};
use crate::checkpoint::{Folder, TEXT_CAP};

/// What a bundle is, compared with what its manifest says.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What it should be.
    pub manifest: Manifest,
    /// Every file of the manifest and of the folder, sorted by name; hidden ones and the manifest itself are left out.
    pub files: Vec<FileReport>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// Its name.
    pub name: String,
    /// What the manifest says of it, if it does.
    pub expected: Option<FileHash>,
    /// What became of it.
    pub state: FileState,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileState {
    /// It is as it was written.
    Intact,
    /// It is not there.
    Missing,
    /// The manifest does not know it.
    Extra,
    /// It has another length.
    Resized {
        /// Its length now.
        bytes: u64,
    },
    /// It has its length, but another content.
    Changed {
        /// SHA-256 now.
        sha256: String,
    },
    /// It cannot be read.
    Unreadable {
        /// Why.
        reason: String,
    },
}

impl Report {
    /// Whether every file is intact, and no other there.
    pub fn is_intact(&self) -> bool {
        self.files.iter().all(|file| file.state == FileState::Intact)
    }
}

/// Reads a whole bundle and compares it. `progress` is told the bytes read so far and all there are to read.
///
/// # Errors
/// There is no such folder, or its manifest is absent or cannot be believed. That files differ is no error.
pub fn verify(dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Report, ManifestError> {
    let folder = Folder::open(dir)?;
    if !folder.contains(MANIFEST) {
        return Err(ManifestError::Missing { dir: dir.to_owned() });
    }
    let manifest = Manifest::parse(&folder.read(MANIFEST, TEXT_CAP)?)?;
    let total = manifest.files.values().map(|file| file.bytes).fold(0, u64::saturating_add);
    let mut done = 0u64;
    let mut files = Vec::new();
    for (name, expected) in &manifest.files {
        let mut read = |bytes: u64| {
            done = done.saturating_add(bytes);
            progress(done, total);
        };
        let state =
            if folder.contains(name) { compare(&folder, name, expected, &mut read) } else { FileState::Missing };
        files.push(FileReport { name: name.clone(), expected: Some(expected.clone()), state });
    }
    let extra = folder.names().filter(|name| is_listed(name) && !manifest.files.contains_key(*name));
    files.extend(extra.map(|name| FileReport { name: name.to_owned(), expected: None, state: FileState::Extra }));
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Report { manifest, files })
}

fn compare(folder: &Folder, name: &str, expected: &FileHash, read: &mut dyn FnMut(u64)) -> FileState {
    let unreadable = |reason: String| FileState::Unreadable { reason };
    let file = match folder.open_file(name) {
        Ok(file) => file,
        Err(e) => return unreadable(e.to_string()),
    };
    match file.metadata() {
        Ok(found) if found.len() != expected.bytes => return FileState::Resized { bytes: found.len() },
        Ok(_) => {}
        Err(e) => return unreadable(e.to_string()),
    }
    match FileHash::of_reader(file, read) {
        Ok(found) if found == *expected => FileState::Intact,
        // It was written to while it was read.
        Ok(found) if found.bytes != expected.bytes => FileState::Resized { bytes: found.bytes },
        Ok(found) => FileState::Changed { sha256: found.sha256 },
        Err(e) => unreadable(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use serde_json::json;
    use tempfile::TempDir;

    use super::*;
    use crate::disk::RealDisk;
    use crate::error::Explain;

    fn bundle() -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.json", "b.safetensors", "c.txt"] {
            fs::write(dir.path().join(name), format!("content of {name}")).unwrap();
        }
        fs::write(dir.path().join(".mquant-packed-v1-x"), "a cache").unwrap();
        let manifest = Manifest::of_folder(&RealDisk, dir.path(), &Default::default(), &json!(null)).unwrap();
        assert_eq!(manifest.files.len(), 3);
        fs::write(dir.path().join(MANIFEST), manifest.to_bytes()).unwrap();
        dir
    }

    fn states(dir: &TempDir) -> Vec<(String, FileState)> {
        let report = verify(dir.path(), &mut |_, _| {}).unwrap();
        assert_eq!(report.is_intact(), report.files.iter().all(|f| matches!(f.state, FileState::Intact)));
        let differ = report.files.into_iter().filter(|file| file.state != FileState::Intact);
        differ.map(|file| (file.name, file.state)).collect()
    }

    #[test]
    fn what_differs_is_named_and_caches_do_not_count() {
        let dir = bundle();
        let at = |name: &str| dir.path().join(name);
        let mut steps = Vec::new();
        let report = verify(dir.path(), &mut |done, total| steps.push((done, total))).unwrap();
        assert!(report.is_intact());
        assert_eq!(steps, [(17, 57), (41, 57), (57, 57)], "bytes of the three files");
        fs::write(at(".hidden"), "x").unwrap();
        assert_eq!(states(&dir), []);
        fs::remove_file(at("a.json")).unwrap();
        fs::write(at("b.safetensors"), "Content of b.safetensors").unwrap();
        fs::write(at("c.txt"), "short").unwrap();
        fs::write(at("d.txt"), "x").unwrap();
        let found = states(&dir);
        assert_eq!(found[0], ("a.json".to_owned(), FileState::Missing));
        assert!(matches!(&found[1], (name, FileState::Changed { .. }) if name == "b.safetensors"), "{found:?}");
        assert_eq!(found[2], ("c.txt".to_owned(), FileState::Resized { bytes: 5 }));
        assert_eq!(found[3], ("d.txt".to_owned(), FileState::Extra));
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let dir = bundle();
        let at = |name: &str| dir.path().join(name);
        fs::remove_file(at("a.json")).unwrap();
        symlink("/dev/zero", at("a.json")).unwrap();
        fs::remove_file(at("c.txt")).unwrap();
        fs::create_dir(at("c.txt")).unwrap();
        let found = states(&dir);
        assert!(found.iter().all(|(_, state)| matches!(state, FileState::Unreadable { .. })), "{found:?}");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_bundle_without_a_manifest_is_an_error_of_its_own() {
        let dir = bundle();
        let code = || verify(dir.path(), &mut |_, _| {}).unwrap_err().code();
        fs::write(dir.path().join(MANIFEST), "{}").unwrap();
        assert_eq!(code(), "MANIFEST_SCHEMA");
        fs::remove_file(dir.path().join(MANIFEST)).unwrap();
        assert_eq!(code(), "MANIFEST_MISSING");
        assert_eq!(verify(&dir.path().join("none"), &mut |_, _| {}).unwrap_err().code(), "MODEL_NOT_FOUND");
    }
}
