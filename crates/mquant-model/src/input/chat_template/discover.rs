//! Which file of a model folder holds the template, and the named special tokens beside it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{TemplateError, TemplateFiles};
use crate::checkpoint::{FieldError, Fields};

pub(super) const JINJA: &str = "chat_template.jinja";
pub(super) const JSON: &str = "chat_template.json";
pub(super) const CONFIG: &str = "tokenizer_config.json";
const FIELD: &str = "chat_template";
/// Most named templates of one model.
const MAX_NAMED: usize = 64;

pub(super) struct Found {
    pub(super) source: String,
    pub(super) file: String,
    pub(super) variables: BTreeMap<String, String>,
}

/// The template by order of precedence, with the special tokens that `tokenizer_config.json` names.
pub(super) fn discover(files: TemplateFiles) -> Result<Found, TemplateError> {
    let variables = files.config.as_ref().map(named_tokens).unwrap_or_default();
    if let Some(source) = files.jinja {
        return Ok(Found { source, file: JINJA.into(), variables });
    }
    for fields in [files.json, files.config].into_iter().flatten() {
        if let Some(source) = chosen(&fields)? {
            return Ok(Found { source, file: fields.file().to_owned(), variables });
        }
    }
    Err(TemplateError::Missing)
}

/// The field's source: the string, the one named `default`, or nothing when there is none.
fn chosen(fields: &Fields) -> Result<Option<String>, FieldError> {
    let refused = || fields.of_no_kind(FIELD, "a string, or templates of which one is named \"default\"");
    match fields.value(FIELD) {
        None => Ok(None),
        Some(Value::String(source)) => Ok(Some(source.clone())),
        Some(Value::Array(_)) => {
            for entry in fields.opt_object_list(FIELD, 0..=MAX_NAMED)?.unwrap_or_default() {
                if entry.opt_string("name")? == Some("default") {
                    return entry.string("template").map(|source| Some(source.to_owned()));
                }
            }
            Err(refused())
        }
        Some(Value::Object(_)) => {
            let named = fields.object(FIELD)?;
            named.opt_string("default")?.map(|source| Some(source.to_owned())).ok_or_else(refused)
        }
        Some(_) => Err(refused()),
    }
}

/// Fields ending in `_token` that hold a string, or an object with `content`.
fn named_tokens(config: &Fields) -> BTreeMap<String, String> {
    let content = |value: &Value| match value {
        Value::String(token) => Some(token.clone()),
        Value::Object(token) => token.get("content").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    let named = config.keys().filter(|name| name.ends_with("_token"));
    named.filter_map(|name| Some((name.to_owned(), content(config.value(name)?)?))).collect()
}
