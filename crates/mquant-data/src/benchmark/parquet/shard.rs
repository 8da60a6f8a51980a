//! One file of a Parquet benchmark: its metadata checked before they are believed.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};

use super::layout::Layout;
use super::leaf::Leaf;
use super::thrift::Compact;
use crate::benchmark::BenchmarkError;
use crate::benchmark::ROW_GROUP_CAP;
use mquant_model::excerpt::excerpt;

/// What a file begins and ends with.
const MAGIC: &[u8; 4] = b"PAR1";
/// Length of the metadata and [`MAGIC`].
const FOOTER: u64 = 8;
/// Bytes of metadata.
const METADATA_CAP: u64 = 64 << 20;
/// Columns and what they are grouped in.
const SCHEMA_CAP: u64 = 10_000;
/// Groups inside groups.
const SCHEMA_DEPTH: usize = 32;

/// An open file.
pub(super) struct Shard {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) layout: Layout,
    file: Arc<File>,
    metadata: ParquetMetaData,
}

/// Runs the reader so that its panic is an error of this file only.
pub(super) fn contained<T>(read: impl FnOnce() -> ParquetResult<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(e)) => Err(told(&e)),
        Err(_) => Err("its reader failed on it".to_owned()),
    }
}

/// The words of an error.
fn told(e: &ParquetError) -> String {
    let text = e.to_string();
    excerpt(text.strip_prefix("Parquet error: ").unwrap_or(&text))
}

impl Shard {
    /// Opens a file and reads its metadata.
    ///
    /// # Errors
    /// If it cannot be read, is no Parquet, or says of itself what cannot be.
    pub(super) fn open(path: &Path) -> Result<Self, BenchmarkError> {
        let name = crate::benchmark::file_name(path);
        let unreadable = |source| BenchmarkError::Io { file: name.clone(), source };
        let wrong = |reason: String| BenchmarkError::Metadata { file: name.clone(), reason };
        let mut file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        let metadata = metadata(&mut file, bytes).map_err(unreadable)?.map_err(wrong)?;
        check_schema(&metadata).map_err(wrong)?;
        let metadata = contained(|| ParquetMetaDataReader::decode_metadata(&metadata)).map_err(wrong)?;
        let layout = contained(|| Ok(Layout::of(metadata.file_metadata().schema_descr()))).map_err(wrong)?;
        Ok(Self { name, bytes, layout, file: Arc::new(file), metadata })
    }

    pub(super) fn groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    /// Rows and bytes on disk of a group.
    ///
    /// # Errors
    /// If it is larger than is read, or says of itself what cannot be.
    pub(super) fn group(&self, group: usize) -> Result<(usize, u64), BenchmarkError> {
        let found = self.metadata.row_group(group);
        let wrong = |reason: &str| BenchmarkError::Metadata {
            file: self.name.clone(),
            reason: format!("row group {group}: {reason}"),
        };
        let columns = found.columns();
        if columns.len() != self.metadata.file_metadata().schema_descr().num_columns() {
            return Err(wrong("a column for each of the schema's expected, another number found"));
        }
        let sizes = |size: fn(&parquet::file::metadata::ColumnChunkMetaData) -> i64| {
            columns.iter().try_fold(0u64, |sum, column| sum.checked_add(u64::try_from(size(column)).ok()?))
        };
        let unpacked = sizes(|column| column.uncompressed_size()).ok_or_else(|| wrong("a negative size"))?;
        let packed = sizes(|column| column.compressed_size()).ok_or_else(|| wrong("a negative size"))?;
        if unpacked > ROW_GROUP_CAP {
            let file = self.name.clone();
            return Err(BenchmarkError::RowGroup { file, group, bytes: unpacked, limit: ROW_GROUP_CAP });
        }
        let inside = |column: &parquet::file::metadata::ColumnChunkMetaData| {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let end = start.checked_add(column.compressed_size());
            start >= 0 && end.is_some_and(|end| u64::try_from(end).is_ok_and(|end| end <= self.bytes))
        };
        if !columns.iter().all(inside) {
            return Err(wrong("columns inside the file expected, others found"));
        }
        let rows = usize::try_from(found.num_rows()).map_err(|_| wrong("a negative number of rows"))?;
        for column in columns {
            if !matches!(column.compression(), Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_)) {
                let compression = format!("{:?}", column.compression());
                return Err(BenchmarkError::Compression { file: self.name.clone(), found: excerpt(&compression) });
            }
        }
        Ok((rows, packed))
    }

    fn row_group(&self, group: usize) -> &RowGroupMetaData {
        self.metadata.row_group(group)
    }

    /// The columns below these headings of a group that [`group`](Self::group) has passed, each before its first row.
    pub(super) fn leaves(&self, group: usize, headings: &[usize]) -> Result<Vec<Vec<Leaf>>, String> {
        let open = |heading: &usize| {
            let columns = self.layout.shapes[*heading].columns();
            columns.iter().map(|column| Leaf::open(&self.file, self.row_group(group), *column)).collect()
        };
        contained(|| headings.iter().map(open).collect())
    }
}

/// The bytes of a file's metadata; why there are none.
fn metadata(file: &mut File, bytes: u64) -> std::io::Result<Result<Vec<u8>, String>> {
    let no = |found: &str| Ok(Err(format!("expected a Parquet file, found {found}")));
    if bytes < FOOTER + MAGIC.len() as u64 {
        return no("fewer bytes than any has");
    }
    let (mut head, mut tail) = ([0; 4], [0; FOOTER as usize]);
    file.read_exact(&mut head)?;
    file.seek(SeekFrom::Start(bytes - FOOTER))?;
    file.read_exact(&mut tail)?;
    let [a, b, c, d, magic @ ..] = tail;
    if &head != MAGIC {
        return no("another beginning");
    }
    if &magic != MAGIC {
        return no("another end: it may be cut short");
    }
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    if length > METADATA_CAP || length > bytes - FOOTER - MAGIC.len() as u64 {
        return no("metadata of impossible length");
    }
    file.seek(SeekFrom::Start(bytes - FOOTER - length))?;
    let mut metadata = Vec::new();
    BufReader::new(file).take(length).read_to_end(&mut metadata)?;
    Ok(Ok(metadata))
}

/// Checks that the tree of columns is small enough to be built by recursion.
fn check_schema(metadata: &[u8]) -> Result<(), String> {
    let read = || -> std::io::Result<Result<(), String>> {
        let mut source = Compact::new(metadata);
        let mut last = 0;
        while let Some(field) = source.field(last)? {
            last = field.id;
            if field.id != 2 {
                source.skip(field)?;
                continue;
            }
            let count = source.structures(field)?;
            if count > SCHEMA_CAP {
                return Ok(Err(format!("expected at most {SCHEMA_CAP} columns, found {count}")));
            }
            // Children still to come, of each open group.
            let mut open: Vec<i64> = Vec::new();
            for _ in 0..count {
                let mut children = 0;
                let mut last = 0;
                while let Some(field) = source.field(last)? {
                    last = field.id;
                    match field.id {
                        5 => children = source.number(field)?,
                        _ => source.skip(field)?,
                    }
                }
                if let Some(left) = open.last_mut() {
                    *left -= 1;
                }
                if children > 0 {
                    open.push(children);
                }
                while open.last().is_some_and(|left| *left == 0) {
                    open.pop();
                }
                if open.len() > SCHEMA_DEPTH {
                    return Ok(Err(format!("expected columns in at most {SCHEMA_DEPTH} groups, found more")));
                }
            }
        }
        Ok(Ok(()))
    };
    read().map_err(|e| format!("its metadata cannot be read: {e}"))?
}
