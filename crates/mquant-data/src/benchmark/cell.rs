//! What a row holds in one column, whatever the file's form.

use parquet::data_type::ByteArray;
use serde_json::{Map, Value};

/// A value of one row and column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// Nothing.
    Null,
    Text(String),
    Integer(i64),
    /// A number that is no integer, or a truth value, as Python shows it.
    Other(String),
    Bytes(ByteArray),
    List(Vec<Cell>),
    /// Members by name.
    Record(Vec<(String, Cell)>),
}

impl Cell {
    /// As text: lists and records as JSON, nothing as no text. None of bytes, which are no text.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Cell::Null => Some(String::new()),
            Cell::Text(text) | Cell::Other(text) => Some(text.clone()),
            Cell::Integer(value) => Some(value.to_string()),
            Cell::Bytes(_) => None,
            Cell::List(_) | Cell::Record(_) => Some(self.json().to_string()),
        }
    }

    /// A member of a record.
    pub(super) fn member(&self, name: &str) -> Option<&Cell> {
        match self {
            Cell::Record(members) => members.iter().find(|(known, _)| known == name).map(|(_, cell)| cell),
            _ => None,
        }
    }

    fn json(&self) -> Value {
        match self {
            Cell::Null | Cell::Bytes(_) => Value::Null,
            Cell::Text(text) | Cell::Other(text) => Value::from(text.as_str()),
            Cell::Integer(value) => Value::from(*value),
            Cell::List(items) => Value::Array(items.iter().map(Cell::json).collect()),
            Cell::Record(members) => {
                Value::Object(members.iter().map(|(name, cell)| (name.clone(), cell.json())).collect::<Map<_, _>>())
            }
        }
    }
}
