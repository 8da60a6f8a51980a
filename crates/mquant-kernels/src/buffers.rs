//! Storage of activations, recycled: a prefill asks for the same dozens of megabytes again and again, and fresh memory
//! costs a page fault for each page.
//!
//! A [`Buffer`] that is dropped goes to a pool of its element type, which keeps a bounded number of bytes and lets the
//! buffer go that lay there longest. A new one takes the smallest kept one that is large enough. The [`Pools`] belong to
//! the backends of the process: the last one that is dropped gives all that is kept back to the system, and without a
//! backend nothing is kept.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Kept buffers of one element type at most, so that a search stays short.
const MAX_KEPT: usize = 64;

/// A kept buffer may be this many times larger than asked for, or have [`SMALL`] values.
const MAX_SLACK: usize = 4;

/// Buffers of up to this many values serve whoever asks.
const SMALL: usize = 1024;

/// What a buffer holds: plain numbers whose zero is `default()`.
pub(crate) trait Element: Copy + Default + Send + 'static {
    /// Bytes of this type that are kept for reuse.
    const KEPT_BYTES: usize;

    /// The pool of this type.
    fn pool(pools: &Pools) -> &Mutex<Pool<Self>>;
}

/// A cache line of 32-bit words: the element of buffers that must begin at one.
#[derive(Clone, Copy, Default, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
pub(crate) struct Line([u32; 16]);

macro_rules! pools {
    ($($pool:ident: $ty:ty, kept: $kept_bytes:expr;)*) => {
        /// Buffers kept for reuse, of every element type.
        #[derive(Default)]
        pub(crate) struct Pools {
            $($pool: Mutex<Pool<$ty>>,)*
        }

        $(impl Element for $ty {
            const KEPT_BYTES: usize = $kept_bytes;

            fn pool(pools: &Pools) -> &Mutex<Pool<Self>> {
                &pools.$pool
            }
        })*
    };
}

pools! {
    floats: f32, kept: 192 << 20;
    codes: i8, kept: 60 << 20;
    sums: i32, kept: 4 << 20;
    lines: Line, kept: 64 << 20;
}

/// The pools of the backends there are.
static SHARED: Mutex<Weak<Pools>> = Mutex::new(Weak::new());

impl Pools {
    /// The pools of the backends there are; new ones for the first. They live as long as anyone holds them.
    pub(crate) fn shared() -> Arc<Self> {
        let mut shared = lock(&SHARED);
        shared.upgrade().unwrap_or_else(|| {
            let pools = Arc::default();
            *shared = Arc::downgrade(&pools);
            pools
        })
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").finish_non_exhaustive()
    }
}

/// What is locked here is whole whenever it is not locked, whatever else panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Buffers that nobody uses, the longest unused first.
pub(crate) struct Pool<T> {
    kept: VecDeque<Vec<T>>,
    bytes: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { kept: VecDeque::new(), bytes: 0 }
    }
}

impl<T: Element> Pool<T> {
    /// The smallest kept buffer of at least `len` values that does not waste too much.
    fn take(&mut self, len: usize) -> Option<Vec<T>> {
        let fits = |values: &Vec<T>| values.len() >= len && values.len() <= SMALL.max(len * MAX_SLACK);
        let found = self.kept.iter().enumerate().filter(|(_, values)| fits(values));
        let (at, _) = found.min_by_key(|(_, values)| values.len())?;
        let values = self.kept.remove(at)?;
        self.bytes -= bytes_of(&values);
        Some(values)
    }

    /// Keeps `values`.
    fn put(&mut self, values: Vec<T>) {
        self.bytes += bytes_of(&values);
        self.kept.push_back(values);
    }

    /// The buffer to let go of next, while there are too many.
    fn excess(&mut self) -> Option<Vec<T>> {
        if self.bytes <= T::KEPT_BYTES && self.kept.len() <= MAX_KEPT {
            return None;
        }
        let values = self.kept.pop_front()?;
        self.bytes -= bytes_of(&values);
        Some(values)
    }
}

fn bytes_of<T>(values: &Vec<T>) -> usize {
    values.capacity() * size_of::<T>()
}

/// Lends the pool of a type, if there is a backend. Nothing is computed meanwhile: a lock is never held across parallel work.
fn with_pool<T: Element, R>(f: impl FnOnce(&mut Pool<T>) -> Option<R>) -> Option<R> {
    let pools = lock(&SHARED).upgrade()?;
    f(&mut lock(T::pool(&pools)))
}

/// Values a fresh buffer has when `len` are asked for: up to a quarter more, so that slightly longer rows fit too.
fn rounded_up(len: usize) -> usize {
    let step = len.next_power_of_two() / 8;
    len.next_multiple_of(step.max(16))
}

/// `len` values whose storage comes from the pool and returns to it.
pub(crate) struct Buffer<T: Element> {
    /// At least `len` values; those beyond are arbitrary.
    values: Vec<T>,
    len: usize,
}

impl<T: Element> Buffer<T> {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        match with_pool(|pool| pool.take(len)) {
            Some(mut values) => {
                values[..len].fill(T::default());
                Self { values, len }
            }
            None => Self::fresh(len),
        }
    }

    /// `len` arbitrary values: whatever the last user left.
    pub(crate) fn for_overwrite(len: usize) -> Self {
        match with_pool(|pool| pool.take(len)) {
            Some(values) => Self { values, len },
            None => Self::fresh(len),
        }
    }

    /// Takes `values`; they join the pool in the end.
    pub(crate) fn from_vec(values: Vec<T>) -> Self {
        Self { len: values.len(), values }
    }

    /// The values alone; nothing returns to the pool.
    pub(crate) fn into_vec(mut self) -> Vec<T> {
        let mut values = mem::take(&mut self.values);
        values.truncate(self.len);
        values
    }

    /// Appends `more`.
    pub(crate) fn extend(&mut self, more: &[T]) {
        let len = self.len + more.len();
        if len > self.values.len() {
            self.values.truncate(self.len);
            self.values.extend_from_slice(more);
        } else {
            self.values[self.len..len].copy_from_slice(more);
        }
        self.len = len;
    }

    fn fresh(len: usize) -> Self {
        Self { values: vec![T::default(); if len == 0 { 0 } else { rounded_up(len) }], len }
    }
}

impl<T: Element> Drop for Buffer<T> {
    fn drop(&mut self) {
        let values = mem::take(&mut self.values);
        if values.is_empty() || bytes_of(&values) > T::KEPT_BYTES {
            return;
        }
        let mut excess = with_pool(|pool| {
            pool.put(values);
            pool.excess()
        });
        // Memory goes back to the system while nobody waits for the pool.
        while excess.take().is_some() {
            excess = with_pool(Pool::excess);
        }
    }
}

impl<T: Element> Deref for Buffer<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.values[..self.len]
    }
}

impl<T: Element> DerefMut for Buffer<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[..self.len]
    }
}

impl<T: Element> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::for_overwrite(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T: Element + PartialEq> PartialEq for Buffer<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Element + fmt::Debug> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_buffer_that_fits_is_taken() {
        let mut pool = Pool::<i32>::default();
        for len in [1000, 10_000, 3000, 50_000] {
            pool.put(vec![0; len]);
        }
        let taken = [2000, 2000, 12_499, 50_001, 1, 1].map(|len| pool.take(len).map(|v| v.len()));
        assert_eq!(taken, [Some(3000), None, None, None, Some(1000), None], "10000 and 50000 waste too much");
        assert_eq!(pool.bytes, 60_000 * 4);
        assert_eq!([2500, 12_500].map(|len| pool.take(len).map(|v| v.len())), [Some(10_000), Some(50_000)]);
    }

    #[test]
    fn what_lay_longest_goes_when_there_is_too_much() {
        let mut pool = Pool::<i32>::default();
        let half = i32::KEPT_BYTES / 8;
        pool.put(vec![1; half]);
        pool.put(vec![2; half]);
        assert!(pool.excess().is_none());
        pool.put(vec![3; 10]);
        assert_eq!(pool.excess().map(|v| v[0]), Some(1));
        assert!(pool.excess().is_none());
        assert_eq!(pool.bytes, half * 4 + 40);
        for _ in 0..MAX_KEPT {
            pool.put(vec![4; 1]);
        }
        assert_eq!([pool.excess().map(|v| v[0]), pool.excess().map(|v| v[0])], [Some(2), Some(3)]);
        assert!(pool.excess().is_none());
    }

    // Other tests use the same pools, so nothing here depends on which storage is found.
    #[test]
    fn buffers_keep_their_values_whatever_storage_they_get() {
        let _pools = Pools::shared();
        for round in 0..50 {
            let mut a = Buffer::<f32>::for_overwrite(1000 + round);
            a.fill(7.0);
            let b = Buffer::<f32>::zeros(1000 + round);
            assert!(b.iter().all(|v| *v == 0.0));
            let mut c = a.clone();
            c.extend(&b);
            c.extend(&[1.0; 3000]);
            assert_eq!((a.len(), c.len()), (1000 + round, 5000 + 2 * round));
            assert!(c[..a.len()] == *a && c[a.len()..2 * a.len()] == *b && c[2 * a.len()..] == [1.0; 3000]);
            assert_eq!(c.clone().into_vec(), *c);
            assert_eq!(Buffer::from_vec(c.to_vec()), c);
            let empty = Buffer::<f32>::zeros(0);
            assert!(empty.is_empty() && empty.into_vec().is_empty());
        }
    }

    #[test]
    fn a_fresh_buffer_is_at_most_a_quarter_larger() {
        for len in 1usize..10_000 {
            let rounded = rounded_up(len);
            assert!(rounded >= len && rounded <= len + (len / 4).max(16), "{len} became {rounded}");
        }
    }
}
