//! `mquant.json`: what a bundle was made from, and the length and SHA-256 of every other file in it.
//!
//! Enters: a folder that is complete but for this file, the named parts its content follows from, and whatever the maker
//! wants to tell. Leaves: the same bytes for the same input, a hash of themselves among them.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::json_layout::to_text;
use crate::checkpoint::CheckpointError;
use crate::disk::{Disk, Entry, Links, read_at_most};
use crate::error::{Class, Explain};
use crate::excerpt::{excerpt, quoted};

/// The name of the file.
pub const MANIFEST: &str = "mquant.json";
/// What `schema` says.
const SCHEMA: &str = "mquant/1";
/// Longest such file that is read, in bytes.
const CAP: u64 = 64 << 20;
/// Digits of a SHA-256.
const DIGITS: usize = 64;

/// Named parts that a result follows from: recipe, model and so on, each in words or as a hash.
pub type Fingerprint = BTreeMap<String, String>;

/// Length and hash of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileHash {
    /// Its length.
    pub bytes: u64,
    /// SHA-256 in hexadecimal digits, lower case.
    pub sha256: String,
}

impl FileHash {
    /// Of a content in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)) }
    }

    /// Of a file; `read` is told of each piece how long it was.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of_reader(mut file: impl Read, read: &mut dyn FnMut(u64)) -> io::Result<Self> {
        let (mut hash, mut total) = (Sha256::new(), 0);
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(Self { bytes: total, sha256: hex(&hash.finalize()) }),
                Ok(n) => {
                    hash.update(&piece[..n]);
                    total += n as u64;
                    read(n as u64);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why a bundle has no manifest, or none that can be believed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// There is none.
    #[error("{} has no {MANIFEST}, which holds the hashes of its files", dir.display())]
    Missing {
        /// The bundle.
        dir: PathBuf,
    },
    /// Of a newer version.
    #[error("{MANIFEST}: schema is {found}, expected \"{SCHEMA}\"")]
    Schema {
        /// What it says.
        found: String,
    },
    /// It is no manifest.
    #[error("{MANIFEST}: {problem}")]
    Form {
        /// What is wrong, and where.
        problem: String,
    },
    /// Its own hash does not hold: it was changed.
    #[error("{MANIFEST} was changed: expected SHA-256 {expected} of itself, found {found}")]
    Changed {
        /// What it says.
        expected: String,
        /// What its bytes give.
        found: String,
    },
    /// Something in the folder that a bundle cannot hold.
    #[error("{} is no regular file", path.display())]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// The folder cannot be opened.
    #[error(transparent)]
    Folder(#[from] CheckpointError),
    /// The system refused to read.
    #[error("{} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl Explain for ManifestError {
    fn class(&self) -> Class {
        match self {
            ManifestError::Missing { .. } | ManifestError::Form { .. } | ManifestError::Changed { .. } => Class::Model,
            ManifestError::Schema { .. } => Class::Unsupported,
            ManifestError::NotAFile { .. } => Class::Bug,
            ManifestError::Folder(e) => e.class(),
            ManifestError::Io { .. } => Class::Io,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            ManifestError::Missing { .. } => "MANIFEST_MISSING",
            ManifestError::Schema { .. } => "MANIFEST_SCHEMA",
            ManifestError::Form { .. } => "MANIFEST_FORM",
            ManifestError::Changed { .. } => "MANIFEST_CHANGED",
            ManifestError::NotAFile { .. } => "MANIFEST_NOT_A_FILE",
            ManifestError::Folder(e) => e.code(),
            ManifestError::Io { .. } => "MANIFEST_IO",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ManifestError::Missing { .. } => Some("only bundles that `mquant` made have one".to_owned()),
            ManifestError::Schema { .. } => Some("a newer version of mquant may read it".to_owned()),
            ManifestError::Form { .. } | ManifestError::Changed { .. } => Some("copy the bundle anew".to_owned()),
            ManifestError::Folder(e) => e.hint(),
            _ => None,
        }
    }
}

/// What `mquant.json` holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// What the bundle follows from.
    pub fingerprint: Fingerprint,
    /// What its maker wants to tell.
    pub provenance: Value,
    /// Every other file that is not hidden.
    pub files: BTreeMap<String, FileHash>,
}

/// As it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    schema: String,
    /// Of the file, with these digits replaced by zeros.
    sha256: String,
    fingerprint: Fingerprint,
    provenance: Value,
    files: BTreeMap<String, FileHash>,
}

impl Manifest {
    /// Of a folder that holds everything else; hidden files are left out. `provenance` may be anything.
    ///
    /// # Errors
    /// A file cannot be read, or is none.
    pub fn of_folder(
        disk: &dyn Disk,
        folder: &Path,
        fingerprint: &Fingerprint,
        provenance: &Value,
    ) -> Result<Self, ManifestError> {
        let io_error = |path: &Path, source| ManifestError::Io { path: path.to_owned(), source };
        let mut files = BTreeMap::new();
        for name in disk.list(folder).map_err(|e| io_error(folder, e))? {
            let path = folder.join(&name);
            let name = name.into_string().map_err(|_| ManifestError::NotAFile { path: path.clone() })?;
            if !is_listed(&name) {
                continue;
            }
            match disk.entry(&path, Links::Themselves).map_err(|e| io_error(&path, e))? {
                Some(Entry::File { .. }) => {}
                _ => return Err(ManifestError::NotAFile { path }),
            }
            let hash = disk.open(&path).and_then(|file| FileHash::of_reader(file, &mut |_| {}));
            files.insert(name, hash.map_err(|e| io_error(&path, e))?);
        }
        Ok(Self { fingerprint: fingerprint.clone(), provenance: provenance.clone(), files })
    }

    /// The content of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { fingerprint, mut provenance, files } = self.clone();
        provenance.sort_all_objects();
        let zeros = "0".repeat(DIGITS);
        let mut stored = Stored { schema: SCHEMA.to_owned(), sha256: zeros, fingerprint, provenance, files };
        stored.sha256 = hex(&Sha256::digest(to_text(&stored)));
        to_text(&stored)
    }

    /// Reads a content.
    ///
    /// # Errors
    /// It is of another version, no manifest, or not as it was written.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let form = |e: serde_json::Error| ManifestError::Form { problem: excerpt(&e.to_string()) };
        let value: Value = serde_json::from_slice(bytes).map_err(form)?;
        if value["schema"] != SCHEMA {
            return Err(ManifestError::Schema { found: excerpt(&value["schema"].to_string()) });
        }
        let stored: Stored = serde_json::from_slice(bytes).map_err(form)?;
        let is_hash = |text: &str| text.len() == DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hash(&stored.sha256) {
            let problem = format!("sha256 is {}, expected {DIGITS} hexadecimal digits", quoted(&stored.sha256));
            return Err(ManifestError::Form { problem });
        }
        let found = hash_of_itself(bytes, &stored.sha256);
        if found != stored.sha256 {
            return Err(ManifestError::Changed { expected: stored.sha256, found });
        }
        let Stored { fingerprint, provenance, files, .. } = stored;
        Ok(Self { fingerprint, provenance, files })
    }

    /// That of a bundle; `None` if it has none.
    ///
    /// # Errors
    /// It cannot be read, or [`parse`](Self::parse) refuses it.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, ManifestError> {
        let path = dir.join(MANIFEST);
        let io_error = |source| ManifestError::Io { path: path.clone(), source };
        if disk.entry(&path, Links::Followed).map_err(io_error)?.is_none() {
            return Ok(None);
        }
        let bytes = read_at_most(disk, &path, CAP).map_err(io_error)?.ok_or_else(too_long)?;
        Self::parse(&bytes).map(Some)
    }
}

pub(super) fn too_long() -> ManifestError {
    ManifestError::Form { problem: format!("expected at most {CAP} bytes, found more") }
}

/// Whether a file has a hash in the manifest.
pub(super) fn is_listed(name: &str) -> bool {
    name != MANIFEST && !name.starts_with('.')
}

/// The digits stand behind the schema, before anything that could hold the same ones.
fn hash_of_itself(bytes: &[u8], digits: &str) -> String {
    let mut hash = Sha256::new();
    match bytes.windows(DIGITS).position(|window| window == digits.as_bytes()) {
        Some(at) => {
            hash.update(&bytes[..at]);
            hash.update("0".repeat(DIGITS));
            hash.update(&bytes[at + DIGITS..]);
        }
        None => hash.update(bytes),
    }
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest() -> Manifest {
        let fingerprint = [("recipe", "r"), ("model", "m")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        Manifest {
            fingerprint: fingerprint.into(),
            provenance: json!({"z": 1.5, "a": [{"y": null, "b": "ä"}]}),
            files: [("config.json".to_owned(), FileHash::of(b"abc"))].into(),
        }
    }

    #[test]
    fn the_same_content_is_the_same_bytes() {
        let mut other = manifest();
        other.provenance = json!({"a": [{"b": "ä", "y": null}], "z": 1.5});
        assert_eq!(manifest().to_bytes(), other.to_bytes());
        assert_eq!(Manifest::parse(&manifest().to_bytes()).unwrap(), other);
        // From the definition of SHA-256 (FIPS 180-4, the message "abc").
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(FileHash::of(b"abc"), FileHash { bytes: 3, sha256: abc.to_owned() });
        assert_eq!(FileHash::of_reader(&b"abc"[..], &mut |_| {}).unwrap(), FileHash::of(b"abc"));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = manifest().to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::parse(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_version_and_other_fields_are_refused() {
        let text = String::from_utf8(manifest().to_bytes()).unwrap();
        let code = |text: &str| Manifest::parse(text.as_bytes()).unwrap_err().code();
        assert_eq!(code(&text.replace("mquant/1", "mquant/2")), "MANIFEST_SCHEMA");
        assert_eq!(code(&text.replace("\"recipe\"", "\"recipf\"")), "MANIFEST_CHANGED");
        assert_eq!(code(&text.replace("\"files\"", "\"filez\"")), "MANIFEST_FORM");
        assert_eq!(code("[]"), "MANIFEST_SCHEMA");
        assert_eq!(code("{"), "MANIFEST_FORM");
    }
}
