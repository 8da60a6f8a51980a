//! Ids to text, at once or token by token.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Tokenizer, TokenizerError};
use crate::excerpt::excerpt;

/// Whether special tokens are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipSpecial {
    /// They are left out.
    Yes,
    /// They are spelled.
    No,
}

impl Tokenizer {
    /// The text of `ids`; ids without a token (padding rows of the embedding) print nothing.
    ///
    /// # Errors
    /// The tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32], skip: SkipSpecial) -> Result<String, TokenizerError> {
        let attempt = catch_unwind(AssertUnwindSafe(|| self.inner.decode(ids, skip == SkipSpecial::Yes)));
        let outcome = attempt.unwrap_or_else(|_| Err("it panicked on these ids".into()));
        outcome.map_err(|e| TokenizerError::Encode { problem: excerpt(&e.to_string()) })
    }

    /// A decoder that is fed one id at a time.
    pub fn decode_stream(&self, skip: SkipSpecial) -> DecodeStream<'_> {
        DecodeStream { tokenizer: self, skip, window: Vec::new(), settled: 0, printed: 0 }
    }
}

/// Text of a growing answer. Joined, its pieces are the text of all ids; none ends inside a character.
#[derive(Debug)]
pub struct DecodeStream<'a> {
    tokenizer: &'a Tokenizer,
    skip: SkipSpecial,
    /// Ids whose text may still change with the next, after those that give it its context.
    window: Vec<u32>,
    /// How many ids of the window are context.
    settled: usize,
    /// Bytes of the window's text that are out.
    printed: usize,
}

/// A character has at most four bytes, so this many unfinished ids are not a character.
const MAX_UNFINISHED: usize = 8;

impl DecodeStream<'_> {
    /// The text that `id` completes; empty while a character is unfinished.
    ///
    /// # Errors
    /// The tokenizer's decoder fails.
    pub fn push(&mut self, id: u32) -> Result<String, TokenizerError> {
        self.window.push(id);
        let text = self.tokenizer.decode(&self.window, self.skip)?;
        if text.ends_with(char::REPLACEMENT_CHARACTER) && self.window.len() - self.settled < MAX_UNFINISHED {
            return Ok(String::new());
        }
        self.release(&text)
    }

    /// The rest, an unfinished character as U+FFFD.
    ///
    /// # Errors
    /// The tokenizer's decoder fails.
    pub fn finish(mut self) -> Result<String, TokenizerError> {
        let text = self.tokenizer.decode(&self.window, self.skip)?;
        self.release(&text)
    }

    fn release(&mut self, text: &str) -> Result<String, TokenizerError> {
        let new = text.get(self.printed..).unwrap_or_default().to_owned();
        if !new.is_empty() {
            self.window.drain(..self.settled);
            self.printed = self.tokenizer.decode(&self.window, self.skip)?.len();
        }
        self.settled = self.window.len();
        Ok(new)
    }
}
