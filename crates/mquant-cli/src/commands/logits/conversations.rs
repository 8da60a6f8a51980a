//! The messages file: one conversation, or several to be computed as a batch.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use mquant::input::Message;
use mquant::input::messages::{MAX_JSON_BYTES, parse};
use serde_json::Value;

use crate::failure::{CliError, Doing, Failure};

/// What a messages file holds.
#[derive(Debug)]
pub(super) enum Given {
    /// A list of messages.
    One([Vec<Message>; 1]),
    /// A list of lists of messages.
    Batch(Vec<Vec<Message>>),
}

impl Given {
    pub(super) fn conversations(&self) -> &[Vec<Message>] {
        match self {
            Given::One(one) => one,
            Given::Batch(batch) => batch,
        }
    }
}

/// Reads a messages file; media are relative to its folder.
pub(super) fn read(path: &Path) -> Result<Given, Failure> {
    let file = path.display().to_string();
    let json = read_text(path, &file).doing("read the messages")?;
    let base = path.parent().unwrap_or(Path::new(""));
    // Anything that is no list of lists is one conversation, right or wrong.
    let lists = match serde_json::from_str(&json) {
        Ok(Value::Array(lists)) if lists.first().is_some_and(Value::is_array) => lists,
        _ => return Ok(Given::One([parse(&json, base, &file).doing("read the messages")?])),
    };
    let conversations = lists.iter().enumerate();
    let conversations =
        conversations.map(|(i, list)| parse(&list.to_string(), base, &format!("{file}, conversation {i}")));
    Ok(Given::Batch(conversations.collect::<Result<_, _>>().doing("read the messages")?))
}

fn read_text(path: &Path, file: &str) -> Result<String, CliError> {
    let failed = |source| CliError::Read { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    let limit = MAX_JSON_BYTES as u64;
    File::open(path).and_then(|f| f.take(limit + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(CliError::TooLong { file: file.to_owned(), limit });
    }
    String::from_utf8(bytes).map_err(|e| CliError::NotText { file: file.to_owned(), at: e.utf8_error().valid_up_to() })
}
