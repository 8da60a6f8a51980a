//! Which file of a model folder holds the template, and the named special tokens beside it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::Value;

use super::TemplateError;
use crate::input::json_file::{ReadError, read_text};

const JINJA: &str = "chat_template.jinja";
const JSON: &str = "chat_template.json";
const CONFIG: &str = "tokenizer_config.json";
/// Published configurations list every added token and stay far below this.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

pub(super) struct Found {
    pub(super) source: String,
    pub(super) file: String,
    pub(super) variables: BTreeMap<String, String>,
}

/// The template by order of precedence, with the special tokens that `tokenizer_config.json` names.
pub(super) fn discover(folder: &Path) -> Result<Found, TemplateError> {
    let config = object(folder, CONFIG)?;
    let variables = config.as_ref().map(named_tokens).unwrap_or_default();
    if let Some(source) = text(folder, JINJA)? {
        return Ok(Found { source, file: JINJA.into(), variables });
    }
    let separate = object(folder, JSON)?;
    for (file, value) in [(JSON, separate), (CONFIG, config)] {
        let Some(template) = value.as_ref().and_then(|object| object.get("chat_template")) else { continue };
        if let Some(source) = chosen(template).map_err(|found| form(file, CHAT_TEMPLATE, found))? {
            return Ok(Found { source, file: file.into(), variables });
        }
    }
    Err(TemplateError::Missing)
}

const CHAT_TEMPLATE: &str = "`chat_template` to be a string, or a list of named templates with one named default";

/// A template field's source: the string, the one named `default`, or nothing for null.
fn chosen(template: &Value) -> Result<Option<String>, &'static str> {
    match template {
        Value::Null => Ok(None),
        Value::String(source) => Ok(Some(source.clone())),
        Value::Array(list) => {
            let default = list.iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"));
            let entry = default.ok_or("a list without it")?;
            let source = entry.get("template").and_then(Value::as_str);
            source.map(|source| Some(source.to_owned())).ok_or("an entry `default` without a template")
        }
        Value::Object(named) => match named.get("default") {
            Some(Value::String(source)) => Ok(Some(source.clone())),
            _ => Err("an object without it"),
        },
        _ => Err("another type"),
    }
}

/// Fields ending in `_token` that hold a string, or an object with `content`.
fn named_tokens(config: &Value) -> BTreeMap<String, String> {
    let Value::Object(fields) = config else { return BTreeMap::new() };
    let content = |value: &Value| match value {
        Value::String(token) => Some(token.clone()),
        Value::Object(token) => token.get("content").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    let named = fields.iter().filter(|(name, _)| name.ends_with("_token"));
    named.filter_map(|(name, value)| Some((name.clone(), content(value)?))).collect()
}

fn object(folder: &Path, file: &'static str) -> Result<Option<Value>, TemplateError> {
    let Some(text) = text(folder, file)? else { return Ok(None) };
    match serde_json::from_str(&text) {
        Ok(value @ Value::Object(_)) => Ok(Some(value)),
        Ok(_) => Err(form(file, "a JSON object", "another type")),
        Err(e) => Err(form(file, "a JSON object", format!("broken JSON ({e})"))),
    }
}

fn text(folder: &Path, file: &'static str) -> Result<Option<String>, TemplateError> {
    match read_text(&folder.join(file), MAX_CONFIG_BYTES) {
        Ok(text) => Ok(Some(text)),
        Err(ReadError::Io(e)) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(ReadError::Io(source)) => Err(TemplateError::Io { file: file.into(), source }),
        Err(ReadError::TooLarge { limit }) => {
            Err(TemplateError::Budget { file: file.into(), limit: format!("{limit} bytes") })
        }
        Err(ReadError::NotUtf8) => Err(form(file, "UTF-8 text", "other bytes")),
    }
}

fn form(file: &str, expected: &'static str, found: impl Into<String>) -> TemplateError {
    TemplateError::Form { file: file.into(), expected, found: found.into() }
}
