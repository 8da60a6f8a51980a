//! JSON of a model folder, read within limits: size, depth, number of values, and no key twice in one object.
//!
//! NaN and infinity are no JSON and are refused as syntax, as are numbers past the range of f64.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

use crate::error::{Class, Explain};
use crate::excerpt::excerpt;

/// Longest configuration file read, in bytes.
pub const JSON_CAP: u64 = 16 << 20;
/// Most values in a configuration file, counting every list, object, string, number and literal.
pub const VALUES_CAP: usize = 500_000;
/// Deepest nesting of lists and objects.
pub const DEPTH_CAP: usize = 64;

/// How large one kind of file may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    /// Bytes.
    pub(crate) bytes: u64,
    /// Values, counting every list, object, string, number and literal.
    pub(crate) values: usize,
}

/// Configuration files.
pub(crate) const CONFIGURATION: Caps = Caps { bytes: JSON_CAP, values: VALUES_CAP };

/// Why a JSON file is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum JsonError {
    #[error("{file}: {bytes} bytes, expected at most {most}")]
    TooLong { file: String, bytes: u64, most: u64 },
    #[error("{file}: not UTF-8 from byte {at} on")]
    Utf8 { file: String, at: usize },
    #[error("{file}: not JSON: {detail}")]
    Syntax { file: String, detail: String },
    #[error("{file}: key {key} occurs twice in one object")]
    Duplicate { file: String, key: String },
    #[error("{file}: lists and objects nested deeper than {DEPTH_CAP}")]
    TooDeep { file: String },
    #[error("{file}: more than {most} values")]
    TooMany { file: String, most: usize },
    #[error("{file}: expected an object, found {found}")]
    NoObject { file: String, found: &'static str },
}

impl Explain for JsonError {
    fn class(&self) -> Class {
        Class::Model
    }

    fn code(&self) -> &'static str {
        match self {
            JsonError::TooLong { .. } => "JSON_SIZE",
            JsonError::Utf8 { .. } => "JSON_UTF8",
            JsonError::Syntax { .. } => "JSON_SYNTAX",
            JsonError::Duplicate { .. } => "JSON_DUPLICATE",
            JsonError::TooDeep { .. } => "JSON_DEPTH",
            JsonError::TooMany { .. } => "JSON_VALUES",
            JsonError::NoObject { .. } => "JSON_ROOT",
        }
    }
}

/// The object that is the whole of `bytes`. `file` is for messages.
pub(crate) fn parse_object(file: &str, bytes: &[u8], caps: Caps) -> Result<Map<String, Value>, JsonError> {
    if bytes.len() as u64 > caps.bytes {
        return Err(JsonError::TooLong { file: file.to_owned(), bytes: bytes.len() as u64, most: caps.bytes });
    }
    let text =
        std::str::from_utf8(bytes).map_err(|e| JsonError::Utf8 { file: file.to_owned(), at: e.valid_up_to() })?;
    let state = State { file, most: caps.values, fault: Cell::new(None), values: Cell::new(0) };
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = ValueSeed { state: &state, depth: 0 }.deserialize(&mut json);
    let value = parsed.and_then(|value| json.end().map(|()| value)).map_err(|e| {
        let detail = excerpt(&e.to_string());
        state.fault.take().unwrap_or(JsonError::Syntax { file: file.to_owned(), detail })
    })?;
    match value {
        Value::Object(map) => Ok(map),
        other => Err(JsonError::NoObject { file: file.to_owned(), found: kind(&other) }),
    }
}

/// What a value is, in a word with its article.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

struct State<'a> {
    file: &'a str,
    most: usize,
    fault: Cell<Option<JsonError>>,
    values: Cell<usize>,
}

impl State<'_> {
    fn refuse<E: serde::de::Error>(&self, error: JsonError) -> E {
        self.fault.set(Some(error));
        E::custom("refused")
    }
}

#[derive(Clone, Copy)]
struct ValueSeed<'s, 'a> {
    state: &'s State<'a>,
    depth: usize,
}

impl ValueSeed<'_, '_> {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_CAP {
            return Err(self.state.refuse(JsonError::TooDeep { file: self.state.file.to_owned() }));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        let seen = self.state.values.get() + 1;
        if seen > self.state.most {
            let file = self.state.file.to_owned();
            return Err(self.state.refuse(JsonError::TooMany { file, most: self.state.most }));
        }
        self.state.values.set(seen);
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if object.contains_key(&key) {
                let (file, key) = (self.state.file.to_owned(), excerpt(&key));
                return Err(self.state.refuse(JsonError::Duplicate { file, key }));
            }
            let value = map.next_value_seed(inner)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}
