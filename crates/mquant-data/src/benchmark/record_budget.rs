//! A reader that gives out a limited number of bytes until it is told to go on, since a CSV reader bounds no field.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes may still be read.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    limit: u64,
    left: Arc<AtomicU64>,
}

impl Budget {
    /// `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, left: Arc::new(AtomicU64::new(limit)) }
    }

    /// The whole limit again.
    pub(super) fn renew(&self) {
        self.left.store(self.limit, Ordering::Relaxed);
    }

    /// Whether a read was refused.
    pub(super) fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }
}

/// Reads within a budget.
#[derive(Debug)]
pub(super) struct Budgeted<R> {
    pub(super) inner: R,
    pub(super) budget: Budget,
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.budget.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::Error::other("the record is too long"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(&mut buffer[..most])?;
        self.budget.left.store(left - read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl<R: Seek> Seek for Budgeted<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
