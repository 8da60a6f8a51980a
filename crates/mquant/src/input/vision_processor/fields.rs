//! Typed, range-checked reading of one JSON object, with the file and path of each field kept for its errors.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::error::ProcessorError;
use crate::input::image::clip;

/// An object of a processor file. Absent and null fields are the same.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    file: &'static str,
    /// Ends in a dot unless empty.
    prefix: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The outermost object of a file.
    pub(super) fn root(file: &'static str, value: &'a Value) -> Result<Self, ProcessorError> {
        match value {
            Value::Object(map) => Ok(Self { file, prefix: String::new(), map }),
            found => Err(ProcessorError::Field {
                file,
                field: "whole file".to_owned(),
                expected: "an object".to_owned(),
                found: clip(found),
            }),
        }
    }

    pub(super) fn file(&self) -> &'static str {
        self.file
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<Fields<'a>>, ProcessorError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(map)) => {
                Ok(Some(Fields { file: self.file, prefix: format!("{}{name}.", self.prefix), map }))
            }
            Some(found) => Err(self.wrong(name, "an object", found)),
        }
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, ProcessorError> {
        match self.get(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(found) => Err(self.wrong(name, "true or false", found)),
        }
    }

    pub(super) fn count(&self, name: &str, range: RangeInclusive<u64>, default: u64) -> Result<u64, ProcessorError> {
        let Some(found) = self.get(name) else { return Ok(default) };
        found
            .as_u64()
            .filter(|n| range.contains(n))
            .ok_or_else(|| self.wrong(name, format!("a whole number from {} to {}", range.start(), range.end()), found))
    }

    pub(super) fn number(&self, name: &str, range: RangeInclusive<f64>, default: f64) -> Result<f64, ProcessorError> {
        let Some(found) = self.get(name) else { return Ok(default) };
        found
            .as_f64()
            .filter(|n| range.contains(n))
            .ok_or_else(|| self.wrong(name, format!("a number from {} to {}", range.start(), range.end()), found))
    }

    pub(super) fn triple(
        &self,
        name: &str,
        range: RangeInclusive<f64>,
        default: [f64; 3],
    ) -> Result<[f64; 3], ProcessorError> {
        let Some(found) = self.get(name) else { return Ok(default) };
        let numbers = found.as_array().filter(|list| list.len() == 3).map(|list| list.iter().filter_map(Value::as_f64));
        let numbers: Vec<f64> = numbers.into_iter().flatten().filter(|n| range.contains(n)).collect();
        <[f64; 3]>::try_from(numbers)
            .map_err(|_| self.wrong(name, format!("3 numbers from {} to {}", range.start(), range.end()), found))
    }

    /// Refuses any value but `known` as not implemented.
    pub(super) fn only(&self, name: &str, known: u64, expected: &'static str) -> Result<(), ProcessorError> {
        match self.get(name) {
            Some(found) if found.as_u64() != Some(known) => Err(self.unsupported(name, expected, found)),
            _ => Ok(()),
        }
    }

    /// Refuses a name outside `known` as not implemented.
    pub(super) fn one_of(&self, name: &str, known: &[&'static str]) -> Result<(), ProcessorError> {
        match self.get(name) {
            Some(found) if found.as_str().is_none_or(|s| !known.contains(&s)) => {
                Err(self.unsupported(name, known[0], found))
            }
            _ => Ok(()),
        }
    }

    /// The error for a field that has no default.
    pub(super) fn missing(&self, name: &str) -> ProcessorError {
        self.wrong(name, "a number of pixels", "nothing")
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, expected: impl Into<String>, found: impl std::fmt::Display) -> ProcessorError {
        let field = format!("{}{name}", self.prefix);
        ProcessorError::Field { file: self.file, field, expected: expected.into(), found: clip(found) }
    }

    fn unsupported(&self, name: &str, expected: &'static str, found: &Value) -> ProcessorError {
        let field = format!("{}{name}", self.prefix);
        ProcessorError::Unsupported { file: self.file, field, expected, found: clip(found) }
    }
}
