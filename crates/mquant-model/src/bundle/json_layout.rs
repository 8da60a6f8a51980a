//! JSON for people and for programs: members of objects on lines of their own, lists in one.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{Formatter, PrettyFormatter};

/// The text of a value, which ends in a line feed.
///
/// # Panics
/// If the value is none that JSON can say.
pub(super) fn to_text(value: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::new();
    let layout = ListsInOneLine(PrettyFormatter::new());
    value.serialize(&mut Serializer::with_formatter(&mut text, layout)).expect("names, numbers and values are JSON");
    text.push(b'\n');
    text
}

/// Objects are left to the layout inside.
struct ListsInOneLine(PrettyFormatter<'static>);

impl Formatter for ListsInOneLine {
    fn begin_array_value<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { to.write_all(b", ") }
    }

    fn begin_object<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.begin_object(to)
    }

    fn end_object<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.end_object(to)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(to, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.begin_object_value(to)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.end_object_value(to)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn members_have_lines_and_lists_have_not() {
        let value = json!({"a": [1, 2.5, "x"], "b": {"c": [], "d": [{"e": null}, {}]}, "f": {}});
        let text = String::from_utf8(to_text(&value)).unwrap();
        let expected = r#"{
  "a": [1, 2.5, "x"],
  "b": {
    "c": [],
    "d": [{
      "e": null
    }, {}]
  },
  "f": {}
}
"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
