//! Panels of a bundle's weights, kept in a hidden file beside it so that a later start only maps them.
//!
//! The file is called `.mquant-packed-v1-KEY`. It begins with 128 bytes:
//!
//! | bytes | |
//! |---|---|
//! | 0–7 | `MQPANELS` |
//! | 8–11, 12–15 | version of this file, number of the panel layout: u32 |
//! | 16–23, 24–31 | bytes of the index, bytes of the file: u64 |
//! | 32–63 | key: SHA-256 of the two versions and of [`Checkpoint::fingerprint`] |
//! | 64–95 | SHA-256 of the bytes before and of the index |
//! | 96–127 | 0 |
//!
//! The index follows, a JSON list; then, from the next multiple of 4096 on, the panels, each at a multiple of 64 bytes.
//! Numbers are little-endian. A file of another key, length or checksum is as good as none, and is replaced. The panels have
//! no checksum of their own: reading them all is what the file is there to avoid. Damaged ones give wrong numbers, nothing
//! worse.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime};

use mquant_kernels::{Bytes, IntWeight, PackedWeight};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::checkpoint::{Checkpoint, MappedFile, SUFFIX, Stamp, UnfinishedFile, WriteError, map, open_beneath};

const MAGIC: &[u8; 8] = b"MQPANELS";
/// Version of this file.
const VERSION: u32 = 1;
/// Bytes before the index.
const HEADER: usize = 128;
/// The header's bytes that its checksum covers.
const COVERED: usize = 64;
/// The panels begin at a multiple of this.
const PAGE: usize = 4096;
/// Longest index there may be.
const INDEX_CAP: u64 = 64 << 20;
/// Where each panel begins.
const ALIGNMENT: usize = 64;
/// How the names of all such files begin.
const PREFIX: &str = ".mquant-packed-";
/// Unfinished files that are older were left by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Whether panels are kept beside a bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PackedCache {
    /// Read them if they are there, write them if not.
    #[default]
    Enabled,
    /// Neither.
    Disabled,
}

/// What became of the panels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackedCacheUse {
    /// The model has no integer weight.
    NotNeeded,
    /// The caller wanted none.
    Disabled,
    /// They were there.
    Mapped {
        /// Length of the file.
        bytes: u64,
    },
    /// They were made and kept.
    Written {
        /// Length of the file.
        bytes: u64,
    },
    /// They were made but could not be kept: the next start makes them again.
    NotWritten {
        /// In the system's words.
        reason: String,
    },
}

/// Which panels: some outputs of a weight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PanelKey {
    pub(super) tensor: String,
    pub(super) rows: Range<usize>,
}

/// One line of the index.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    tensor: String,
    first_row: usize,
    rows: usize,
    cols: usize,
    bits: u32,
    /// Counted from where the panels begin.
    offset: usize,
    bytes: usize,
}

/// A file of panels in memory.
#[derive(Debug)]
pub(super) struct PackedFile {
    bytes: Bytes,
    panels_at: usize,
    entries: HashMap<PanelKey, Entry>,
}

impl PackedFile {
    /// The file that was kept for this bundle, if it is there and whole.
    pub(super) fn open(checkpoint: &Checkpoint) -> Option<Self> {
        let key = key(checkpoint);
        // A link is not followed: a folder from elsewhere could name any file.
        let file = open_beneath(checkpoint.root(), Path::new(&file_name(&key))).ok()?;
        let stamp = Stamp::of(&file).ok()?;
        if stamp.len < HEADER as u64 {
            return None;
        }
        let mapped = map(&file, stamp).ok()??;
        let opened = Self::parse(&mapped, &key)?;
        mapped.will_need();
        Some(opened)
    }

    fn parse(mapped: &MappedFile, key: &[u8; 32]) -> Option<Self> {
        let bytes = mapped.bytes();
        let all = bytes.as_ref();
        let (header, rest) = all.split_first_chunk::<HEADER>()?;
        let index_len = u64::from_le_bytes(*header[16..].first_chunk()?);
        if index_len > INDEX_CAP || header[..COVERED] != header_of(index_len, all.len() as u64, key) {
            return None;
        }
        let index = rest.get(..usize::try_from(index_len).ok()?)?;
        if header[COVERED..COVERED + 32] != checksum(&header[..COVERED], index) {
            return None;
        }
        let panels_at = (HEADER + index.len()).next_multiple_of(PAGE);
        let space = all.len().checked_sub(panels_at)?;
        let mut entries = HashMap::new();
        for entry in serde_json::from_slice::<Vec<Entry>>(index).ok()? {
            let inside = entry.offset.checked_add(entry.bytes).is_some_and(|end| end <= space);
            let rows = entry.first_row..entry.first_row.checked_add(entry.rows)?;
            if !inside || !entry.offset.is_multiple_of(ALIGNMENT) {
                return None;
            }
            entries.insert(PanelKey { tensor: entry.tensor.clone(), rows }, entry);
        }
        Some(Self { bytes, panels_at, entries })
    }

    /// Length of the file.
    pub(super) fn byte_len(&self) -> u64 {
        self.bytes.as_ref().len() as u64
    }

    /// The panels of a weight, if they are there.
    pub(super) fn panels(&self, key: &PanelKey, weight: &IntWeight) -> Option<PackedWeight> {
        let entry = self.entries.get(key)?;
        if (entry.rows, entry.cols, entry.bits) != (weight.rows, weight.cols, weight.bits.count()) {
            return None;
        }
        let at = self.panels_at + entry.offset;
        PackedWeight::from_panels(weight, self.bytes.slice(at..at + entry.bytes)).ok()
    }
}

/// Keeps panels beside the bundle, and removes those kept for what the bundle was before.
pub(super) fn write(checkpoint: &Checkpoint, panels: &[(PanelKey, PackedWeight)]) -> PackedCacheUse {
    let key = key(checkpoint);
    let name = file_name(&key);
    match try_write(&checkpoint.root().join(&name), &key, panels) {
        Ok(bytes) => {
            remove_others(checkpoint.root(), &name);
            PackedCacheUse::Written { bytes }
        }
        Err(WriteError::Io { source, .. }) => PackedCacheUse::NotWritten { reason: source.to_string() },
        Err(other) => PackedCacheUse::NotWritten { reason: other.to_string() },
    }
}

fn try_write(path: &Path, key: &[u8; 32], panels: &[(PanelKey, PackedWeight)]) -> Result<u64, WriteError> {
    let mut offset = 0;
    let entries = panels.iter().map(|(key, packed)| {
        let entry = Entry {
            tensor: key.tensor.clone(),
            first_row: key.rows.start,
            rows: packed.rows(),
            cols: packed.cols(),
            bits: packed.bits().count(),
            offset,
            bytes: packed.panels().len(),
        };
        offset += entry.bytes.next_multiple_of(ALIGNMENT);
        entry
    });
    let index = serde_json::to_vec(&entries.collect::<Vec<_>>()).expect("names and numbers are JSON");
    let panels_at = (HEADER + index.len()).next_multiple_of(PAGE);
    let covered = header_of(index.len() as u64, (panels_at + offset) as u64, key);

    let mut file = BufWriter::with_capacity(1 << 20, UnfinishedFile::create(path)?);
    let io_error = |source: io::Error| WriteError::Io { path: path.to_owned(), source };
    let mut fill = || -> io::Result<()> {
        file.write_all(&covered)?;
        file.write_all(&checksum(&covered, &index))?;
        file.write_all(&[0; HEADER - COVERED - 32])?;
        file.write_all(&index)?;
        file.write_all(&vec![0; panels_at - HEADER - index.len()])?;
        for (_, packed) in panels {
            let bytes = packed.panels();
            file.write_all(bytes)?;
            file.write_all(&[0; ALIGNMENT][..bytes.len().next_multiple_of(ALIGNMENT) - bytes.len()])?;
        }
        Ok(())
    };
    fill().map_err(io_error)?;
    let file = file.into_inner().map_err(|e| io_error(e.into_error()))?;
    file.finish(path).map_err(io_error)
}

/// Removes files of other keys, and unfinished ones that nobody can be writing any more.
fn remove_others(root: &Path, keep: &str) {
    // What cannot be listed or removed stays: it takes space, nothing else.
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let unfinished = name.starts_with(&format!(".{PREFIX}")) && name.ends_with(SUFFIX);
        let abandoned = || {
            let age = entry.metadata().and_then(|m| m.modified()).map(|at| SystemTime::now().duration_since(at));
            age.is_ok_and(|age| age.is_ok_and(|age| age > ABANDONED))
        };
        if name.starts_with(PREFIX) && name != keep || unfinished && abandoned() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn key(checkpoint: &Checkpoint) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(VERSION.to_le_bytes());
    hash.update(PackedWeight::LAYOUT.to_le_bytes());
    hash.update(checkpoint.fingerprint());
    hash.finalize().into()
}

fn file_name(key: &[u8; 32]) -> String {
    let digits: String = key[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{PREFIX}v{VERSION}-{digits}")
}

fn header_of(index_len: u64, file_len: u64, key: &[u8; 32]) -> [u8; COVERED] {
    let mut header = [0; COVERED];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&PackedWeight::LAYOUT.to_le_bytes());
    header[16..24].copy_from_slice(&index_len.to_le_bytes());
    header[24..32].copy_from_slice(&file_len.to_le_bytes());
    header[32..].copy_from_slice(key);
    header
}

fn checksum(header: &[u8], index: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(header);
    hash.update(index);
    hash.finalize().into()
}
