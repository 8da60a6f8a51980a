//! Text to ids: cut at added tokens here, normalise, cut into words and look up by the crate.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tokenizers::normalizer::{NormalizedString, Range};
use tokenizers::tokenizer::{Model as _, Normalizer as _, PreTokenizer as _};
use tokenizers::{OffsetType, PreTokenizedString, Token};

use super::control::{Marked, Marker, Piece};
use super::{MAX_TEXT_BYTES, Tokenizer, TokenizerError};
use crate::excerpt::excerpt;

/// Whose text it is, and so which added tokens are recognised in it.
#[derive(Clone, Copy, Debug)]
pub enum Trust {
    /// A user's: control tokens are spelled out as ordinary text.
    Text,
    /// A template's output, the users' texts in it marked: control tokens are tokens, marks are taken out.
    Prompt(Marked),
}

/// Time to encode a text: this much and as much again for each MiB. Generous, since a machine may be busy.
const TIME_PER_MIB: Duration = Duration::from_secs(2);

impl Tokenizer {
    /// Marks users' texts so that they can pass through a template.
    pub fn marker(&self) -> &Marker {
        &self.marker
    }

    /// Ids of a user's text; never a control id, except the one that stands for unknown words where the model has such.
    ///
    /// # Errors
    /// The text is longer than [`MAX_TEXT_BYTES`] or takes too long; the tokenizer fails on it.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.encode(text, Trust::Text)
    }

    /// Ids the post-processor puts before and after a text.
    pub fn frame(&self) -> (&[u32], &[u32]) {
        (&self.frame.0, &self.frame.1)
    }

    /// Ids of `text` without the post-processor's.
    ///
    /// # Errors
    /// As [`Tokenizer::encode_text`].
    pub fn encode(&self, text: &str, trust: Trust) -> Result<Vec<u32>, TokenizerError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(TokenizerError::Budget { bytes: text.len(), limit: format!("{MAX_TEXT_BYTES} bytes") });
        }
        let allowed = TIME_PER_MIB + TIME_PER_MIB * u32::try_from(text.len() >> 20).unwrap_or(u32::MAX);
        let deadline = Deadline { at: Instant::now() + allowed };
        let attempt = catch_unwind(AssertUnwindSafe(|| self.ids(text, trust, &deadline)));
        let outcome = attempt.unwrap_or_else(|_| Err("it panicked on this text".into()));
        outcome.map_err(|e| {
            if e.is::<OutOfTime>() {
                TokenizerError::Budget { bytes: text.len(), limit: format!("{} seconds", allowed.as_secs()) }
            } else {
                TokenizerError::Encode { problem: excerpt(&e.to_string()) }
            }
        })
    }

    fn ids(&self, text: &str, trust: Trust, deadline: &Deadline) -> tokenizers::Result<Vec<u32>> {
        let (clean, pieces) = match trust {
            Trust::Text => (text.to_owned(), self.ordinary.pieces(text)),
            Trust::Prompt(marked) => without_marks(text, marked.sentinel, &self.all.pieces(text)),
        };
        let mut words = PreTokenizedString::from(clean.as_str());
        words.split(|_, whole| split(&whole, &pieces))?;
        deadline.check()?;
        if self.inner.get_normalizer().is_some() || !self.normalized.is_empty() {
            words.split(|_, mut piece| {
                deadline.check()?;
                if let Some(normalizer) = self.inner.get_normalizer() {
                    normalizer.normalize(&mut piece)?;
                }
                let pieces = self.normalized.pieces(piece.get());
                split(&piece, &pieces)
            })?;
        }
        if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut words)?;
        }
        deadline.check()?;
        words.tokenize(|word| {
            deadline.check()?;
            self.tokenize(word.get())
        })?;
        Ok(words.into_encoding(None, 0, OffsetType::None)?.get_ids().to_vec())
    }

    /// The model's tokens of one word. A vocabulary may hold the spelling of a control token as a word of its own; where
    /// the model finds it, the word is cut inside that spelling.
    fn tokenize(&self, word: &str) -> tokenizers::Result<Vec<Token>> {
        let tokens = self.inner.get_model().tokenize(word)?;
        let spelled = tokens.iter().find_map(|token| {
            let at = self.marker.controls().binary_search_by_key(&token.id, |control| control.id).ok()?;
            let spelling = word.get(token.offsets.0..token.offsets.1)?;
            (spelling == self.marker.controls()[at].content).then_some(token.offsets.0)
        });
        let Some(start) = spelled else { return Ok(tokens) };
        let cut = start + word[start..].chars().next().map_or(0, char::len_utf8);
        let (left, right) = word.split_at(cut);
        let mut tokens = self.tokenize(left)?;
        tokens.extend(self.tokenize(right)?);
        Ok(tokens)
    }
}

/// `text` without its marks, and the pieces where they lie in it.
fn without_marks(text: &str, sentinel: char, pieces: &[Piece]) -> (String, Vec<Piece>) {
    let mut clean = String::with_capacity(text.len());
    let mut moved = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let start = clean.len();
        clean.extend(text[piece.start..piece.end].chars().filter(|&c| c != sentinel));
        moved.push(Piece { start, end: clean.len(), token: piece.token });
    }
    (clean, moved)
}

type Part = (NormalizedString, Option<Vec<Token>>);

fn split(whole: &NormalizedString, pieces: &[Piece]) -> tokenizers::Result<Vec<Part>> {
    let part = |piece: &Piece| -> tokenizers::Result<Part> {
        let slice = whole.slice(Range::Normalized(piece.start..piece.end)).ok_or("a piece outside its text")?;
        let token = piece.token.map(|id| vec![Token::new(id, String::new(), (0, slice.len()))]);
        Ok((slice, token))
    };
    pieces.iter().map(part).collect()
}

struct Deadline {
    at: Instant,
}

#[derive(Debug, thiserror::Error)]
#[error("out of time")]
struct OutOfTime;

impl Deadline {
    fn check(&self) -> tokenizers::Result<()> {
        if Instant::now() > self.at { Err(OutOfTime.into()) } else { Ok(()) }
    }
}
