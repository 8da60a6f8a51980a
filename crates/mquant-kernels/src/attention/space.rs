//! Memory that is kept between calls.

use std::cell::RefCell;

use crate::buffers::{Buffer, Line};

/// Words that begin at a cache line, kept by their owner and left as they were.
#[derive(Default)]
pub(super) struct Words(Vec<Line>);

impl Words {
    /// `len` words.
    pub(super) fn take(&mut self, len: usize) -> &mut [u32] {
        let lines = len.div_ceil(16);
        if self.0.len() < lines {
            self.0.resize(lines, Line::default());
        }
        &mut bytemuck::cast_slice_mut(&mut self.0)[..len]
    }
}

/// Lends `f` as many words that begin at a cache line, to be written before they are read.
pub(super) fn with_words<R>(len: usize, f: impl FnOnce(&mut [u32]) -> R) -> R {
    let mut lines = Buffer::<Line>::for_overwrite(len.div_ceil(16));
    f(&mut bytemuck::cast_slice_mut(&mut lines)[..len])
}

/// What a thread needs for a tile.
#[derive(Default)]
pub(super) struct TileSpace {
    pub(super) queries: Words,
    pub(super) kv_tile: Words,
    pub(super) span: Words,
    pub(super) total: Words,
    pub(super) group: Words,
    pub(super) seen: Vec<(usize, usize)>,
}

thread_local! {
    static TILE: RefCell<TileSpace> = RefCell::default();
}

/// Lends this thread's space to `f`, which must not ask for it again.
pub(super) fn with_tile<R>(f: impl FnOnce(&mut TileSpace) -> R) -> R {
    TILE.with_borrow_mut(f)
}
