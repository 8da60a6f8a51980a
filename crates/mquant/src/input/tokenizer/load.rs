//! `tokenizer.json` to a [`Tokenizer`], or an error: nothing in the file may panic, and no id may lie outside the embedding.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde::Deserialize;
use tokenizers::Tokenizer as Inner;
use tokenizers::normalizer::NormalizedString;
use tokenizers::tokenizer::Normalizer as _;

use super::control::{Added, Marker, Matcher};
use super::{Limits, MAX_ADDED_TOKEN_BYTES, MAX_ADDED_TOKENS, MAX_FILE_BYTES, Tokenizer, TokenizerError};
use crate::input::excerpt::excerpt;
use crate::input::json_file::{ReadError, name_of, read_text};

/// The part of the file that is read here; the crate reads all of it.
#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    added_tokens: Vec<OutlineToken>,
}

#[derive(Deserialize)]
struct OutlineToken {
    id: u32,
    content: String,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    special: bool,
}

impl Tokenizer {
    /// Loads a `tokenizer.json`.
    ///
    /// # Errors
    /// The file cannot be read, is too large, is no tokenizer, or holds a token that `limits` do not allow.
    pub fn load(path: &Path, limits: &Limits<'_>) -> Result<Self, TokenizerError> {
        let file = name_of(path);
        let text = read_text(path, MAX_FILE_BYTES).map_err(|e| match e {
            ReadError::Io(source) => TokenizerError::Io { file: file.clone(), source },
            ReadError::TooLarge { limit } => limit_error(&file, "bytes", limit, 0),
            ReadError::NotUtf8 => form(&file, "text that is not UTF-8"),
        })?;
        Self::parse(&text, limits, &file)
    }

    /// Loads the text of a `tokenizer.json`; `file` names it in errors.
    ///
    /// # Errors
    /// As [`Tokenizer::load`].
    pub fn parse(text: &str, limits: &Limits<'_>, file: &str) -> Result<Self, TokenizerError> {
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(limit_error(file, "bytes", MAX_FILE_BYTES, text.len() as u64));
        }
        let outline: Outline =
            serde_json::from_str(text).map_err(|e| form(file, &format!("broken JSON: {}", excerpt(&e.to_string()))))?;
        check_added(&outline, limits, file)?;
        let attempt = catch_unwind(AssertUnwindSafe(|| Self::build(text, outline, limits, file)));
        attempt.unwrap_or_else(|_| Err(form(file, "its parts contradict each other")))
    }

    fn build(text: &str, outline: Outline, limits: &Limits<'_>, file: &str) -> Result<Self, TokenizerError> {
        let mut inner: Inner = text.parse().map_err(|e: tokenizers::Error| form(file, &excerpt(&e.to_string())))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| form(file, &excerpt(&e.to_string())))?;
        check_vocabulary(&inner, &outline, limits, file)?;

        let (mut all, mut ordinary, mut normalized, mut controls) = (vec![], vec![], vec![], vec![]);
        for token in outline.added_tokens {
            let control = token.special
                || limits.placeholders.contains(&token.id)
                || (token.content.starts_with("<|") && token.content.ends_with("|>"));
            let OutlineToken { id, content, lstrip, rstrip, single_word, normalized: after, .. } = token;
            if control {
                if content.chars().nth(1).is_none() {
                    return Err(added_token(file, &content, "a control token of one character is not supported"));
                }
                controls.push((id, content.clone()));
            }
            let mut added = Added { id, content, lstrip, rstrip, single_word };
            if after && !control {
                added.content = normal_form(&inner, &added.content).map_err(|e| form(file, &excerpt(&e)))?;
                if !added.content.is_empty() {
                    normalized.push(added);
                }
                continue;
            }
            if !control {
                ordinary.push(added.clone());
            }
            all.push(added);
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

fn check_added(outline: &Outline, limits: &Limits<'_>, file: &str) -> Result<(), TokenizerError> {
    let count = outline.added_tokens.len();
    if count > MAX_ADDED_TOKENS {
        return Err(limit_error(file, "added tokens", MAX_ADDED_TOKENS as u64, count as u64));
    }
    let (mut ids, mut contents) = (HashSet::new(), HashSet::new());
    for token in &outline.added_tokens {
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
    Err(TokenizerError::Id { file: file.into(), token: excerpt(token), id, problem })
}

fn check_vocabulary(inner: &Inner, outline: &Outline, limits: &Limits<'_>, file: &str) -> Result<(), TokenizerError> {
    let mut seen = vec![false; limits.vocabulary_rows];
    for (token, id) in inner.get_vocab(false) {
        check_id(&token, id, limits, file)?;
        if std::mem::replace(&mut seen[id as usize], true) {
            let problem = "which another token has as well".into();
            return Err(TokenizerError::Id { file: file.into(), token: excerpt(&token), id, problem });
        }
    }
    for token in &outline.added_tokens {
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
    TokenizerError::AddedToken { file: file.into(), token: excerpt(token), problem: problem.into() }
}

fn limit_error(file: &str, what: &'static str, limit: u64, found: u64) -> TokenizerError {
    TokenizerError::Limit { file: file.into(), what, limit, found }
}
