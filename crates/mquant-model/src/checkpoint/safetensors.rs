//! The header of a safetensors file, read strictly.
//!
//! A file is `u64` little-endian header length, the header (a JSON object), the data. The header maps each tensor's name to
//! `{"dtype", "shape", "data_offsets": [begin, end]}`, offsets counted from the start of the data; `__metadata__` maps
//! strings to strings.
//!
//! Stricter than the format's reference reader, because two readers of one file must never see two models: no key may occur
//! twice, no entry may hold a key of its own invention, every byte of data belongs to exactly one tensor, and a tensor has at
//! least one element (empty ones could share an offset). Entries may come in any order.

use std::collections::BTreeMap;
use std::ops::Range;

use super::header_error::HeaderError;
use super::header_json;
use super::stored_dtype::StoredDtype;
use crate::excerpt::excerpt;

/// Bytes of the length field in front of the header.
pub const LENGTH_BYTES: usize = 8;
/// Longest header read.
pub const HEADER_CAP: u64 = 100_000_000;
/// Most tensors in one file.
pub const TENSORS_CAP: usize = 500_000;
/// Most dimensions of a tensor.
pub const DIMS_CAP: usize = 8;
/// Largest dimension of a tensor.
pub const DIM_CAP: u64 = 1 << 48;
/// Largest offset of a tensor.
pub const OFFSET_CAP: u64 = 1 << 56;
/// Longest name of a tensor, in bytes.
pub const NAME_CAP: usize = 1024;

/// What a header says, checked against the length of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The tensors in the order of their data.
    pub entries: Vec<HeaderEntry>,
    /// The strings under `__metadata__`.
    pub metadata: BTreeMap<String, String>,
}

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderEntry {
    /// The published name.
    pub name: String,
    /// Element type.
    pub dtype: StoredDtype,
    /// Dimensions, outermost first; none for a scalar.
    pub shape: Vec<usize>,
    /// Where the data lie, counted from the start of the file.
    pub range: Range<u64>,
}

/// Length of the header in bytes, from the first eight bytes of a file of `file_len` bytes.
///
/// # Errors
/// [`HeaderError::Length`] when such a header cannot be in such a file.
pub fn header_len(prefix: &[u8], file_len: u64) -> Result<usize, HeaderError> {
    let Some(length) = prefix.first_chunk::<LENGTH_BYTES>() else {
        return Err(HeaderError::Length { found: None, file_len });
    };
    let found = u64::from_le_bytes(*length);
    let fits = file_len.checked_sub(LENGTH_BYTES as u64).is_some_and(|rest| found <= rest);
    match usize::try_from(found) {
        Ok(len) if fits && (2..=HEADER_CAP).contains(&found) => Ok(len),
        _ => Err(HeaderError::Length { found: Some(found), file_len }),
    }
}

/// Reads the header of a file of `file_len` bytes. `prefix` is its beginning, at least as far as the header reaches; the
/// data are not looked at.
///
/// # Errors
/// Any [`HeaderError`]; when it is `Ok`, the entries' ranges are disjoint, in order, and cover the file from the header's end
/// to its own.
pub fn read_header(prefix: &[u8], file_len: u64) -> Result<Header, HeaderError> {
    let len = header_len(prefix, file_len)?;
    let text = prefix
        .get(LENGTH_BYTES..LENGTH_BYTES + len)
        .ok_or(HeaderError::Length { found: Some(len as u64), file_len: prefix.len() as u64 })?;
    let first = text.first().copied().unwrap_or(0);
    if first != b'{' {
        return Err(HeaderError::Start { found: first });
    }
    match text.iter().rev().find(|byte| **byte != b' ') {
        Some(b'}') => {}
        other => return Err(HeaderError::End { found: other.copied().unwrap_or(0) }),
    }
    let text = std::str::from_utf8(text).map_err(|e| HeaderError::Utf8 { at: e.valid_up_to() })?;

    let (mut tensors, metadata) = header_json::parse(text)?;
    tensors.sort_by(|a, b| (a.begin, a.end, &a.name).cmp(&(b.begin, b.end, &b.name)));
    let data_start = (LENGTH_BYTES + len) as u64;
    let entries = tensors.into_iter().map(|t| t.checked(data_start)).collect::<Result<Vec<_>, _>>()?;
    check_cover(&entries, data_start, file_len)?;
    Ok(Header { entries, metadata })
}

/// One entry as written: every number fits its field, nothing is compared yet.
#[derive(Debug)]
pub(crate) struct RawEntry {
    pub(crate) name: String,
    pub(crate) dtype: StoredDtype,
    pub(crate) shape: Vec<u64>,
    pub(crate) begin: u64,
    pub(crate) end: u64,
}

impl RawEntry {
    /// Size agrees with offsets, and both fit in any file.
    fn checked(self, data_start: u64) -> Result<HeaderEntry, HeaderError> {
        let overflow = |what: &str| HeaderError::Overflow { tensor: excerpt(&self.name), what: what.to_owned() };
        if self.shape.iter().any(|dim| *dim > DIM_CAP) {
            return Err(overflow("a dimension is over 2^48"));
        }
        if self.begin > OFFSET_CAP || self.end > OFFSET_CAP {
            return Err(overflow("an offset is over 2^56"));
        }
        let elements = self.shape.iter().try_fold(1u64, |product, dim| product.checked_mul(*dim));
        let bits =
            elements.and_then(|n| n.checked_mul(self.dtype.bits())).ok_or_else(|| overflow("too many elements"))?;
        if bits == 0 {
            return Err(HeaderError::Empty { tensor: excerpt(&self.name) });
        }
        let Some(stored) = self.end.checked_sub(self.begin) else {
            return Err(HeaderError::Reversed { tensor: excerpt(&self.name), begin: self.begin, end: self.end });
        };
        if !bits.is_multiple_of(8) || bits / 8 != stored {
            return Err(HeaderError::Size { tensor: excerpt(&self.name), dtype: self.dtype, bits, stored });
        }
        let shape = self.shape.iter().map(|dim| usize::try_from(*dim)).collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| overflow("a dimension does not fit this machine"))?;
        // Both sums stay far below 2^64: offsets are at most 2^56, the header at most its cap.
        let range = data_start + self.begin..data_start + self.end;
        Ok(HeaderEntry { name: self.name, dtype: self.dtype, shape, range })
    }
}

/// Every byte of data belongs to exactly one of `entries`, which are sorted by where they begin.
fn check_cover(entries: &[HeaderEntry], data_start: u64, file_len: u64) -> Result<(), HeaderError> {
    let (mut end, mut previous) = (data_start, None::<&HeaderEntry>);
    for entry in entries {
        let before = || previous.map_or_else(|| "the header".to_owned(), |p| excerpt(&p.name));
        if entry.range.start < end {
            return Err(HeaderError::Overlap { first: before(), second: excerpt(&entry.name) });
        }
        if entry.range.start > end {
            let bytes = entry.range.start - end;
            return Err(HeaderError::Hole { first: before(), second: excerpt(&entry.name), bytes });
        }
        (end, previous) = (entry.range.end, Some(entry));
    }
    match end.cmp(&file_len) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(HeaderError::Truncated { expected: end, found: file_len }),
        std::cmp::Ordering::Less => Err(HeaderError::Trailing { expected: end, found: file_len }),
    }
}
