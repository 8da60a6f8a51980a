//! A row of any source, before it is chosen.

use std::path::Path;

use super::Origin;
use mquant_model::input::{Body, Content, Message};

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
            Content::Image(_) | Content::Video(_) | Content::Audio(_) => each(Part::Media),
        }),
    }
}

/// What a file or folder is called in messages.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
