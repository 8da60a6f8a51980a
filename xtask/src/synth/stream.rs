//! Random float tensors to weight files, a block at a time: one thread writes while the others make the next block.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use mquant::checkpoint::{Presence, ShardsWriter, StoredDtype, TensorShape, TensorSpec, WriteError};

use super::values::Values;

/// Bytes of a bf16 value.
pub(super) const ELEMENT: u64 = 2;
/// Bytes handed to the writer at once.
pub(super) const BLOCK: u64 = 16 << 20;
/// Blocks on their way.
const BLOCKS: usize = 3;

/// Called with the bytes of weights that have been written.
pub(super) type Written<'a> = dyn Fn(u64) + Sync + 'a;

/// Bytes of a tensor.
pub(super) fn byte_len(spec: &TensorSpec) -> u64 {
    spec.shape.iter().map(|&d| d as u64).product::<u64>() * ELEMENT
}

/// The tensors a float checkpoint is published with: a tied head is not stored.
pub(super) fn stored(specs: Vec<TensorSpec>) -> Vec<TensorSpec> {
    specs.into_iter().filter(|spec| spec.presence == Presence::Required).collect()
}

/// As they are stored.
pub(super) fn shapes(specs: &[TensorSpec]) -> Vec<TensorShape> {
    let shape = |spec: &TensorSpec| TensorShape {
        name: spec.name.clone(),
        dtype: StoredDtype::BF16,
        shape: spec.shape.clone(),
    };
    specs.iter().map(shape).collect()
}

/// Writes all tensors.
pub(super) fn write(
    writer: ShardsWriter,
    tensors: &[TensorSpec],
    seed: u64,
    written: &Written<'_>,
) -> Result<u64, WriteError> {
    let (full, to_write) = sync_channel::<Vec<u8>>(BLOCKS);
    let (used, empty) = sync_channel::<Vec<u8>>(BLOCKS);
    thread::scope(|scope| {
        let writer = scope.spawn(move || drain(writer, &to_write, &used, written));
        make(tensors, seed, full, &empty);
        writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Makes all values; stops when the writer has.
fn make(tensors: &[TensorSpec], seed: u64, full: SyncSender<Vec<u8>>, empty: &Receiver<Vec<u8>>) {
    let mut spare = BLOCKS;
    for spec in tensors {
        let (values, bytes) = (Values::of(&spec.name, &spec.shape, seed), byte_len(spec));
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
    mut writer: ShardsWriter,
    to_write: &Receiver<Vec<u8>>,
    used: &SyncSender<Vec<u8>>,
    written: &Written<'_>,
) -> Result<u64, WriteError> {
    for block in to_write {
        writer.write(&block)?;
        written(block.len() as u64);
        // The maker may have made its last block.
        let _ = used.send(block);
    }
    writer.finish()
}
