//! Tensors to safetensors files, a block at a time: one thread writes while the others make the next block.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use mquant::checkpoint::TensorSpec;
use serde_json::{Map, Value, json};

use super::SynthError;
use super::values::Values;

/// Bytes of a bf16 value.
const ELEMENT: u64 = 2;
/// Bytes handed to the writer at once.
const BLOCK: u64 = 16 << 20;
/// Blocks on their way.
const BLOCKS: usize = 3;

/// Called with the bytes of weights that have been written.
pub(super) type Written<'a> = dyn Fn(u64) + Sync + 'a;

/// The tensors of one file, in order.
#[derive(Debug)]
pub(super) struct Shard<'a> {
    pub(super) file: String,
    pub(super) tensors: &'a [TensorSpec],
}

/// Bytes of a tensor.
pub(super) fn byte_len(spec: &TensorSpec) -> u64 {
    spec.shape.iter().map(|&d| d as u64).product::<u64>() * ELEMENT
}

/// Splits tensors, in order, into files of at most `limit` bytes of weights; a larger tensor has a file of its own.
pub(super) fn plan(tensors: &[TensorSpec], limit: u64) -> Vec<Shard<'_>> {
    let mut pieces = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (i, spec) in tensors.iter().enumerate() {
        if bytes + byte_len(spec) > limit && i > start {
            pieces.push(&tensors[start..i]);
            (start, bytes) = (i, 0);
        }
        bytes += byte_len(spec);
    }
    pieces.push(&tensors[start..]);
    let count = pieces.len();
    let name = |i: usize| match count {
        1 => "model.safetensors".to_owned(),
        _ => format!("model-{:05}-of-{count:05}.safetensors", i + 1),
    };
    pieces.into_iter().enumerate().map(|(i, tensors)| Shard { file: name(i), tensors }).collect()
}

/// `model.safetensors.index.json`.
pub(super) fn index(shards: &[Shard<'_>]) -> Value {
    let total: u64 = shards.iter().flat_map(|s| s.tensors).map(byte_len).sum();
    let mut files: Vec<(&String, &String)> =
        shards.iter().flat_map(|s| s.tensors.iter().map(|t| (&t.name, &s.file))).collect();
    files.sort();
    let map: Map<String, Value> = files.into_iter().map(|(name, file)| (name.clone(), json!(file))).collect();
    json!({"metadata": {"total_size": total}, "weight_map": map})
}

/// Writes one file and hands it to the disk.
pub(super) fn write(dir: &Path, shard: &Shard<'_>, seed: u64, written: &Written<'_>) -> Result<(), SynthError> {
    let path = dir.join(&shard.file);
    let file = File::create_new(&path).map_err(SynthError::io(&path))?;
    stream(file, shard.tensors, seed, written).map_err(SynthError::io(&path))
}

/// Length, JSON and padding to a multiple of 8 bytes.
fn header(tensors: &[TensorSpec]) -> Vec<u8> {
    let mut entries = Map::new();
    entries.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut offset = 0;
    for spec in tensors {
        let end = offset + byte_len(spec);
        let entry = json!({"dtype": "BF16", "shape": spec.shape, "data_offsets": [offset, end]});
        entries.insert(spec.name.clone(), entry);
        offset = end;
    }
    let mut text = Value::Object(entries).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes()[..], &text].concat()
}

fn stream(mut file: File, tensors: &[TensorSpec], seed: u64, written: &Written<'_>) -> io::Result<()> {
    file.write_all(&header(tensors))?;
    let (full, to_write) = sync_channel::<Vec<u8>>(BLOCKS);
    let (used, empty) = sync_channel::<Vec<u8>>(BLOCKS);
    thread::scope(|scope| {
        let writer = scope.spawn(move || drain(&mut file, &to_write, &used, written));
        make(tensors, seed, full, &empty);
        writer.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread panicked")))
    })
}

/// Makes all values; stops when the writer has.
fn make(tensors: &[TensorSpec], seed: u64, full: SyncSender<Vec<u8>>, empty: &Receiver<Vec<u8>>) {
    let mut spare = BLOCKS;
    for spec in tensors {
        let (values, bytes) = (Values::of(spec, seed), byte_len(spec));
        let mut at = 0;
        while at < bytes {
            let mut block = if spare > 0 {
                spare -= 1;
                Vec::new()
            } else {
                let Ok(block) = empty.recv() else { return };
                block
            };
            block.resize(BLOCK.min(bytes - at) as usize, 0);
            values.fill(at / ELEMENT, &mut block);
            at += block.len() as u64;
            if full.send(block).is_err() {
                return;
            }
        }
    }
}

fn drain(
    file: &mut File,
    to_write: &Receiver<Vec<u8>>,
    used: &SyncSender<Vec<u8>>,
    written: &Written<'_>,
) -> io::Result<()> {
    for block in to_write {
        file.write_all(&block)?;
        written(block.len() as u64);
        // The maker may have made its last block.
        let _ = used.send(block);
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_keep_order_and_limit() {
        let sizes = [10, 20, 30, 100, 1, 1, 58];
        let tensors: Vec<TensorSpec> =
            sizes.iter().enumerate().map(|(i, n)| TensorSpec::required(format!("t{i}"), [*n])).collect();
        let lengths = |limit| plan(&tensors, limit).iter().map(|s| s.tensors.len()).collect::<Vec<_>>();
        assert_eq!(lengths(120), [3, 1, 3]);
        assert_eq!(lengths(119), [2, 1, 1, 2, 1]);
        assert_eq!(lengths(1), [1; 7]);
        assert_eq!(lengths(440), [7]);
        assert_eq!(plan(&tensors, 440)[0].file, "model.safetensors");
        assert_eq!(plan(&tensors, 120)[1].file, "model-00002-of-00003.safetensors");
    }
}
