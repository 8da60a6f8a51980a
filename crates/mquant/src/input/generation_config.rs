//! `generation_config.json`: how the model's author wants answers to be sampled, and which tokens end them.
//!
//! Enters: a model folder. Leaves: [`GenerationConfig`], every number inside its range. A missing file, field or `null`
//! stands for the documented default, which is the reference implementation's.

use std::path::Path;

use serde_json::{Map, Value};
use thiserror::Error;

use super::excerpt::excerpt;
use super::json_file::{ReadError, read_text};
use crate::error::{Class, Explain, io_class};

/// The file read.
pub const FILE_NAME: &str = "generation_config.json";
/// Bytes of the file.
pub const MAX_FILE_BYTES: u64 = 1 << 20;
/// End tokens listed.
pub const MAX_EOS_TOKENS: usize = 256;
/// Tokens of one answer.
pub const MAX_NEW_TOKENS: u64 = 1 << 24;

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
    /// Probability mass kept, above 0 up to 1; default 1.
    pub top_p: f32,
    /// Number of tokens kept; 0 keeps all; default 50.
    pub top_k: u32,
    /// Above 0 up to 100; default 1, which changes nothing.
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

/// Why a generation configuration was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GenerationConfigError {
    /// The file exists but cannot be read.
    #[error("{FILE_NAME}: cannot be read")]
    Io(#[source] std::io::Error),
    /// Not a JSON object of a sane size.
    #[error("{FILE_NAME}: expected a JSON object, found {found}")]
    Form {
        /// What it is instead.
        found: String,
    },
    /// A value of a wrong type or outside its range.
    #[error("{FILE_NAME}: {field}: expected {expected}, found {found}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
}

impl Explain for GenerationConfigError {
    fn class(&self) -> Class {
        match self {
            GenerationConfigError::Io(e) => io_class(e, Class::Model),
            _ => Class::Model,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            GenerationConfigError::Io(_) => "GENERATION_CONFIG_IO",
            GenerationConfigError::Form { .. } => "GENERATION_CONFIG_FORM",
            GenerationConfigError::Field { .. } => "GENERATION_CONFIG_FIELD",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            GenerationConfigError::Io(_) => None,
            _ => Some(format!("correct the value, or remove {FILE_NAME} to use the defaults")),
        }
    }
}

impl GenerationConfig {
    /// The configuration of a model folder; the defaults when it has none. `vocabulary_rows` bounds token ids.
    ///
    /// # Errors
    /// The file cannot be read, is no JSON object, or a field is outside its range.
    pub fn read(folder: &Path, vocabulary_rows: usize) -> Result<Self, GenerationConfigError> {
        match read_text(&folder.join(FILE_NAME), MAX_FILE_BYTES) {
            Ok(text) => Self::parse(&text, vocabulary_rows),
            Err(ReadError::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(ReadError::Io(e)) => Err(GenerationConfigError::Io(e)),
            Err(ReadError::TooLarge { limit }) => {
                Err(GenerationConfigError::Form { found: format!("more than {limit} bytes") })
            }
            Err(ReadError::NotUtf8) => Err(GenerationConfigError::Form { found: "text that is not UTF-8".into() }),
        }
    }

    /// The configuration in `text`.
    ///
    /// # Errors
    /// Not a JSON object, or a field is outside its range.
    pub fn parse(text: &str, vocabulary_rows: usize) -> Result<Self, GenerationConfigError> {
        let value: Value = serde_json::from_str(text)
            .map_err(|e| GenerationConfigError::Form { found: format!("broken JSON ({e})") })?;
        let Value::Object(object) = value else {
            return Err(GenerationConfigError::Form { found: excerpt(&value.to_string()) });
        };
        let fields = Fields { object: &object, rows: vocabulary_rows as u64 };
        let default = Self::default();
        let decoding = match object.get("do_sample") {
            None | Some(Value::Null | Value::Bool(false)) => Decoding::Greedy,
            Some(Value::Bool(true)) => Decoding::Sample,
            Some(other) => return Err(bad("do_sample", "true or false".into(), other)),
        };
        let top_k = fields.integer("top_k", 0, u64::from(u32::MAX))?;
        Ok(Self {
            eos_token_ids: fields.tokens("eos_token_id")?,
            pad_token_id: fields.token("pad_token_id")?,
            bos_token_id: fields.token("bos_token_id")?,
            decoding,
            temperature: fields.real("temperature", Low::Included, 100.0)?.unwrap_or(default.temperature),
            top_p: fields.real("top_p", Low::Excluded, 1.0)?.unwrap_or(default.top_p),
            top_k: top_k.map_or(default.top_k, |k| u32::try_from(k).unwrap_or(u32::MAX)),
            repetition_penalty: fields
                .real("repetition_penalty", Low::Excluded, 100.0)?
                .unwrap_or(default.repetition_penalty),
            max_new_tokens: fields.integer("max_new_tokens", 1, MAX_NEW_TOKENS)?,
        })
    }
}

/// Whether 0 belongs to a range.
#[derive(Clone, Copy)]
enum Low {
    Included,
    Excluded,
}

struct Fields<'a> {
    object: &'a Map<String, Value>,
    rows: u64,
}

impl Fields<'_> {
    fn get(&self, field: &str) -> Option<&Value> {
        self.object.get(field).filter(|value| !value.is_null())
    }

    fn integer(&self, field: &'static str, low: u64, high: u64) -> Result<Option<u64>, GenerationConfigError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        match value.as_u64() {
            Some(n) if (low..=high).contains(&n) => Ok(Some(n)),
            _ => Err(bad(field, format!("a whole number from {low} to {high}"), value)),
        }
    }

    fn real(&self, field: &'static str, low: Low, high: f32) -> Result<Option<f32>, GenerationConfigError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let number = value.as_f64().map(|x| x as f32);
        match number {
            Some(x) if x <= high && (x > 0.0 || (x == 0.0 && matches!(low, Low::Included))) => Ok(Some(x)),
            _ => {
                let range = match low {
                    Low::Included => format!("a number from 0 to {high}"),
                    Low::Excluded => format!("a number above 0 up to {high}"),
                };
                Err(bad(field, range, value))
            }
        }
    }

    fn id(&self, field: &'static str, value: &Value) -> Result<u32, GenerationConfigError> {
        value
            .as_u64()
            .filter(|&id| id < self.rows)
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| bad(field, format!("a token id below {}", self.rows), value))
    }

    fn token(&self, field: &'static str) -> Result<Option<u32>, GenerationConfigError> {
        self.get(field).map(|value| self.id(field, value)).transpose()
    }

    fn tokens(&self, field: &'static str) -> Result<Vec<u32>, GenerationConfigError> {
        match self.get(field) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) if list.len() <= MAX_EOS_TOKENS => {
                list.iter().map(|value| self.id(field, value)).collect()
            }
            Some(value @ Value::Array(_)) => Err(bad(field, format!("at most {MAX_EOS_TOKENS} token ids"), value)),
            Some(value) => Ok(vec![self.id(field, value)?]),
        }
    }
}

fn bad(field: &'static str, expected: String, found: &Value) -> GenerationConfigError {
    GenerationConfigError::Field { field, expected, found: excerpt(&found.to_string()) }
}
