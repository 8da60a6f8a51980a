//! A file mapped into memory: with [`bus_error`](super::bus_error), the only unsafe code of this crate.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use memmap2::Mmap;
use mquant_kernels::Bytes;

/// What tells whether a file is still the one whose header was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Length in bytes.
    pub(crate) len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The present state of an open file.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let m = file.metadata()?;
        Ok(Self { len: m.len(), modified: (m.mtime(), m.mtime_nsec()), changed: (m.ctime(), m.ctime_nsec()) })
    }
}

/// Maps a whole file that is not empty. `None` when it is no longer as `stamp` says, before or after mapping.
pub(crate) fn map(file: &File, stamp: Stamp) -> io::Result<Option<Bytes>> {
    if Stamp::of(file)? != stamp {
        return Ok(None);
    }
    #[expect(unsafe_code, reason = "mapping is what lets a model larger than memory be opened")]
    // SAFETY: the map is private and read-only, and its bytes are only ever read as plain numbers, for which every bit
    // pattern is valid. Another process that truncates the file meanwhile ends this one with SIGBUS (see `bus_error`); one that overwrites
    // it changes numbers. Neither can be excluded here; length and times are checked on both sides of the call.
    let map = unsafe { Mmap::map(file)? };
    let whole = map.len() as u64 == stamp.len && Stamp::of(file)? == stamp;
    Ok(whole.then(|| Bytes::new(Arc::new(map))))
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
        assert_eq!(map(&file, stamp).unwrap().unwrap().as_ref(), b"weights");

        file.write_all(b"!").unwrap();
        assert!(map(&file, stamp).unwrap().is_none());
        file.set_len(3).unwrap();
        assert!(map(&file, stamp).unwrap().is_none());
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
