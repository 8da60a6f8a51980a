//! `tojson` as `transformers` defines it: Python's `json.dumps` with `ensure_ascii=False` unless asked otherwise.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

const MAX_DEPTH: usize = 100;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ascii {
    Escape,
    Keep,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Sorted,
    AsWritten,
}

struct Style {
    ascii: Ascii,
    keys: Keys,
    indent: Option<String>,
    item: String,
    colon: String,
}

/// The filter: `ensure_ascii` and `indent` in this order or by name, `separators` and `sort_keys` by name.
pub(super) fn tojson(
    value: &Value,
    ensure_ascii: Option<bool>,
    indent: Option<Value>,
    named: Kwargs,
) -> Result<Value, Error> {
    let ensure_ascii = ensure_ascii.or(named.get("ensure_ascii")?);
    let indent = indent.or(named.get("indent")?).filter(|indent| !indent.is_none());
    let separators: Option<Vec<String>> = named.get("separators")?;
    let sort_keys: Option<bool> = named.get("sort_keys")?;
    named.assert_all_used()?;
    let indent = match indent {
        None => None,
        Some(indent) => Some(match indent.as_str() {
            Some(unit) => unit.to_owned(),
            None => " ".repeat(usize::try_from(indent)?.min(64)),
        }),
    };
    let item = if indent.is_some() { "," } else { ", " };
    let (item, colon) = match separators.as_deref() {
        None => (item.to_owned(), ": ".to_owned()),
        Some([item, colon]) => (item.clone(), colon.clone()),
        Some(_) => return Err(Error::new(ErrorKind::InvalidOperation, "tojson: separators must be two strings")),
    };
    let style = Style {
        ascii: if ensure_ascii == Some(true) { Ascii::Escape } else { Ascii::Keep },
        keys: if sort_keys == Some(true) { Keys::Sorted } else { Keys::AsWritten },
        indent,
        item,
        colon,
    };
    let mut out = String::new();
    style.value(&mut out, value, 0)?;
    Ok(Value::from(out))
}

impl Style {
    fn value(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(Error::new(ErrorKind::InvalidOperation, "tojson: nested too deeply"));
        }
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.number(out, value)?,
            ValueKind::String => self.string(out, value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?;
                self.container(out, ('[', ']'), depth, items, |out, item| self.value(out, &item, depth + 1))?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.keys == Keys::Sorted {
                    keys.sort();
                }
                self.container(out, ('{', '}'), depth, keys.into_iter(), |out, key| {
                    let inner = value.get_item(&key)?;
                    match key.as_str() {
                        Some(text) => self.string(out, text),
                        None => {
                            let mut text = String::new();
                            self.value(&mut text, &key, depth + 1)?;
                            self.string(out, &text);
                        }
                    }
                    out.push_str(&self.colon);
                    self.value(out, &inner, depth + 1)
                })?;
            }
            other => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    format!("tojson: cannot write a value of kind {other}"),
                ));
            }
        }
        Ok(())
    }

    fn container<T>(
        &self,
        out: &mut String,
        (open, close): (char, char),
        depth: usize,
        items: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut String, T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        out.push(open);
        let mut count = 0;
        for item in items {
            if count > 0 {
                out.push_str(&self.item);
            }
            self.line(out, depth + 1);
            write(out, item)?;
            count += 1;
        }
        if count > 0 {
            self.line(out, depth);
        }
        out.push(close);
        Ok(())
    }

    fn line(&self, out: &mut String, depth: usize) {
        if let Some(unit) = &self.indent {
            out.push('\n');
            for _ in 0..depth {
                out.push_str(unit);
            }
        }
    }

    /// Python writes a fraction or a signed two-digit exponent on every float.
    fn number(&self, out: &mut String, value: &Value) -> Result<(), Error> {
        if value.is_integer() {
            out.push_str(&value.to_string());
            return Ok(());
        }
        let number = f64::try_from(value.clone())?;
        let text = match number {
            x if x.is_nan() => "NaN".into(),
            x if x.is_infinite() => (if x > 0.0 { "Infinity" } else { "-Infinity" }).into(),
            x => format!("{x:?}"),
        };
        match text.split_once('e') {
            Some((digits, exponent)) => {
                let (sign, exponent) = match exponent.strip_prefix('-') {
                    Some(exponent) => ('-', exponent),
                    None => ('+', exponent),
                };
                let _ = write!(out, "{digits}e{sign}{exponent:0>2}");
            }
            None => out.push_str(&text),
        }
        Ok(())
    }

    fn string(&self, out: &mut String, text: &str) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if c < ' ' || (self.ascii == Ascii::Escape && c > '\u{7e}') => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}
