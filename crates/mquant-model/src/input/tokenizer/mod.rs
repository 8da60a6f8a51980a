//! Text to token ids and back, over the `tokenizers` crate.
//!
//! Enters: a model's `tokenizer.json`, texts. Leaves: ids below the embedding's rows, and text. Ids equal the reference
//! implementation's, with one deliberate difference: **text of a user never becomes a control token**. Invariant: a
//! control id in a prompt was written by the template (or the post-processor), whatever the messages say.
//!
//! A *control token* is an added token that is marked special, or that the caller names as a media placeholder, or that
//! is spelled `<|…|>`. Other added tokens are ordinary vocabulary and are recognised in anyone's text, as the reference
//! does.

mod control;
mod decode;
mod encode;
mod load;
mod stop;

use thiserror::Error;
use tokenizers::Tokenizer as Inner;

use crate::checkpoint::CheckpointError;
use crate::error::{Class, Explain};
use control::Matcher;

pub use control::{Marked, Marker};
pub use decode::{DecodeStream, SkipSpecial};
pub use encode::Trust;
pub use stop::{StopStrings, Stopped};

/// Added tokens.
pub const MAX_ADDED_TOKENS: usize = 100_000;
/// Bytes of one added token.
pub const MAX_ADDED_TOKEN_BYTES: usize = 256;
/// Bytes of one text to encode.
pub const MAX_TEXT_BYTES: usize = 8 << 20;

/// What a model says of its vocabulary outside `tokenizer.json`.
#[derive(Clone, Debug)]
pub struct Limits<'a> {
    /// Rows of the embedding; every id must be below. It may be larger than the vocabulary (padding).
    pub vocabulary_rows: usize,
    /// Ids of the image, video and audio placeholders: control tokens even where `tokenizer.json` does not say so.
    pub placeholders: &'a [u32],
}

/// A loaded tokenizer.
pub struct Tokenizer {
    inner: Inner,
    /// Every added token matched in raw text of a template.
    all: Matcher,
    /// Those of them that are ordinary vocabulary, matched in anyone's text.
    ordinary: Matcher,
    /// Ordinary added tokens that match after normalisation.
    normalized: Matcher,
    marker: Marker,
    /// Ids the post-processor puts before and after a text.
    frame: (Vec<u32>, Vec<u32>),
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocabulary", &self.inner.get_vocab_size(true)).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// The id of a token by its exact spelling.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The spelling of a token in the vocabulary (bytes in the tokenizer's own alphabet).
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Tokens it knows, added ones among them.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Whether an id is a control token.
    pub fn is_control(&self, id: u32) -> bool {
        self.marker.controls().binary_search_by_key(&id, |token| token.id).is_ok()
    }
}

/// Why a tokenizer or a text was refused. `file` is the file's name in its folder.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The file is missing, cannot be read, is no JSON, or lists added tokens in another form.
    #[error(transparent)]
    File(#[from] CheckpointError),
    /// Not a tokenizer.
    #[error("{file}: is no tokenizer: {found}")]
    Form {
        /// The file.
        file: String,
        /// What the reader says.
        found: String,
    },
    /// An added token that cannot be used.
    #[error("{file}: added token {token}: {problem}")]
    AddedToken {
        /// The file.
        file: String,
        /// Its spelling.
        token: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An id of the vocabulary that the embedding has no row for, or that two tokens share.
    #[error("{file}: token {token} has id {id}: {problem}")]
    Id {
        /// The file.
        file: String,
        /// Its spelling.
        token: String,
        /// Its id.
        id: u32,
        /// What is wrong with it.
        problem: String,
    },
    /// The text is too long or took too long.
    #[error("encoding a text of {bytes} bytes passes the limit of {limit}")]
    Budget {
        /// Length of the text.
        bytes: usize,
        /// The limit with its unit.
        limit: String,
    },
    /// The tokenizer failed on a text.
    #[error("the tokenizer failed: {problem}")]
    Encode {
        /// Its words.
        problem: String,
    },
}

impl Explain for TokenizerError {
    fn class(&self) -> Class {
        match self {
            TokenizerError::File(e) => e.class(),
            TokenizerError::Budget { .. } => Class::Resources,
            _ => Class::Model,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            TokenizerError::File(e) => e.code(),
            TokenizerError::Form { .. } => "TOKENIZER_FORM",
            TokenizerError::AddedToken { .. } => "TOKENIZER_ADDED_TOKEN",
            TokenizerError::Id { .. } => "TOKENIZER_ID",
            TokenizerError::Budget { .. } => "TOKENIZE_BUDGET",
            TokenizerError::Encode { .. } => "TOKENIZE_FAILED",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            TokenizerError::File(CheckpointError::NoFile { .. }) => {
                Some("the model folder must hold a tokenizer.json".into())
            }
            TokenizerError::File(e) => e.hint(),
            TokenizerError::Id { .. } => Some("check that tokenizer.json and config.json belong to one model".into()),
            TokenizerError::Budget { .. } => Some("shorten the text".into()),
            _ => None,
        }
    }
}
