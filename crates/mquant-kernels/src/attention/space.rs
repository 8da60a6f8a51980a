//! Memory that is kept between calls.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

/// A cache line of words.
#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Words that begin at a cache line and hold whatever they held.
#[derive(Default)]
pub(super) struct Words(Vec<Line>);

impl Words {
    /// `len` words.
    pub(super) fn take(&mut self, len: usize) -> &mut [u32] {
        let lines = len.div_ceil(16);
        if self.0.len() < lines {
            self.0.resize(lines, Line([0; 16]));
        }
        &mut bytemuck::cast_slice_mut(&mut self.0)[..len]
    }
}

/// What is kept between calls at most: 64 MiB.
const MOST_LINES: usize = 1 << 20;

static KEPT: Mutex<Vec<Words>> = Mutex::new(Vec::new());

/// Lends words to `f`, from a call before if there are any.
pub(super) fn with_words<R>(f: impl FnOnce(&mut Words) -> R) -> R {
    let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut words = kept().pop().unwrap_or_default();
    let result = f(&mut words);
    let mut all = kept();
    let lines: usize = all.iter().map(|words| words.0.len()).sum();
    if lines + words.0.len() <= MOST_LINES {
        all.push(words);
    }
    result
}

/// What a thread needs for a tile.
#[derive(Default)]
pub(super) struct TileSpace {
    pub(super) queries: Words,
    pub(super) panel: Words,
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
