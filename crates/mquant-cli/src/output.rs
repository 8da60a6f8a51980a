//! What goes to stdout: text, tables, or one JSON object; nothing else does. And the talk on stderr.

use std::borrow::Cow;
use std::env;
use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::Serialize;

use crate::failure::{CliError, Failure};

/// Form of the data on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One object with a `schema`.
    Json,
}

/// Stdout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) format: Format,
}

/// An object with its schema in front.
#[derive(Serialize)]
struct WithSchema<'a, T> {
    schema: &'a str,
    #[serde(flatten)]
    value: &'a T,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes text as it is, at once.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(stdout_failed)
    }

    /// Writes the one object of a command; `schema` is its name without `mquant.`, with a version.
    pub(crate) fn object<T: Serialize>(&self, schema: &str, value: &T) -> Result<(), Failure> {
        let object = WithSchema { schema: &format!("mquant.{schema}"), value };
        let text = serde_json::to_string_pretty(&object).map_err(|e| stdout_failed(e.into()))?;
        self.text(&(text + "\n"))
    }

    /// Writes a table: a row of headings, then rows; all columns but the first are aligned right.
    pub(crate) fn table(&self, headings: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
        self.text(&(table(headings, rows, 1) + "\n"))
    }

    /// The same, with all columns aligned left: names, not numbers.
    pub(crate) fn table_left(&self, headings: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
        self.text(&(table(headings, rows, headings.len()) + "\n"))
    }
}

/// `left`: how many columns are aligned left.
fn table(headings: &[&str], rows: Vec<Vec<String>>, left: usize) -> String {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings).add_rows(rows);
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        column.set_cell_alignment(if i < left { CellAlignment::Left } else { CellAlignment::Right });
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Writes a line to stderr.
pub(crate) fn talk(line: &str) {
    // There is nowhere left to say that stderr is closed.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// `text` dim, unless the terminal or the user wants none of it.
pub(crate) fn dim(text: &str) -> String {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let plain = set("NO_COLOR").is_some() || set("TERM").is_none_or(|term| term == "dumb");
    if plain { text.to_owned() } else { format!("\x1b[2m{text}\x1b[0m") }
}

/// A model's text for stdout. On a terminal it is shorn of control characters, which could move the cursor or worse.
pub(crate) fn printable(text: &str, to_terminal: bool) -> Cow<'_, str> {
    let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if !to_terminal || text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().filter(|c| harmless(*c)).collect())
}

fn stdout_failed(source: io::Error) -> Failure {
    Failure::new("write the result", CliError::Stdout { source })
}

/// The form of output that the raw arguments ask for, whether or not the rest of them can be read.
pub(crate) fn format_asked_for() -> Format {
    let json = std::env::args_os().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json");
    if json { Format::Json } else { Format::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_bare() {
        let rows = vec![vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "1000".to_owned()]];
        assert_eq!(table(&["name", "n"], rows.clone(), 1), "name     n\na        1\nlong  1000");
        assert_eq!(table(&["name", "n"], rows, 2), "name  n\na     1\nlong  1000");
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        let text = "a\x1b[2Jb\n\tc\u{9b}d\r";
        assert_eq!(printable(text, true), "a[2Jb\n\tcd");
        assert_eq!(printable(text, false), text);
    }
}
