//! A typed, range-checked view of a JSON object such as `config.json`.
//!
//! Every read names the range it allows, so a wrong field gives one error with the file, the dotted path of the field, what
//! was expected and what was found. A field that is `null` counts as absent: published files write the two alike. Keys nobody
//! asks for are ignored, `auto_map` among them: no code of a model folder is ever run.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::field_error::FieldError;
use super::field_words::{Whole, is_written_with_fraction, number, one_of, show, span, whole};
use super::json::{self, Caps, JsonError};
use crate::excerpt::excerpt;

/// A JSON object and where it came from. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Fields {
    file: Arc<str>,
    /// Dotted path of this object in its file; empty for the root.
    path: Arc<str>,
    object: Arc<Map<String, Value>>,
}

impl Fields {
    /// Parses the bytes of a whole file. `file` is for messages.
    ///
    /// # Errors
    /// [`JsonError`] when they are no JSON object within the limits of this reader.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, JsonError> {
        Self::parse_within(file, bytes, json::CONFIGURATION)
    }

    /// Parses a file that is no configuration, and so of another size.
    pub(crate) fn parse_within(file: &str, bytes: &[u8], caps: Caps) -> Result<Self, JsonError> {
        let object = json::parse_object(file, bytes, caps)?;
        Ok(Self { file: file.into(), path: "".into(), object: Arc::new(object) })
    }

    /// Name of the file, relative to the model folder.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The keys of this object in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.object.keys().map(String::as_str)
    }

    /// Whether the field is there and not `null`.
    pub fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// The raw value, unless it is absent or `null`.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// A whole number in `range`.
    ///
    /// # Errors
    /// If it is missing, no whole number, or outside.
    pub fn usize(&self, key: &str, range: RangeInclusive<usize>) -> Result<usize, FieldError> {
        self.required(key, whole(&range), |value, field| self.whole_number(value, field, &range))
    }

    /// A whole number in `range`, if there is one.
    ///
    /// # Errors
    /// If it is no whole number or outside.
    pub fn opt_usize(&self, key: &str, range: RangeInclusive<usize>) -> Result<Option<usize>, FieldError> {
        self.optional(key, |value, field| self.whole_number(value, field, &range))
    }

    /// A whole number in `range`, if there is one, whatever the width of `usize`.
    ///
    /// # Errors
    /// If it is no whole number or outside.
    pub fn opt_u64(&self, key: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, FieldError> {
        self.optional(key, |value, field| self.whole_number(value, field, &range))
    }

    /// A whole number in `range`, or `default` when absent.
    ///
    /// # Errors
    /// If it is no whole number or outside.
    pub fn usize_or(&self, key: &str, default: usize, range: RangeInclusive<usize>) -> Result<usize, FieldError> {
        Ok(self.opt_usize(key, range)?.unwrap_or(default))
    }

    /// A number in `range`, written whole or with a fraction; always finite.
    ///
    /// # Errors
    /// If it is missing, no number, or outside.
    pub fn f64_in(&self, key: &str, range: RangeInclusive<f64>) -> Result<f64, FieldError> {
        self.required(key, number(&range), |value, field| self.real_number(value, field, &range))
    }

    /// A number in `range`, if there is one.
    ///
    /// # Errors
    /// If it is no number or outside.
    pub fn opt_f64_in(&self, key: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, FieldError> {
        self.optional(key, |value, field| self.real_number(value, field, &range))
    }

    /// A number in `range`, or `default` when absent.
    ///
    /// # Errors
    /// If it is no number or outside.
    pub fn f64_or(&self, key: &str, default: f64, range: RangeInclusive<f64>) -> Result<f64, FieldError> {
        Ok(self.opt_f64_in(key, range)?.unwrap_or(default))
    }

    /// `true` or `false`, if there is one.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn opt_bool(&self, key: &str) -> Result<Option<bool>, FieldError> {
        self.optional(key, |value, field| {
            value.as_bool().ok_or_else(|| self.wrong_kind(field, "true or false".to_owned(), value))
        })
    }

    /// `true` or `false`, or `default` when absent.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn bool_or(&self, key: &str, default: bool) -> Result<bool, FieldError> {
        Ok(self.opt_bool(key)?.unwrap_or(default))
    }

    /// A string.
    ///
    /// # Errors
    /// If it is missing or no string.
    pub fn string(&self, key: &str) -> Result<&str, FieldError> {
        self.opt_string(key)?.ok_or_else(|| self.missing(key, "a string"))
    }

    /// A string, if there is one.
    ///
    /// # Errors
    /// If it is no string.
    pub fn opt_string(&self, key: &str) -> Result<Option<&str>, FieldError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(value) => Err(self.wrong_kind(self.field(key), "a string".to_owned(), value)),
        }
    }

    /// What the string means, by a list of the supported strings.
    ///
    /// # Errors
    /// If it is missing, no string, or not in the list.
    pub fn choice<T: Copy>(&self, key: &str, known: &[(&str, T)]) -> Result<T, FieldError> {
        self.opt_choice(key, known)?.ok_or_else(|| self.missing(key, one_of(known)))
    }

    /// What the string means, by a list of the supported strings, if there is one.
    ///
    /// # Errors
    /// If it is no string or not in the list.
    pub fn opt_choice<T: Copy>(&self, key: &str, known: &[(&str, T)]) -> Result<Option<T>, FieldError> {
        let Some(text) = self.opt_string(key)? else { return Ok(None) };
        match known.iter().find(|(name, _)| *name == text) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => Err(self.unsupported(key, one_of(known))),
        }
    }

    /// An object inside this one.
    ///
    /// # Errors
    /// If it is missing or no object.
    pub fn object(&self, key: &str) -> Result<Fields, FieldError> {
        self.opt_object(key)?.ok_or_else(|| self.missing(key, "an object"))
    }

    /// An object inside this one, if there is one.
    ///
    /// # Errors
    /// If it is no object.
    pub fn opt_object(&self, key: &str) -> Result<Option<Fields>, FieldError> {
        self.optional(key, |value, field| self.inner(value, field))
    }

    /// A list of `count` objects, if there is one.
    ///
    /// # Errors
    /// If it is no list, of another length, or an item is no object.
    pub fn opt_object_list(&self, key: &str, count: RangeInclusive<usize>) -> Result<Option<Vec<Fields>>, FieldError> {
        self.opt_list(key, &count, |value, field| self.inner(value, field))
    }

    /// A list of `count` whole numbers, each in `range`.
    ///
    /// # Errors
    /// If it is missing, no list, of another length, or an item is no whole number or outside.
    pub fn usize_list(
        &self,
        key: &str,
        count: RangeInclusive<usize>,
        range: RangeInclusive<usize>,
    ) -> Result<Vec<usize>, FieldError> {
        let list = self.opt_usize_list(key, count, range)?;
        list.ok_or_else(|| self.missing(key, "a list of whole numbers"))
    }

    /// A list of `count` whole numbers, each in `range`, if there is one.
    ///
    /// # Errors
    /// If it is no list, of another length, or an item is no whole number or outside.
    pub fn opt_usize_list(
        &self,
        key: &str,
        count: RangeInclusive<usize>,
        range: RangeInclusive<usize>,
    ) -> Result<Option<Vec<usize>>, FieldError> {
        self.opt_list(key, &count, |value, field| self.whole_number(value, field, &range))
    }

    /// One whole number or a list of up to `most`, each in `range`; empty when absent. Token ids are published both ways.
    ///
    /// # Errors
    /// If it is neither, longer, or an item is outside.
    pub fn usize_or_list(
        &self,
        key: &str,
        most: usize,
        range: RangeInclusive<usize>,
    ) -> Result<Vec<usize>, FieldError> {
        match self.value(key) {
            Some(Value::Array(_)) => Ok(self.opt_usize_list(key, 0..=most, range)?.unwrap_or_default()),
            _ => Ok(self.opt_usize(key, range)?.into_iter().collect()),
        }
    }

    /// A list of `count` numbers, each in `range`, if there is one.
    ///
    /// # Errors
    /// If it is no list, of another length, or an item is no number or outside.
    pub fn opt_f64_list(
        &self,
        key: &str,
        count: RangeInclusive<usize>,
        range: RangeInclusive<f64>,
    ) -> Result<Option<Vec<f64>>, FieldError> {
        self.opt_list(key, &count, |value, field| self.real_number(value, field, &range))
    }

    /// A list of `count` strings, if there is one.
    ///
    /// # Errors
    /// If it is no list, of another length, or an item is no string.
    pub fn opt_string_list(&self, key: &str, count: RangeInclusive<usize>) -> Result<Option<Vec<String>>, FieldError> {
        self.opt_list(key, &count, |value, field| match value {
            Value::String(text) => Ok(text.clone()),
            _ => Err(self.wrong_kind(field, "a string".to_owned(), value)),
        })
    }

    /// Refuses keys that are none of `known`, for objects of our own format: a field that is not understood may change what
    /// the others mean.
    ///
    /// # Errors
    /// [`FieldError::Unknown`] with the first such key.
    pub fn only(&self, known: &[&str]) -> Result<(), FieldError> {
        match self.keys().find(|key| !known.contains(key)) {
            None => Ok(()),
            Some(key) => {
                let (file, field) = (self.file.to_string(), self.field(key));
                Err(FieldError::Unknown { file, field, expected: known.join(", ") })
            }
        }
    }

    /// The error of a field whose value is well-formed but asks for something that is not handled.
    pub fn unsupported(&self, key: &str, expected: impl Display) -> FieldError {
        FieldError::Choice {
            file: self.file.to_string(),
            field: self.field(key),
            expected: expected.to_string(),
            found: self.found(key),
        }
    }

    /// The error of a field that is well-formed by itself but does not agree with others, such as a width that its number of
    /// heads does not divide.
    pub fn conflict(&self, key: &str, expected: impl Display) -> FieldError {
        FieldError::Conflict {
            file: self.file.to_string(),
            field: self.field(key),
            expected: expected.to_string(),
            found: self.found(key),
        }
    }

    /// The error of a field that is of none of several kinds.
    pub(crate) fn of_no_kind(&self, key: &str, expected: &str) -> FieldError {
        let (file, field) = (self.file.to_string(), self.field(key));
        FieldError::Kind { file, field, expected: expected.to_owned(), found: self.found(key) }
    }

    fn found(&self, key: &str) -> String {
        self.value(key).map_or_else(|| "absent".to_owned(), show)
    }

    fn inner(&self, value: &Value, field: String) -> Result<Fields, FieldError> {
        match value {
            Value::Object(object) => {
                Ok(Fields { file: self.file.clone(), path: field.into(), object: Arc::new(object.clone()) })
            }
            _ => Err(self.wrong_kind(field, "an object".to_owned(), value)),
        }
    }

    fn required<T>(
        &self,
        key: &str,
        expected: String,
        read: impl FnOnce(&Value, String) -> Result<T, FieldError>,
    ) -> Result<T, FieldError> {
        self.optional(key, read)?.ok_or_else(|| self.missing(key, expected))
    }

    fn optional<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Value, String) -> Result<T, FieldError>,
    ) -> Result<Option<T>, FieldError> {
        self.value(key).map(|value| read(value, self.field(key))).transpose()
    }

    fn opt_list<T>(
        &self,
        key: &str,
        count: &RangeInclusive<usize>,
        item: impl Fn(&Value, String) -> Result<T, FieldError>,
    ) -> Result<Option<Vec<T>>, FieldError> {
        self.optional(key, |value, field| {
            let Value::Array(values) = value else { return Err(self.wrong_kind(field, "a list".to_owned(), value)) };
            if !count.contains(&values.len()) {
                let (file, found) = (self.file.to_string(), values.len());
                return Err(FieldError::Count { file, field, expected: span(count), found });
            }
            values.iter().enumerate().map(|(i, value)| item(value, format!("{field}[{i}]"))).collect()
        })
    }

    fn whole_number<N: Whole>(&self, value: &Value, field: String, range: &RangeInclusive<N>) -> Result<N, FieldError> {
        let Value::Number(found) = value else { return Err(self.wrong_kind(field, whole(range), value)) };
        let fits = found.as_u64().and_then(|n| N::try_from(n).ok()).filter(|n| range.contains(n));
        // A negative or huge whole number is out of range, one with a fraction is of the wrong kind.
        let is_whole = found.as_f64().is_some_and(|n| n.fract() == 0.0) && !is_written_with_fraction(value);
        match fits {
            Some(n) => Ok(n),
            None if is_whole => Err(self.out_of_range(field, whole(range), value)),
            None => Err(self.wrong_kind(field, whole(range), value)),
        }
    }

    fn real_number(&self, value: &Value, field: String, range: &RangeInclusive<f64>) -> Result<f64, FieldError> {
        let Some(found) = value.as_f64() else { return Err(self.wrong_kind(field, number(range), value)) };
        if found.is_finite() && range.contains(&found) {
            return Ok(found);
        }
        Err(self.out_of_range(field, number(range), value))
    }

    /// The dotted path of a field, as errors name it.
    pub fn field(&self, key: &str) -> String {
        let key = excerpt(key);
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    /// The error of a field that must be there.
    pub(crate) fn missing(&self, key: &str, expected: impl Into<String>) -> FieldError {
        FieldError::Missing { file: self.file.to_string(), field: self.field(key), expected: expected.into() }
    }

    fn wrong_kind(&self, field: String, expected: String, value: &Value) -> FieldError {
        FieldError::Kind { file: self.file.to_string(), field, expected, found: show(value) }
    }

    fn out_of_range(&self, field: String, expected: String, value: &Value) -> FieldError {
        FieldError::Range { file: self.file.to_string(), field, expected, found: show(value) }
    }
}
