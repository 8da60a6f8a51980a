//! `tokenizer.json` to a [`Tokenizer`], or an error: nothing in the file may panic, and no id may lie outside the embedding.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::Tokenizer as Inner;
use tokenizers::normalizer::NormalizedString;
use tokenizers::tokenizer::Normalizer as _;

use super::control::{Added, Marker, Matcher};
use super::{Limits, MAX_ADDED_TOKEN_BYTES, MAX_ADDED_TOKENS, Tokenizer, TokenizerError};
use crate::checkpoint::{Caps, Checkpoint, CheckpointError, FieldError, Fields, TEXT_CAP};
use crate::excerpt::{excerpt, quoted};

const FILE: &str = "tokenizer.json";
/// Most values in it: three or four for each token of a large vocabulary and its merge.
const VALUES: usize = 4_000_000;

/// An entry of `added_tokens`, the part of the file that is read here; the crate reads all of it.
struct Entry {
    id: u32,
    content: String,
    lstrip: bool,
    rstrip: bool,
    single_word: bool,
    normalized: bool,
    special: bool,
}

impl Entry {
    fn read(fields: &Fields) -> Result<Self, FieldError> {
        let flag = |key| fields.bool_or(key, false);
        let id = fields.usize("id", 0..=u32::MAX as usize)?;
        Ok(Self {
            // Inside the range that was just checked.
            id: id as u32,
            content: fields.string("content")?.to_owned(),
            lstrip: flag("lstrip")?,
            rstrip: flag("rstrip")?,
            single_word: flag("single_word")?,
            normalized: flag("normalized")?,
            special: flag("special")?,
        })
    }
}

impl Tokenizer {
    /// Loads the `tokenizer.json` of a model folder.
    ///
    /// # Errors
    /// The file is missing, cannot be read, is too large, is no tokenizer, or holds a token that `limits` do not allow.
    pub fn read(checkpoint: &Checkpoint, limits: &Limits<'_>) -> Result<Self, TokenizerError> {
        let text = checkpoint.text(FILE)?.ok_or_else(|| CheckpointError::NoFile { file: FILE.to_owned() })?;
        Self::parse(&text, limits, FILE)
    }

    /// Loads the text of a `tokenizer.json`; `file` names it in errors.
    ///
    /// # Errors
    /// As [`Tokenizer::read`].
    pub fn parse(text: &str, limits: &Limits<'_>, file: &str) -> Result<Self, TokenizerError> {
        let caps = Caps { bytes: TEXT_CAP, values: VALUES };
        let fields = Fields::parse_within(file, text.as_bytes(), caps).map_err(CheckpointError::from)?;
        let listed = fields.opt_object_list("added_tokens", 0..=MAX_ADDED_TOKENS).map_err(CheckpointError::from)?;
        let added = listed.unwrap_or_default().iter().map(Entry::read).collect::<Result<Vec<_>, _>>();
        let added = added.map_err(CheckpointError::from)?;
        // Its values take several times the bytes of the text.
        drop(fields);
        check_added(&added, limits, file)?;
        let attempt = catch_unwind(AssertUnwindSafe(|| Self::build(text, added, limits, file)));
        attempt.unwrap_or_else(|_| Err(form(file, "its parts contradict each other")))
    }

    fn build(text: &str, added: Vec<Entry>, limits: &Limits<'_>, file: &str) -> Result<Self, TokenizerError> {
        let mut inner: Inner = text.parse().map_err(|e: tokenizers::Error| form(file, &excerpt(&e.to_string())))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| form(file, &excerpt(&e.to_string())))?;
        check_vocabulary(&inner, &added, limits, file)?;

        let (mut all, mut ordinary, mut normalized, mut controls) = (vec![], vec![], vec![], vec![]);
        for token in added {
            let control = token.special
                || limits.placeholders.contains(&token.id)
                || (token.content.starts_with("<|") && token.content.ends_with("|>"));
            let Entry { id, content, lstrip, rstrip, single_word, normalized: after, .. } = token;
            if control {
                if content.chars().nth(1).is_none() {
                    return Err(added_token(file, &content, "a control token of one character is not supported"));
                }
                controls.push((id, content.clone()));
            }
            let mut token = Added { id, content, lstrip, rstrip, single_word };
            if after && !control {
                token.content = normal_form(&inner, &token.content).map_err(|e| form(file, &excerpt(&e)))?;
                if !token.content.is_empty() {
                    normalized.push(token);
                }
                continue;
            }
            if !control {
                ordinary.push(token.clone());
            }
            all.push(token);
        }
        let matcher = |tokens| Matcher::new(tokens).map_err(|e| form(file, &excerpt(&e.to_string())));
        let marker = Marker::new(controls).map_err(|e| form(file, &excerpt(&e.to_string())))?;
        let frame = frame(&inner, limits, file)?;
        let tokenizer = Self {
            inner,
            all: matcher(all)?,
            ordinary: matcher(ordinary)?,
            normalized: matcher(normalized)?,
            marker,
            frame,
        };
        tokenizer.encode_text("Try 1 word, 语 and\n\n  more.").map_err(|e| form(file, &excerpt(&e.to_string())))?;
        Ok(tokenizer)
    }
}

fn check_added(added: &[Entry], limits: &Limits<'_>, file: &str) -> Result<(), TokenizerError> {
    let (mut ids, mut contents) = (HashSet::new(), HashSet::new());
    for token in added {
        if token.content.is_empty() {
            return Err(added_token(file, &token.content, "is empty"));
        }
        if token.content.len() > MAX_ADDED_TOKEN_BYTES {
            return Err(added_token(file, &token.content, format!("is longer than {MAX_ADDED_TOKEN_BYTES} bytes")));
        }
        check_id(&token.content, token.id, limits, file)?;
        if !ids.insert(token.id) {
            return Err(added_token(file, &token.content, format!("shares id {} with another", token.id)));
        }
        if !contents.insert(token.content.as_str()) {
            return Err(added_token(file, &token.content, "is listed twice"));
        }
    }
    Ok(())
}

fn check_id(token: &str, id: u32, limits: &Limits<'_>, file: &str) -> Result<(), TokenizerError> {
    if (id as usize) < limits.vocabulary_rows {
        return Ok(());
    }
    let problem = format!("the embedding has {} rows", limits.vocabulary_rows);
    Err(TokenizerError::Id { file: file.into(), token: quoted(token), id, problem })
}

fn check_vocabulary(inner: &Inner, added: &[Entry], limits: &Limits<'_>, file: &str) -> Result<(), TokenizerError> {
    let mut seen = vec![false; limits.vocabulary_rows];
    for (token, id) in inner.get_vocab(false) {
        check_id(&token, id, limits, file)?;
        if std::mem::replace(&mut seen[id as usize], true) {
            let problem = "which another token has as well".into();
            return Err(TokenizerError::Id { file: file.into(), token: quoted(&token), id, problem });
        }
    }
    for token in added {
        let id = inner.token_to_id(&token.content);
        if id != Some(token.id) {
            let id = id.map_or_else(|| "none".into(), |id| id.to_string());
            return Err(added_token(file, &token.content, format!("is listed with id {}, but has {id}", token.id)));
        }
    }
    Ok(())
}

fn normal_form(inner: &Inner, content: &str) -> Result<String, String> {
    let mut string = NormalizedString::from(content);
    if let Some(normalizer) = inner.get_normalizer() {
        normalizer.normalize(&mut string).map_err(|e| e.to_string())?;
    }
    Ok(string.get().to_owned())
}

/// What the post-processor adds around a text.
fn frame(inner: &Inner, limits: &Limits<'_>, file: &str) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
    let encode = |add| inner.encode_fast("a", add).map_err(|e| form(file, &excerpt(&e.to_string())));
    let (bare, framed) = (encode(false)?, encode(true)?);
    let (bare, framed) = (bare.get_ids(), framed.get_ids());
    if let Some(&id) = framed.iter().find(|&&id| id as usize >= limits.vocabulary_rows) {
        check_id("of the post-processor", id, limits, file)?;
    }
    let at = framed.windows(bare.len().max(1)).position(|window| window == bare);
    Ok(at.map_or_else(Default::default, |at| (framed[..at].to_vec(), framed[at + bare.len()..].to_vec())))
}

fn form(file: &str, found: &str) -> TokenizerError {
    TokenizerError::Form { file: file.into(), found: found.into() }
}

fn added_token(file: &str, token: &str, problem: impl Into<String>) -> TokenizerError {
    TokenizerError::AddedToken { file: file.into(), token: quoted(token), problem: problem.into() }
}
