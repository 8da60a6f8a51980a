//! `generation_config.json`: how the model's author wants answers to be sampled, and which tokens end them.
//!
//! Enters: a model folder. Leaves: [`GenerationConfig`], every number inside its range. A missing file, field or `null`
//! stands for the documented default, which is the reference implementation's.

use crate::checkpoint::{Checkpoint, CheckpointError, FieldError, Fields};

/// The file read.
pub const FILE_NAME: &str = "generation_config.json";
/// End tokens listed.
pub const MAX_EOS_TOKENS: usize = 256;
/// Tokens of one answer.
pub const MAX_NEW_TOKENS: u64 = 1 << 24;
/// Least value of what must not be 0.
const ABOVE_ZERO: f64 = 1e-9;

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoding {
    /// The most probable token.
    Greedy,
    /// A draw from the distribution.
    Sample,
}

/// Defaults of a model's author.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationConfig {
    /// Tokens that end an answer; empty when the file names none (the model's configuration may).
    pub eos_token_ids: Vec<u32>,
    /// Token that fills shorter rows of a batch.
    pub pad_token_id: Option<u32>,
    /// Token that begins a text.
    pub bos_token_id: Option<u32>,
    /// Greedy unless `do_sample` is true.
    pub decoding: Decoding,
    /// Divides the logits, 0 to 100; default 1. 0 means greedy.
    pub temperature: f32,
    /// Probability mass kept, 10⁻⁹ to 1; default 1.
    pub top_p: f32,
    /// Number of tokens kept; 0 keeps all; default 50.
    pub top_k: u32,
    /// 10⁻⁹ to 100; default 1, which changes nothing.
    pub repetition_penalty: f32,
    /// Tokens of an answer, 1 to [`MAX_NEW_TOKENS`].
    pub max_new_tokens: Option<u64>,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self {
            eos_token_ids: Vec::new(),
            pad_token_id: None,
            bos_token_id: None,
            decoding: Decoding::Greedy,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 50,
            repetition_penalty: 1.0,
            max_new_tokens: None,
        }
    }
}

impl GenerationConfig {
    /// The configuration of a model folder; the defaults when it has none. `vocabulary_rows` bounds token ids.
    ///
    /// # Errors
    /// The file cannot be read, is no JSON object, or a field is outside its range.
    pub fn read(checkpoint: &Checkpoint, vocabulary_rows: usize) -> Result<Self, CheckpointError> {
        let fields = checkpoint.fields(FILE_NAME)?;
        Ok(fields.map_or_else(|| Ok(Self::default()), |fields| Self::from_fields(&fields, vocabulary_rows))?)
    }

    /// The configuration that a file's fields give.
    ///
    /// # Errors
    /// A field is of a wrong type or outside its range.
    pub fn from_fields(fields: &Fields, vocabulary_rows: usize) -> Result<Self, FieldError> {
        let default = Self::default();
        let ids = 0..=vocabulary_rows.saturating_sub(1).min(u32::MAX as usize);
        let id = |id: usize| id as u32;
        let real = |key, default: f32, range| Ok(fields.opt_f64_in(key, range)?.map_or(default, |x| x as f32));
        let top_k = fields.opt_u64("top_k", 0..=u64::from(u32::MAX))?;
        Ok(Self {
            eos_token_ids: fields
                .usize_or_list("eos_token_id", MAX_EOS_TOKENS, ids.clone())?
                .into_iter()
                .map(id)
                .collect(),
            pad_token_id: fields.opt_usize("pad_token_id", ids.clone())?.map(id),
            bos_token_id: fields.opt_usize("bos_token_id", ids)?.map(id),
            decoding: if fields.bool_or("do_sample", false)? { Decoding::Sample } else { Decoding::Greedy },
            temperature: real("temperature", default.temperature, 0.0..=100.0)?,
            top_p: real("top_p", default.top_p, ABOVE_ZERO..=1.0)?,
            top_k: top_k.map_or(default.top_k, |k| k as u32),
            repetition_penalty: real("repetition_penalty", default.repetition_penalty, ABOVE_ZERO..=100.0)?,
            max_new_tokens: fields.opt_u64("max_new_tokens", 1..=MAX_NEW_TOKENS)?,
        })
    }
}
