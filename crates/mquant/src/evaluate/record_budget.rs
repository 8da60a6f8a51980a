//! A reader that gives out a limited number of bytes until it is told to go on, since a CSV reader bounds no field.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// How many bytes may still be read.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    limit: u64,
    left: Rc<Cell<u64>>,
}

impl Budget {
    /// `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, left: Rc::new(Cell::new(limit)) }
    }

    /// The whole limit again.
    pub(super) fn renew(&self) {
        self.left.set(self.limit);
    }

    /// Whether a read was refused.
    pub(super) fn is_spent(&self) -> bool {
        self.left.get() == 0
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
        let left = self.budget.left.get();
        if left == 0 {
            return Err(io::Error::other("the record is too long"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(&mut buffer[..most])?;
        self.budget.left.set(left - read as u64);
        Ok(read)
    }
}
