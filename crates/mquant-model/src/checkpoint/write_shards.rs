//! The weights of a model as one safetensors file or as shards with an index, written in one stream.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::header_error::HeaderError;
use super::unfinished::UnfinishedFolder;
use super::write::{SafetensorsWriter, TensorShape, WriteError};
use crate::disk::SharedDisk;

/// Other programs read the tensors of a file only if it says what they were made for.
const METADATA: [(&str, &str); 1] = [("format", "pt")];

/// The tensors of one file, in order.
#[derive(Debug)]
struct Shard {
    file: String,
    tensors: Vec<TensorShape>,
    bytes: u64,
}

/// Weight files in the making. Data come in the order of the tensors, in pieces of any length.
#[derive(Debug)]
pub struct ShardsWriter {
    disk: SharedDisk,
    dir: PathBuf,
    shards: std::vec::IntoIter<Shard>,
    /// The file that is being written, and the bytes it still expects.
    current: Option<(SafetensorsWriter, u64)>,
    bytes: u64,
}

impl ShardsWriter {
    /// Plans files of at most `limit` bytes of weights (a larger tensor has a file of its own) and writes their index, if
    /// there is more than one.
    ///
    /// # Errors
    /// The tensors make no valid files, or the system refuses.
    pub fn create(folder: &UnfinishedFolder, tensors: Vec<TensorShape>, limit: u64) -> Result<Self, WriteError> {
        let shards = plan(folder.path(), tensors, limit)?;
        let bytes = shards.iter().map(|shard| shard.bytes).sum();
        if shards.len() > 1 {
            folder.write("model.safetensors.index.json", format!("{:#}\n", index(&shards, bytes)).as_bytes())?;
        }
        let (disk, dir) = (folder.disk().clone(), folder.path().to_owned());
        Ok(Self { disk, dir, shards: shards.into_iter(), current: None, bytes })
    }

    /// Bytes of all tensors.
    pub fn byte_len(&self) -> u64 {
        self.bytes
    }

    /// Appends data: little-endian, row-major, of one tensor after the other.
    ///
    /// # Errors
    /// More data than the tensors have, or the system refuses.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            let (mut writer, left) = match self.current.take() {
                Some(current) => current,
                None => self.next(bytes.len())?,
            };
            let now = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            writer.write(&bytes[..now])?;
            bytes = &bytes[now..];
            match left - now as u64 {
                0 => drop(writer.finish()?),
                left => self.current = Some((writer, left)),
            }
        }
        Ok(())
    }

    /// Says that there are no more data. Every file has its name already; the folder takes the names to
    /// the disk.
    ///
    /// # Errors
    /// Fewer data than the tensors have.
    pub fn finish(mut self) -> Result<u64, WriteError> {
        match self.current.take() {
            Some((writer, _)) => drop(writer.finish()?),
            None => {
                if let Some(shard) = self.shards.next() {
                    let path = self.dir.join(shard.file);
                    return Err(WriteError::Length { path, expected: shard.bytes, found: 0 });
                }
            }
        }
        Ok(self.bytes)
    }

    fn next(&mut self, more: usize) -> Result<(SafetensorsWriter, u64), WriteError> {
        let Some(shard) = self.shards.next() else {
            let (expected, path) = (self.bytes, self.dir.clone());
            return Err(WriteError::Length { path, expected, found: expected + more as u64 });
        };
        let path = self.dir.join(&shard.file);
        let writer = SafetensorsWriter::create_in_unfinished(&self.disk, &path, &shard.tensors, &METADATA)?;
        Ok((writer, shard.bytes))
    }
}

fn plan(dir: &Path, tensors: Vec<TensorShape>, limit: u64) -> Result<Vec<Shard>, WriteError> {
    let mut pieces: Vec<(Vec<TensorShape>, u64)> = Vec::new();
    for tensor in tensors {
        let bytes = tensor.byte_len().ok_or_else(|| WriteError::Header {
            path: dir.to_owned(),
            source: HeaderError::Overflow { tensor: tensor.name.clone(), what: "too many elements".to_owned() },
        })?;
        match pieces.last_mut() {
            Some((piece, sum)) if sum.saturating_add(bytes) <= limit => {
                piece.push(tensor);
                *sum += bytes;
            }
            _ => pieces.push((vec![tensor], bytes)),
        }
    }
    let count = pieces.len();
    let name = |i: usize| match count {
        1 => "model.safetensors".to_owned(),
        _ => format!("model-{:05}-of-{count:05}.safetensors", i + 1),
    };
    let shards = pieces.into_iter().enumerate();
    Ok(shards.map(|(i, (tensors, bytes))| Shard { file: name(i), tensors, bytes }).collect())
}

/// `model.safetensors.index.json`.
fn index(shards: &[Shard], total: u64) -> Value {
    let mut files: Vec<(&String, &String)> =
        shards.iter().flat_map(|s| s.tensors.iter().map(|t| (&t.name, &s.file))).collect();
    files.sort();
    let map: Map<String, Value> = files.into_iter().map(|(name, file)| (name.clone(), json!(file))).collect();
    json!({"metadata": {"total_size": total}, "weight_map": map})
}

#[cfg(test)]
mod tests {
    use super::super::stored_dtype::StoredDtype;
    use super::*;
    use crate::error::Explain;

    fn tensors(sizes: &[usize]) -> Vec<TensorShape> {
        let shape =
            |(i, n): (usize, &usize)| TensorShape { name: format!("t{i}"), dtype: StoredDtype::BF16, shape: vec![*n] };
        sizes.iter().enumerate().map(shape).collect()
    }

    #[test]
    fn shards_keep_order_and_limit() {
        let sizes = [10, 20, 30, 100, 1, 1, 58];
        let planned = |limit| plan(Path::new("."), tensors(&sizes), limit).unwrap();
        let lengths = |limit| planned(limit).iter().map(|s| s.tensors.len()).collect::<Vec<_>>();
        assert_eq!(lengths(120), [3, 1, 3]);
        assert_eq!(lengths(119), [2, 1, 1, 2, 1]);
        assert_eq!(lengths(1), [1; 7]);
        assert_eq!(lengths(440), [7]);
        assert_eq!(planned(440)[0].file, "model.safetensors");
        assert_eq!(planned(120)[1].file, "model-00002-of-00003.safetensors");
    }

    #[test]
    fn pieces_of_any_length_fill_the_files() {
        let data: Vec<u8> = (0..2 * 220u32).map(|i| i as u8).collect();
        for piece in [1, 7, 61, 440] {
            let root = tempfile::tempdir().unwrap();
            let folder = UnfinishedFolder::create(&root.path().join("m")).unwrap();
            let sizes = [10, 20, 30, 100, 1, 1, 58];
            let mut writer = ShardsWriter::create(&folder, tensors(&sizes), 120).unwrap();
            data.chunks(piece).for_each(|bytes| writer.write(bytes).unwrap());
            assert_eq!(writer.write(&[0]).unwrap_err().code(), "WRITE_LENGTH");
            assert_eq!(writer.finish().unwrap(), 440);
            folder.write("config.json", b"{}").unwrap();
            folder.finish().unwrap();
            let opened = crate::checkpoint::Checkpoint::open(root.path().join("m").to_str().unwrap()).unwrap();
            let read: Vec<u8> = opened.entries().iter().flat_map(|t| t.bytes.as_ref().to_vec()).collect();
            assert_eq!(read, data, "the names are in the order of the data");
        }
    }

    #[test]
    fn missing_data_are_noticed() {
        let root = tempfile::tempdir().unwrap();
        let folder = UnfinishedFolder::create(&root.path().join("m")).unwrap();
        for (bytes, limit) in [(0, 440), (39, 40), (40, 40)] {
            let inner = UnfinishedFolder::create(&folder.path().join(format!("{bytes}"))).unwrap();
            let mut writer = ShardsWriter::create(&inner, tensors(&[20, 1]), limit).unwrap();
            writer.write(&vec![0; bytes]).unwrap();
            assert_eq!(writer.finish().unwrap_err().code(), "WRITE_LENGTH", "{bytes} of 42 bytes");
        }
    }
}
