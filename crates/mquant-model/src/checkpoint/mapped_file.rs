//! A file mapped into memory: with [`bus_error`](super::bus_error), the only unsafe code of this crate.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use memmap2::{Advice, Mmap, UncheckedAdvice};
use mquant_kernels::Bytes;

/// What tells whether a file is still the one whose header was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Length in bytes.
    pub(crate) len: u64,
    /// Seconds and nanoseconds of the last change of its content.
    pub(crate) modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The present state of an open file.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let m = file.metadata()?;
        Ok(Self { len: m.len(), modified: (m.mtime(), m.mtime_nsec()), changed: (m.ctime(), m.ctime_nsec()) })
    }
}

/// A file in memory; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct MappedFile(Arc<Mmap>);

impl MappedFile {
    /// All of its bytes.
    pub(crate) fn bytes(&self) -> Bytes {
        Bytes::new(self.0.clone())
    }

    /// Asks the system to read the whole file in soon.
    pub(crate) fn will_need(&self) {
        // Advice that is not taken costs time, nothing else.
        let _ = self.0.advise(Advice::WillNeed);
    }

    /// Gives back the memory of the whole pages in `range`: they will hardly be read again. If they are, the system reads
    /// them anew.
    pub(crate) fn release(&self, range: Range<usize>) {
        let page = rustix::param::page_size();
        let (start, end) = (range.start.next_multiple_of(page), range.end.min(self.0.len()) / page * page);
        if start >= end {
            return;
        }
        #[expect(unsafe_code, reason = "only the system knows which pages it may drop")]
        // SAFETY: the advice is destructive for pages that were written to. The map is private and read-only, none was: a
        // later read finds what the file holds, as it did before.
        let advised = unsafe { self.0.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
        // Advice that is not taken costs memory, nothing else.
        let _ = advised;
    }
}

/// Maps a whole file that is not empty. `None` when it is no longer as `stamp` says, before or after mapping.
pub(crate) fn map(file: &File, stamp: Stamp) -> io::Result<Option<MappedFile>> {
    if Stamp::of(file)? != stamp {
        return Ok(None);
    }
    #[expect(unsafe_code, reason = "mapping is what lets a model larger than memory be opened")]
    // SAFETY: the map is private and read-only, and its bytes are only ever read as plain numbers, for which every bit
    // pattern is valid. Another process that truncates the file meanwhile ends this one with SIGBUS (see `bus_error`); one that overwrites
    // it changes numbers. Neither can be excluded here; length and times are checked on both sides of the call.
    let map = unsafe { Mmap::map(file)? };
    let whole = map.len() as u64 == stamp.len && Stamp::of(file)? == stamp;
    Ok(whole.then(|| MappedFile(Arc::new(map))))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_changed_since_its_stamp_is_not_mapped() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"weights").unwrap();
        let stamp = Stamp::of(&file).unwrap();
        assert_eq!(map(&file, stamp).unwrap().unwrap().bytes().as_ref(), b"weights");

        file.write_all(b"!").unwrap();
        assert!(map(&file, stamp).unwrap().is_none());
        file.set_len(3).unwrap();
        assert!(map(&file, stamp).unwrap().is_none());
    }

    #[test]
    fn released_pages_read_as_before() {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        file.write_all(&content).unwrap();
        let map = map(&file, Stamp::of(&file).unwrap()).unwrap().unwrap();
        map.will_need();
        for range in [0..0, 5..9, 1..99_999, 0..100_000, 4096..8192, 99_000..200_000] {
            map.release(range);
            assert_eq!(map.bytes().as_ref(), content);
        }
    }

    #[test]
    fn the_same_length_at_another_time_is_a_change() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"weights").unwrap();
        let stamp = Stamp::of(&file).unwrap();
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
        file.set_modified(later).unwrap();
        assert!(map(&file, stamp).unwrap().is_none());
    }
}
