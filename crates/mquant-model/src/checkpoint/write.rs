//! A safetensors file, written so that it is there whole or not at all.
//!
//! Enters: names, types and shapes, then the data of all tensors in that order. The header is written first, data as they
//! come. The file grows under another name in the same folder, reaches the disk, and takes its own name at the end. What
//! [`read_header`] would refuse is refused before a byte is written.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use thiserror::Error;

use super::header_error::HeaderError;
use super::safetensors::{LENGTH_BYTES, read_header};
use super::stored_dtype::StoredDtype;
use super::unfinished::{NameSync, UnfinishedFile};
use crate::disk::SharedDisk;
use crate::error::{Class, Explain};

/// Bytes gathered before they are handed to the system.
const BUFFER: usize = 1 << 20;
/// The data of a well-formed file begin at a multiple of this.
const ALIGNMENT: usize = 8;

/// One tensor to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorShape {
    /// Its name.
    pub name: String,
    /// Element type.
    pub dtype: StoredDtype,
    /// Dimensions, outermost first; each at least 1.
    pub shape: Vec<usize>,
}

impl TensorShape {
    /// Bytes of its data; None if they are too many to count.
    pub fn byte_len(&self) -> Option<u64> {
        let elements = self.shape.iter().try_fold(1u64, |product, dim| product.checked_mul(*dim as u64));
        Some(elements?.checked_mul(self.dtype.bits())?.div_ceil(8))
    }
}

/// Why a file could not be written. `path` is as the caller gave it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The system refused.
    #[error("{} cannot be written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// There is something of that name already.
    #[error("{} exists already", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// There is something of that name that must not be replaced.
    #[error("{} is there and no regular file, expected a new name or a file to replace", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// The tensors make no valid file.
    #[error("{}: {source}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What a reader would say.
        source: HeaderError,
    },
    /// More or fewer data than the header promises.
    #[error("{}: expected {expected} bytes of data, found {found}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// What the shapes sum to.
        expected: u64,
        /// What came.
        found: u64,
    },
}

impl Explain for WriteError {
    fn class(&self) -> Class {
        match self {
            WriteError::Io { .. } | WriteError::NotRegular { .. } | WriteError::Exists { .. } => Class::Io,
            WriteError::Header { .. } | WriteError::Length { .. } => Class::Bug,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            WriteError::Io { .. } => "WRITE_IO",
            WriteError::Exists { .. } => "WRITE_EXISTS",
            WriteError::NotRegular { .. } => "WRITE_NOT_REGULAR",
            WriteError::Header { .. } => "WRITE_HEADER",
            WriteError::Length { .. } => "WRITE_LENGTH",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            WriteError::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Some("the folder must exist".to_owned()),
                io::ErrorKind::StorageFull => Some("free some space and try again".to_owned()),
                _ => None,
            },
            WriteError::Exists { .. } => Some("remove it or choose another name".to_owned()),
            _ => None,
        }
    }
}

/// A file in the making; dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub struct SafetensorsWriter {
    path: PathBuf,
    file: BufWriter<UnfinishedFile>,
    expected: u64,
    found: u64,
}

impl SafetensorsWriter {
    /// Whether a file of this name can be written, as far as can be told now: for a word before long work.
    ///
    /// # Errors
    /// What [`create`](Self::create) would say of the path.
    pub fn check_path(path: &Path) -> Result<(), WriteError> {
        UnfinishedFile::create(path).map(drop)
    }

    /// Begins a file of these tensors on the system's disk, whose data follow in the same order.
    ///
    /// # Errors
    /// The tensors make no valid file, or the system refuses.
    pub fn create(path: &Path, tensors: &[TensorShape]) -> Result<Self, WriteError> {
        Self::begin(path, tensors, &[], || UnfinishedFile::create(path))
    }

    /// Begins a file in a folder whose names the caller takes to the disk, with strings under `__metadata__`.
    ///
    /// # Errors
    /// The tensors make no valid file, or the system refuses.
    pub(crate) fn create_in_unfinished(
        disk: &SharedDisk,
        path: &Path,
        tensors: &[TensorShape],
        metadata: &[(&str, &str)],
    ) -> Result<Self, WriteError> {
        Self::begin(path, tensors, metadata, || UnfinishedFile::create_on(disk, path, NameSync::WithFolder))
    }

    fn begin(
        path: &Path,
        tensors: &[TensorShape],
        metadata: &[(&str, &str)],
        file: impl FnOnce() -> Result<UnfinishedFile, WriteError>,
    ) -> Result<Self, WriteError> {
        let (header, expected) =
            header(tensors, metadata).map_err(|source| WriteError::Header { path: path.to_owned(), source })?;
        let file = BufWriter::with_capacity(BUFFER, file()?);
        let mut writer = Self { path: path.to_owned(), file, expected, found: 0 };
        writer.file.write_all(&header).map_err(|e| writer.io(e))?;
        Ok(writer)
    }

    /// Appends data: little-endian, row-major, of one tensor after the other; in pieces of any length.
    ///
    /// # Errors
    /// More data than the header promises, or the system refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.found += bytes.len() as u64;
        if self.found > self.expected {
            return Err(self.length());
        }
        self.file.write_all(bytes).map_err(|e| self.io(e))
    }

    /// Takes the file to the disk and gives it its name, in place of any file of that name. Returns its length in bytes.
    ///
    /// # Errors
    /// Fewer data than the header promises, or the system refuses; then there is no new file.
    pub fn finish(self) -> Result<u64, WriteError> {
        if self.found != self.expected {
            return Err(self.length());
        }
        let path = self.path;
        let io_error = |source| WriteError::Io { path: path.clone(), source };
        let unfinished = self.file.into_inner().map_err(|e| io_error(e.into_error()))?;
        unfinished.finish(&path).map_err(io_error)
    }

    fn length(&self) -> WriteError {
        WriteError::Length { path: self.path.clone(), expected: self.expected, found: self.found }
    }

    fn io(&self, source: io::Error) -> WriteError {
        WriteError::Io { path: self.path.clone(), source }
    }
}

/// The length field and header of a file, and the bytes of data that follow.
fn header(tensors: &[TensorShape], metadata: &[(&str, &str)]) -> Result<(Vec<u8>, u64), HeaderError> {
    let mut object = Map::new();
    if !metadata.is_empty() {
        let strings: Map<String, Value> = metadata.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
        object.insert("__metadata__".to_owned(), Value::Object(strings));
    }
    let mut end = 0u64;
    for tensor in tensors {
        let TensorShape { name, dtype, shape } = tensor;
        let overflow = || HeaderError::Overflow { tensor: name.clone(), what: "too many elements".to_owned() };
        let begin = end;
        end = tensor.byte_len().and_then(|bytes| begin.checked_add(bytes)).ok_or_else(overflow)?;
        let entry = json!({"dtype": dtype.name(), "shape": shape, "data_offsets": [begin, end]});
        if object.insert(name.clone(), entry).is_some() {
            return Err(HeaderError::Overlap { first: name.clone(), second: name.clone() });
        }
    }
    let mut text = Value::Object(object).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(ALIGNMENT), b' ');
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.append(&mut text);
    debug_assert!(header.len() > LENGTH_BYTES);
    read_header(&header, header.len() as u64 + end)?;
    Ok((header, end))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn shape(name: &str, dtype: StoredDtype, shape: &[usize]) -> TensorShape {
        TensorShape { name: name.to_owned(), dtype, shape: shape.to_vec() }
    }

    fn files(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn what_is_written_is_read_by_both_readers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        fs::write(&path, "old").unwrap();
        let tensors = [
            shape("z \"quoted\" 語", StoredDtype::I32, &[3]),
            shape("a", StoredDtype::F32, &[2, 1]),
            shape("scalar", StoredDtype::U8, &[]),
        ];
        let mut writer = SafetensorsWriter::create(&path, &tensors).unwrap();
        let data: Vec<u8> = (0..12 + 8 + 1).collect();
        writer.write(&data[..5]).unwrap();
        writer.write(&data[5..]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old", "the old file stays until the end");
        let bytes = writer.finish().unwrap();

        let file = fs::read(&path).unwrap();
        assert_eq!(file.len() as u64, bytes);
        assert_eq!(files(dir.path()), ["a.safetensors"]);
        let ours = read_header(&file, bytes).unwrap();
        let theirs = safetensors::SafeTensors::deserialize(&file).unwrap();
        assert_eq!(ours.entries.len(), 3);
        let mut at = 0;
        for (entry, expected) in ours.entries.iter().zip(&tensors) {
            assert_eq!((&entry.name, entry.dtype, &entry.shape), (&expected.name, expected.dtype, &expected.shape));
            let view = theirs.tensor(&entry.name).unwrap();
            assert_eq!(view.shape(), expected.shape);
            assert_eq!(view.data(), &data[at..at + view.data().len()]);
            assert_eq!(view.data(), &file[entry.range.start as usize..entry.range.end as usize]);
            at += view.data().len();
        }
        assert_eq!((file.len() - data.len()) % ALIGNMENT, 0);
    }

    #[test]
    fn nothing_is_left_of_an_unfinished_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        let tensors = [shape("a", StoredDtype::F32, &[2])];
        let mut short = SafetensorsWriter::create(&path, &tensors).unwrap();
        short.write(&[0; 7]).unwrap();
        assert!(matches!(short.finish(), Err(WriteError::Length { expected: 8, found: 7, .. })));
        let mut long = SafetensorsWriter::create(&path, &tensors).unwrap();
        assert!(matches!(long.write(&[0; 9]), Err(WriteError::Length { expected: 8, found: 9, .. })));
        drop(long);
        SafetensorsWriter::check_path(&path).unwrap();
        assert_eq!(files(dir.path()), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_a_file_is_refused_before_a_byte_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        let code = |tensors: &[TensorShape]| SafetensorsWriter::create(&path, tensors).unwrap_err().code();
        let f32 = |name: &str, dims: &[usize]| shape(name, StoredDtype::F32, dims);
        assert_eq!(code(&[f32("a", &[0])]), "WRITE_HEADER");
        assert_eq!(code(&[f32("a", &[1]), f32("a", &[1])]), "WRITE_HEADER");
        assert_eq!(code(&[f32("a", &[usize::MAX, 2])]), "WRITE_HEADER");
        assert_eq!(code(&[f32("a", &[1; 9])]), "WRITE_HEADER");
        assert_eq!(files(dir.path()), Vec::<String>::new());
        assert_eq!(SafetensorsWriter::check_path(dir.path()).unwrap_err().code(), "WRITE_NOT_REGULAR");
        let nowhere = dir.path().join("none/a.safetensors");
        assert_eq!(SafetensorsWriter::check_path(&nowhere).unwrap_err().code(), "WRITE_IO");
    }
}
