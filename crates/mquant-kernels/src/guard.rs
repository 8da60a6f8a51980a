//! Buffers for tests that touch a forbidden page: a kernel that reads or writes one byte outside is killed at once.

use std::ffi::c_void;
use std::ops::{Deref, DerefMut};
use std::ptr::{null_mut, slice_from_raw_parts_mut};

use bytemuck::Pod;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// Which end of the buffer lies against a forbidden page. The other end is followed by slack of less than a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// The page before the first value is forbidden.
    Begin,
    /// The page after the last value is forbidden.
    End,
}

/// A slice of `T` between two forbidden pages, against the one that [`Edge`] names.
pub(crate) struct Guarded<T> {
    map: *mut c_void,
    map_len: usize,
    values: *mut [T],
}

impl<T: Pod> Guarded<T> {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize, edge: Edge) -> Self {
        let page = rustix::param::page_size();
        assert!(page.is_multiple_of(align_of::<T>()), "values aligned to more than a page");
        let bytes = len * size_of::<T>();
        let middle = bytes.next_multiple_of(page);
        let map_len = middle + 2 * page;
        let from = match edge {
            Edge::Begin => page,
            Edge::End => page + middle - bytes,
        };
        // SAFETY: a new mapping wherever the system likes; pages of zeros are valid for every `Pod`, and `from` is a
        // multiple of the alignment of `T`, since a page and the size of `T` are.
        unsafe {
            let read_write = ProtFlags::READ | ProtFlags::WRITE;
            let map = mmap_anonymous(null_mut(), map_len, read_write, MapFlags::PRIVATE).expect("pages for a test");
            for forbidden in [0, map_len - page] {
                mprotect(map.byte_add(forbidden), page, MprotectFlags::empty()).expect("pages can be forbidden");
            }
            Self { map, map_len, values: slice_from_raw_parts_mut(map.byte_add(from).cast(), len) }
        }
    }

    /// A copy of `values`.
    pub(crate) fn copy_of(values: &[T], edge: Edge) -> Self {
        let mut guarded = Self::zeros(values.len(), edge);
        guarded.copy_from_slice(values);
        guarded
    }
}

impl<T> Deref for Guarded<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: made of `len` initialised values in `zeros`; the mapping lives as long as `self`.
        unsafe { &*self.values }
    }
}

impl<T> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; nobody else holds the mapping.
        unsafe { &mut *self.values }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `zeros`, which nothing borrows any more.
        unsafe { munmap(self.map, self.map_len) }.expect("the mapping is ours");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn values_lie_against_the_edge_and_can_be_written() {
        for len in [0usize, 1, 3, 1023, 1024, 1025, 5000] {
            for edge in [Edge::Begin, Edge::End] {
                let mut values = Guarded::<f32>::zeros(len, edge);
                assert!(values.iter().all(|v| *v == 0.0));
                values.fill(1.5);
                let expected = vec![1.5f32; len];
                assert_eq!(*Guarded::copy_of(&values, edge), expected[..]);
                let page = rustix::param::page_size();
                let at_edge = match edge {
                    Edge::Begin => values.as_ptr() as usize,
                    Edge::End => values.as_ptr_range().end as usize,
                };
                assert_eq!(at_edge % page, 0, "{len} values against {edge:?}");
            }
        }
    }

    // The process that touches a forbidden page dies, so it is one of its own: this test run again with a variable set.
    #[test]
    fn one_value_outside_kills() {
        const SIDE: &str = "MQUANT_TEST_GUARD_SIDE";
        let side = |name: &str| if name == "begin" { (Edge::Begin, -1) } else { (Edge::End, 7) };
        if let Ok(name) = std::env::var(SIDE) {
            let (edge, outside) = side(&name);
            let values = Guarded::<i8>::zeros(7, edge);
            // SAFETY: none; reading outside must kill this process.
            let value = unsafe { values.as_ptr().offset(outside).read_volatile() };
            println!("read {value}");
            return;
        }
        for name in ["begin", "end"] {
            let test = std::env::current_exe().expect("this test is a program");
            let status = Command::new(test)
                .args(["--exact", "guard::tests::one_value_outside_kills"])
                .env(SIDE, name)
                .status()
                .expect("a test can be run again");
            assert!(matches!(status.signal(), Some(7 | 11)), "{name}: {status}");
        }
    }
}
