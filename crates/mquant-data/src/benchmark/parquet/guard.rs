//! What stands between a column of a file and its reader: every page's header is checked before the reader believes it.
//!
//! A header may promise more than there is, and the reader reserves memory for what it promises. Here a page may not unpack to
//! more than its whole column says it does, nor hold more values than [`VALUES_CAP`], nor be encoded so that lengths inside it
//! would have to be believed as well.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::thrift::Compact;

/// Values of one column in one row group.
pub(super) const VALUES_CAP: u64 = 1 << 24;
/// Bytes of a page's header.
const HEADER_CAP: u64 = 1 << 20;
/// Snappy writes at most 64 bytes for three.
const SNAPPY_RATIO: u64 = 64;
/// Plain, dictionary of both names, run lengths, packed differences, split bytes.
const ENCODINGS: [i64; 6] = [0, 2, 3, 5, 8, 9];

/// A file as one column of one row group may read it.
pub(super) struct Guard {
    file: Arc<File>,
    /// What the column says it unpacks to.
    unpacked: u64,
    compression: Compression,
    seen: Mutex<Seen>,
}

/// The pages up to now.
#[derive(Default)]
struct Seen {
    /// No page that begins before was not counted.
    next: u64,
    /// Where the bytes of the last page begin, if it has any.
    data: Option<u64>,
    values: u64,
}

/// What a page's header says.
#[derive(Default)]
struct Header {
    unpacked: i64,
    packed: i64,
    values: i64,
    encoding: i64,
    dictionary: bool,
}

fn refused(what: String) -> ParquetError {
    ParquetError::General(what)
}

impl Guard {
    pub(super) fn new(file: &Arc<File>, column: &ColumnChunkMetaData) -> Self {
        let unpacked = u64::try_from(column.uncompressed_size()).unwrap_or(0);
        Self { file: file.clone(), unpacked, compression: column.compression(), seen: Mutex::default() }
    }

    fn check(&self, start: u64, header: &Header) -> Result<()> {
        let size = |bytes: i64| u64::try_from(bytes).map_err(|_| refused("a page of negative size".to_owned()));
        let (unpacked, packed, values) = (size(header.unpacked)?, size(header.packed)?, size(header.values)?);
        let limit = match self.compression {
            Compression::SNAPPY => self.unpacked.min(packed.saturating_mul(SNAPPY_RATIO).saturating_add(SNAPPY_RATIO)),
            _ => self.unpacked,
        };
        if unpacked > limit {
            return Err(refused(format!("a page of at most {limit} bytes expected, one of {unpacked} found")));
        }
        if !ENCODINGS.contains(&header.encoding) {
            return Err(refused(format!("a page in encoding {} is not read", header.encoding)));
        }
        if header.dictionary && values > unpacked {
            return Err(refused(format!("{values} values in {unpacked} bytes of a dictionary")));
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if start >= seen.next {
            seen.next = start.saturating_add(1);
            seen.values = seen.values.saturating_add(values);
        }
        if seen.values > VALUES_CAP {
            return Err(refused(format!("at most {VALUES_CAP} values in a column expected, more found")));
        }
        Ok(())
    }
}

impl Header {
    fn read(source: impl BufRead) -> std::io::Result<Self> {
        let mut source = Compact::new(source);
        let mut header = Header::default();
        let mut last = 0;
        while let Some(field) = source.field(last)? {
            last = field.id;
            match field.id {
                2 => header.unpacked = source.number(field)?,
                3 => header.packed = source.number(field)?,
                // Of a data page, a dictionary, a data page of the second version.
                5 | 7 | 8 => {
                    source.structure(field)?;
                    header.dictionary = field.id == 7;
                    let encoding = if field.id == 8 { 4 } else { 2 };
                    let mut last = 0;
                    while let Some(inner) = source.field(last)? {
                        last = inner.id;
                        match inner.id {
                            1 => header.values = source.number(inner)?,
                            id if id == encoding => header.encoding = source.number(inner)?,
                            _ => source.skip(inner)?,
                        }
                    }
                }
                _ => source.skip(field)?,
            }
        }
        Ok(header)
    }
}

impl Length for Guard {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl ChunkReader for Guard {
    type T = BufReader<File>;

    /// Asked for where a page begins, and again after its header where that was looked at ahead of the page.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        let seen = || self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen().data != Some(start) {
            let mut source = self.file.get_read(start)?.take(HEADER_CAP);
            let header = Header::read(&mut source);
            let header = header.map_err(|e| refused(format!("a page's header cannot be read: {e}")))?;
            self.check(start, &header)?;
            let end = start.saturating_add(HEADER_CAP - source.limit());
            seen().data = Some(end).filter(|_| header.packed > 0);
        }
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.len()) {
            return Err(refused(format!("{length} bytes expected at byte {start}, the file's end found")));
        }
        self.file.get_bytes(start, length)
    }
}
