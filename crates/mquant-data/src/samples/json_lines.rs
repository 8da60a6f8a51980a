//! Conversations, one a line.

use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use super::row::{Read, Row, Visit};
use super::{Origin, SamplesError};
use mquant_model::input::messages::{self, MAX_JSON_BYTES, Message};

/// Gives every line that is not blank to `visit`. Media paths are relative to `base`.
pub(super) fn rows(source: impl io::Read, base: &Path, file: &str, visit: &mut Visit<'_>) -> Result<(), SamplesError> {
    let limit = MAX_JSON_BYTES as u64;
    let mut reader = BufReader::new(source);
    let mut line = Vec::new();
    for row in 1.. {
        line.clear();
        let read = reader.by_ref().take(limit + 1).read_until(b'\n', &mut line);
        if read.map_err(|source| SamplesError::Io { file: file.to_owned(), source })? == 0 {
            break;
        }
        if line.len() as u64 > limit {
            return Err(SamplesError::TooLong { file: file.to_owned(), row, limit });
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if visit(Origin { file: file.to_owned(), row }, parse(&line, base, file)) == Read::Enough {
            break;
        }
    }
    Ok(())
}

fn parse(line: &[u8], base: &Path, file: &str) -> Result<Row, String> {
    let text = std::str::from_utf8(line)
        .map_err(|e| format!("expected UTF-8 text, found another byte at {}", e.valid_up_to()))?;
    let prefix = format!("{file}: ");
    let told = |e: messages::MessagesError| {
        let told = e.to_string();
        told.strip_prefix(&prefix).map_or(told.clone(), str::to_owned)
    };
    let mut messages = messages::parse(text, base, file).map_err(told)?;
    let answer = match messages.pop_if(|last| last.role == "assistant") {
        Some(last) => Some(answer(&last)?),
        None => None,
    };
    match messages.last() {
        Some(last) if last.role == "assistant" => {
            Err("expected something asked before the last answer, found another answer".into())
        }
        Some(_) => Ok(Row { messages, answer }),
        None => Err("expected something asked before the answer, found nothing".to_owned()),
    }
}

/// The text of an assistant's message.
fn answer(message: &Message) -> Result<String, String> {
    if message.media().next().is_some() {
        return Err("expected an answer of text, found a picture in it".to_owned());
    }
    let text = message.texts().collect::<Vec<_>>().join("");
    if text.trim().is_empty() { Err("expected an answer of text, found nothing".to_owned()) } else { Ok(text) }
}
