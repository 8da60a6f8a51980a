//! The tokenizer of a synthetic checkpoint, and the ids of the tokens a configuration names.
//!
//! A vocabulary may be smaller than the embedding: the rows beyond it have no token and print nothing.

use std::path::Path;

use mquant::input::tokenizer::{Limits, Tokenizer};

use super::SynthError;

/// The demo model's.
const DEMO: &str = include_str!("../../../tools/goldens/tokenizer.json");

/// Ids of the tokens that `config.json` and its companions name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpecialIds {
    pub(super) end_of_text: u32,
    pub(super) im_end: u32,
    pub(super) vision_start: u32,
    pub(super) vision_end: u32,
    pub(super) vision_pad: u32,
    pub(super) image_pad: u32,
    pub(super) video_pad: u32,
}

/// The text of `tokenizer.json`, from `dir` or the demo model's, and the ids in it; all below `vocabulary`.
pub(super) fn read(dir: Option<&Path>, vocabulary: usize) -> Result<(String, SpecialIds), SynthError> {
    let (text, file) = match dir {
        None => (DEMO.to_owned(), "the demo tokenizer".to_owned()),
        Some(dir) => {
            let path = dir.join("tokenizer.json");
            let text = std::fs::read_to_string(&path).map_err(SynthError::io(&path))?;
            (text, path.display().to_string())
        }
    };
    let limits = Limits { vocabulary_rows: vocabulary, placeholders: &[] };
    let tokenizer = Tokenizer::parse(&text, &limits, &file).map_err(mquant::Error::from)?;
    let id = |token| tokenizer.token_id(token).ok_or_else(|| SynthError::Token { file: file.clone(), token });
    id("<|im_start|>")?;
    let ids = SpecialIds {
        end_of_text: id("<|endoftext|>")?,
        im_end: id("<|im_end|>")?,
        vision_start: id("<|vision_start|>")?,
        vision_end: id("<|vision_end|>")?,
        vision_pad: id("<|vision_pad|>")?,
        image_pad: id("<|image_pad|>")?,
        video_pad: id("<|video_pad|>")?,
    };
    Ok((text, ids))
}
