//! `journal.jsonl`: one line of JSON for each unit that is done, the last field of which is a checksum of the line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::UNITS;
use mquant_model::bundle::{FileHash, hex};

/// Bytes of the SHA-256 that a checksum has.
const CHECK: usize = 8;
/// What stands before the digits of a checksum, and behind them.
const BEFORE: &str = ",\"check\":\"";
const BEHIND: &str = "\"}";

/// A line but for its checksum.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    unit: String,
    file: String,
    bytes: u64,
    sha256: String,
}

/// What a journal says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    /// Units that are done; of two lines the later counts.
    pub(super) units: BTreeMap<String, FileHash>,
    /// Lines without their checksum, counted from 1. The unfinished last one of a crash is none of them.
    pub(super) damaged: Vec<usize>,
    /// Whether there is any line at all.
    pub(super) is_empty: bool,
}

/// Name of a unit's file, relative to the work folder.
pub(super) fn file(unit: &str) -> String {
    format!("{UNITS}/{unit}")
}

/// The line of a unit, in the journal of the job with this key.
pub(super) fn line(unit: &str, hash: &FileHash, key: &[u8; 32]) -> String {
    let FileHash { bytes, sha256 } = hash.clone();
    let record = Record { unit: unit.to_owned(), file: file(unit), bytes, sha256 };
    let mut line = serde_json::to_string(&record).expect("texts and numbers are JSON");
    let check = checksum(line.as_bytes(), key);
    line.pop();
    line + BEFORE + &check + BEHIND + "\n"
}

/// Reads a journal. Lines of another job count as damaged.
pub(super) fn read(bytes: &[u8], key: &[u8; 32]) -> Read {
    let mut read = Read { is_empty: bytes.is_empty(), ..Read::default() };
    for (i, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        match (line.strip_suffix(b"\n"), parse(line.strip_suffix(b"\n").unwrap_or(line), key)) {
            (_, Some((unit, hash))) => drop(read.units.insert(unit, hash)),
            (Some(_), None) => read.damaged.push(i + 1),
            (None, None) => {}
        }
    }
    read
}

fn parse(line: &[u8], key: &[u8; 32]) -> Option<(String, FileHash)> {
    let rest = line.strip_suffix(BEHIND.as_bytes())?;
    let (rest, check) = rest.split_at_checked(rest.len().checked_sub(CHECK * 2)?)?;
    let mut record = rest.strip_suffix(BEFORE.as_bytes())?.to_vec();
    record.push(b'}');
    if checksum(&record, key).as_bytes() != check {
        return None;
    }
    let Record { unit, file: name, bytes, sha256 } = serde_json::from_slice(&record).ok()?;
    (name == file(&unit)).then_some((unit, FileHash { bytes, sha256 }))
}

fn checksum(record: &[u8], key: &[u8; 32]) -> String {
    let hash = Sha256::new().chain_update(key).chain_update(record).finalize();
    hex(&hash[..CHECK])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> (Vec<u8>, [u8; 32]) {
        let key = [7; 32];
        let lines = ["a", "language.0.qkv", "c"].map(|unit| line(unit, &FileHash::of(unit.as_bytes()), &key));
        (lines.concat().into_bytes(), key)
    }

    #[test]
    fn lines_are_json_and_read_back() {
        let (bytes, key) = journal();
        let found = read(&bytes, &key);
        assert_eq!((found.units.len(), found.damaged.len(), found.is_empty), (3, 0, false));
        assert_eq!(found.units["c"], FileHash::of(b"c"));
        let first: serde_json::Value = serde_json::from_slice(bytes.split(|b| *b == b'\n').next().unwrap()).unwrap();
        assert_eq!((&first["unit"], &first["file"], &first["bytes"]), (&"a".into(), &"units/a".into(), &1.into()));
        let other = read(&bytes, &[8; 32]);
        assert_eq!((other.units.len(), other.damaged), (0, vec![1, 2, 3]), "lines of another job");
        let again = line("a", &FileHash::of(b"new"), &key);
        let found = read(&[&bytes[..], again.as_bytes()].concat(), &key);
        assert_eq!(found.units["a"], FileHash::of(b"new"), "the later line counts");
        assert_eq!(read(b"", &key), Read { is_empty: true, ..Read::default() });
    }

    #[test]
    fn a_torn_line_is_not_there_and_damages_no_other() {
        let (bytes, key) = journal();
        let first = bytes.iter().position(|b| *b == b'\n').unwrap();
        for end in 0..bytes.len() {
            let found = read(&bytes[..end], &key);
            let whole = bytes[..end].iter().filter(|b| **b == b'\n').count();
            // A line that lacks nothing but its end is whole as well.
            let lines = whole + usize::from(bytes[end] == b'\n');
            assert_eq!((found.units.len(), found.damaged.len()), (lines, 0), "cut at {end}");
        }
        let mut hole = bytes.clone();
        hole[10..first - 10].fill(0);
        let found = read(&hole, &key);
        assert_eq!((found.units.len(), found.damaged), (2, vec![1]));
    }

    #[test]
    fn every_flipped_bit_costs_its_line() {
        let (bytes, key) = journal();
        let whole = read(&bytes, &key);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let found = read(&flipped, &key);
            assert!(found.units.len() < 3, "bit {bit}");
            assert!(found.units.iter().all(|(unit, hash)| whole.units[unit] == *hash), "bit {bit}");
            // The end of the last line alone looks like a crash.
            let is_end = bit / 8 == bytes.len() - 1;
            assert!(!found.damaged.is_empty() || is_end, "bit {bit}");
        }
    }
}
