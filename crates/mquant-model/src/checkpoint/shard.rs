//! One safetensors file of a folder: header first, checked against the file's length; mapped only after all shards agree.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use mquant_kernels::Bytes;

use super::error::CheckpointError;
use super::folder::Folder;
use super::mapped_file::{self, MappedFile, Stamp};
use super::safetensors::{Header, LENGTH_BYTES, header_len, read_header};
use super::stored_dtype::StoredDtype;

/// A tensor as stored: what `inspect` shows, and what a matrix is made of.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    /// The published name.
    pub name: String,
    /// Element type.
    pub dtype: StoredDtype,
    /// Dimensions, outermost first; none for a scalar.
    pub shape: Vec<usize>,
    /// Name of the file it lies in.
    pub file: Arc<str>,
    /// Its data, little-endian, row-major, where they lie in the mapped file.
    pub bytes: Bytes,
    pub(crate) place: Place,
}

/// Where a tensor's bytes lie in its mapped file.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    file: MappedFile,
    range: Range<usize>,
}

impl Place {
    /// Gives back the memory of a part of the bytes, which is counted from the first of them.
    pub(crate) fn release(&self, part: Range<usize>) {
        self.file.release(self.range.start + part.start..self.range.start + part.end.min(self.range.len()));
    }
}

/// A file whose header has been read and checked.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) name: String,
    pub(crate) header: Header,
    file: File,
    pub(crate) stamp: Stamp,
}

impl Shard {
    /// Opens the file and reads its header, nothing else.
    pub(crate) fn open(folder: &Folder, name: &str) -> Result<Self, CheckpointError> {
        let io_error = |e| CheckpointError::io(name, e);
        let header_error = |source| CheckpointError::Header { file: name.to_owned(), source };
        let file = folder.open_file(name)?;
        let stamp = Stamp::of(&file).map_err(io_error)?;

        let mut prefix = vec![0; LENGTH_BYTES.min(usize::try_from(stamp.len).unwrap_or(LENGTH_BYTES))];
        file.read_exact_at(&mut prefix, 0).map_err(io_error)?;
        let len = header_len(&prefix, stamp.len).map_err(header_error)?;
        prefix.resize(LENGTH_BYTES + len, 0);
        file.read_exact_at(&mut prefix[LENGTH_BYTES..], LENGTH_BYTES as u64).map_err(io_error)?;
        let header = read_header(&prefix, stamp.len).map_err(header_error)?;
        Ok(Self { name: name.to_owned(), header, file, stamp })
    }

    /// Maps the file, if it is still the one whose header was read.
    pub(crate) fn map(self) -> Result<Vec<StoredTensor>, CheckpointError> {
        let changed = || CheckpointError::Changed { file: self.name.clone() };
        let mapped = mapped_file::map(&self.file, self.stamp).map_err(|e| CheckpointError::io(&self.name, e))?;
        let mapped = mapped.ok_or_else(changed)?;
        let bytes = mapped.bytes();
        let file: Arc<str> = self.name.as_str().into();
        let tensors = self.header.entries.into_iter().map(|entry| {
            // The file is mapped whole, so its offsets are addresses and fit.
            let begin = usize::try_from(entry.range.start).expect("an offset inside mapped memory");
            let end = usize::try_from(entry.range.end).expect("an offset inside mapped memory");
            let (bytes, place) = (bytes.slice(begin..end), Place { file: mapped.clone(), range: begin..end });
            StoredTensor { name: entry.name, dtype: entry.dtype, shape: entry.shape, file: file.clone(), bytes, place }
        });
        Ok(tensors.collect())
    }
}
