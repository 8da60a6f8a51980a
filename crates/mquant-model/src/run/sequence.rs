//! What is remembered of one conversation.

use mquant_kernels::Rows;

use super::MediaKey;
use super::Prompt;
use crate::nn::{KvCache, Position};

/// What decides a remembered row: change any of it and the row must be computed anew.
#[derive(Clone, Debug, PartialEq)]
struct Token {
    id: u32,
    position: Position,
    media: Option<MediaKey>,
}

/// The rows of one conversation that have been computed, with their keys and values.
#[derive(Clone, Debug)]
pub struct Sequence {
    pub(super) cache: KvCache,
    tokens: Vec<Token>,
    next_position: u32,
    /// Rows of the decoder's stream that images and videos became: a later turn needs no tower for them.
    pub(super) features: Vec<(MediaKey, Rows)>,
}

impl Sequence {
    pub(super) fn new(cache: KvCache) -> Self {
        Self { cache, tokens: Vec::new(), next_position: 0, features: Vec::new() }
    }

    /// Rows computed.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether nothing has been computed.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Forgets all rows, but not the features of media.
    pub fn forget_rows(&mut self) {
        self.tokens.clear();
        self.cache.truncate(0);
    }

    /// Forgets the features of media, which only another turn would need, but not their rows.
    pub fn forget_media(&mut self) {
        self.features = Vec::new();
    }

    /// Ids of the rows computed.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.tokens.iter().map(|t| t.id)
    }

    /// Bytes of keys, values and features of media.
    pub fn byte_len(&self) -> usize {
        let features = self.features.iter().map(|(_, rows)| size_of_val(rows.as_slice()));
        self.cache.byte_len() + features.sum::<usize>()
    }

    /// Features of a medium that has passed its tower.
    pub(super) fn features_of(&self, key: &MediaKey) -> Option<&Rows> {
        self.features.iter().find(|(known, _)| known == key).map(|(_, rows)| rows)
    }

    /// Keeps the rows that `prompt` begins with and forgets the others; returns how many stay. At least one row of the
    /// prompt is left to compute.
    pub(super) fn keep_common(&mut self, prompt: &Prompt) -> usize {
        let theirs = (0..prompt.ids.len().saturating_sub(1)).map(|row| token(prompt, row));
        let kept = self.tokens.iter().zip(theirs).take_while(|(ours, theirs)| *ours == theirs).count();
        self.tokens.truncate(kept);
        self.cache.truncate(kept);
        kept
    }

    /// Notes that rows up to `end` of `prompt` have been computed.
    pub(super) fn extend(&mut self, prompt: &Prompt, end: usize) {
        self.tokens.extend((self.tokens.len()..end).map(|row| token(prompt, row)));
        self.next_position = prompt.next_position;
    }

    /// Position of the row that follows.
    pub(super) fn next_position(&self) -> Position {
        [self.next_position; 3]
    }

    /// Notes one generated token whose row has been computed.
    pub(super) fn push(&mut self, id: u32) {
        self.tokens.push(Token { id, position: self.next_position(), media: None });
        self.next_position += 1;
    }
}

fn token(prompt: &Prompt, row: usize) -> Token {
    let media = prompt.media_of(row).map(|m| m.key);
    Token { id: prompt.ids[row], position: prompt.positions[row], media }
}
