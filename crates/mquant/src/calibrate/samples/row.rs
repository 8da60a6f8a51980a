//! A row of any source, before it is chosen.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::Origin;
use crate::input::{Body, Content, Message};

/// A conversation up to where the model answers, and the answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) messages: Vec<Message>,
    pub(super) answer: Option<String>,
}

/// Whether to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    On,
    Enough,
}

/// Is given every row, or why it cannot be used.
pub(super) type Visit<'a> = dyn FnMut(Origin, Result<Row, String>) -> Read + 'a;

/// A part of a message.
pub(super) enum Part<'a> {
    Text(&'a str),
    Media,
}

/// The parts of a message in order.
pub(super) fn parts(body: &Body, each: &mut dyn FnMut(Part<'_>)) {
    match body {
        Body::Plain(text) => each(Part::Text(text)),
        Body::Parts(parts) => parts.iter().for_each(|part| match part {
            Content::Text(text) => each(Part::Text(text)),
            Content::Image(_) | Content::Video(_) => each(Part::Media),
        }),
    }
}

/// What a file or folder is called in messages.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Gives out a limited number of bytes until it is renewed, so that no row can grow without end.
#[derive(Debug)]
pub(super) struct Bounded<R> {
    pub(super) inner: R,
    pub(super) left: Allowance,
}

/// Bytes that may still be read.
#[derive(Clone, Debug)]
pub(super) struct Allowance(Rc<Cell<u64>>);

impl Allowance {
    pub(super) fn of(bytes: u64) -> Self {
        Self(Rc::new(Cell::new(bytes)))
    }

    pub(super) fn renew(&self, bytes: u64) {
        self.0.set(bytes);
    }

    pub(super) fn is_spent(&self) -> bool {
        self.0.get() == 0
    }
}

impl<R: io::Read> io::Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.0.get();
        if left == 0 {
            return Err(io::Error::other("the row is too long"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(&mut buffer[..most])?;
        self.left.0.set(left - read as u64);
        Ok(read)
    }
}
