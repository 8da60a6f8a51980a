//! The values that a table's cell may hold as Python source: what `ast.literal_eval` reads, of strings, byte strings,
//! numbers, `True`, `False`, `None`, tuples, lists and dictionaries.
//!
//! Not read: complex numbers, sets, `...`, `\N{…}` escapes, halves of surrogate pairs, whole numbers in base 2, 8 or 16 beyond
//! 128 bits, and values nested deeper than [`DEPTH`].

mod number;
mod string;

use std::fmt;

/// Values inside values.
pub const DEPTH: usize = 64;

/// A Python value.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// A whole number, in decimal digits.
    Int(String),
    /// Any other real number.
    Float(f64),
    /// A string.
    Text(String),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A tuple.
    Tuple(Vec<Literal>),
    /// A list.
    List(Vec<Literal>),
    /// A dictionary, keys as often as they are written.
    Dict(Vec<(Literal, Literal)>),
}

/// Where source stops being a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiteralError {
    /// The byte.
    pub at: usize,
    /// What may stand there.
    pub expected: &'static str,
}

impl fmt::Display for LiteralError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.at)
    }
}

impl Literal {
    /// What Python's `str` makes of a string, a number, `True`, `False` or `None`; nothing else.
    pub fn plain(&self) -> Option<String> {
        match self {
            Literal::None => Some("None".to_owned()),
            Literal::Bool(true) => Some("True".to_owned()),
            Literal::Bool(false) => Some("False".to_owned()),
            Literal::Int(digits) => Some(digits.clone()),
            Literal::Float(value) => Some(number::shown(*value)),
            Literal::Text(text) => Some(text.clone()),
            Literal::Bytes(_) | Literal::Tuple(_) | Literal::List(_) | Literal::Dict(_) => None,
        }
    }
}

/// Reads a value, and nothing after it.
///
/// # Errors
/// If the text is not a literal, or one of those that are not read.
pub fn parse(source: &str) -> Result<Literal, LiteralError> {
    let start = source.len() - source.trim_start_matches([' ', '\t']).len();
    let mut reader = Reader { source, at: start, open: 0 };
    reader.lines();
    let before = &source[start..reader.at];
    if before.contains(['\n', '\r']) && before.ends_with([' ', '\t']) {
        return Err(reader.wrong("a line that is not indented"));
    }
    let first = reader.value()?;
    reader.blank();
    let value = if reader.peek() == Some(b',') { Literal::Tuple(reader.rest(first, None)?) } else { first };
    reader.lines();
    if reader.at < source.len() { Err(reader.wrong("the end")) } else { Ok(value) }
}

/// Source, and how far it is read.
struct Reader<'a> {
    source: &'a str,
    at: usize,
    /// Brackets that are open.
    open: usize,
}

impl Reader<'_> {
    fn wrong(&self, expected: &'static str) -> LiteralError {
        LiteralError { at: self.at, expected }
    }

    fn bytes(&self) -> &[u8] {
        &self.source.as_bytes()[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.bytes().first().copied()
    }

    /// Passes over what may stand between two tokens: inside brackets, line ends and comments too.
    fn blank(&mut self) {
        if self.open > 0 {
            self.lines();
        } else {
            while let Some(b' ' | b'\t' | b'\x0c') = self.peek() {
                self.at += 1;
            }
        }
    }

    /// Passes over blanks, line ends and comments.
    fn lines(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\x0c' | b'\n' | b'\r') => self.at += 1,
                Some(b'#') => {
                    let rest = self.bytes();
                    self.at += rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    fn value(&mut self) -> Result<Literal, LiteralError> {
        match self.peek() {
            Some(b'(') => self.nested(Self::round),
            Some(b'[') => self.nested(|reader| {
                reader.blank();
                let items = match reader.peek() {
                    Some(b']') => Vec::new(),
                    _ => {
                        let first = reader.value()?;
                        reader.rest(first, Some(b']'))?
                    }
                };
                reader.close(b']', "a comma or ]")?;
                Ok(Literal::List(items))
            }),
            Some(b'{') => self.nested(Self::dict),
            Some(b'0'..=b'9' | b'.' | b'+' | b'-') => self.number(),
            Some(b'"' | b'\'') => self.strings(),
            Some(b'A'..=b'Z' | b'a'..=b'z') => self.word(),
            _ => Err(self.wrong("a Python literal")),
        }
    }

    /// What stands in a bracket, which is passed over first.
    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Literal, LiteralError>,
    ) -> Result<Literal, LiteralError> {
        if self.open == DEPTH {
            return Err(self.wrong("values nested less deeply"));
        }
        self.open += 1;
        self.at += 1;
        let value = read(self);
        self.open -= 1;
        value
    }

    fn close(&mut self, bracket: u8, expected: &'static str) -> Result<(), LiteralError> {
        if self.peek() != Some(bracket) {
            return Err(self.wrong(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// The items after the first, up to a bracket, or to the end of the line where there is none.
    fn rest(&mut self, first: Literal, bracket: Option<u8>) -> Result<Vec<Literal>, LiteralError> {
        let mut items = vec![first];
        loop {
            self.blank();
            if self.peek() != Some(b',') {
                return Ok(items);
            }
            self.at += 1;
            self.blank();
            let ended = match bracket {
                Some(bracket) => self.peek() == Some(bracket),
                None => matches!(self.peek(), None | Some(b'\n' | b'\r' | b'#')),
            };
            if ended {
                return Ok(items);
            }
            items.push(self.value()?);
        }
    }

    /// A tuple, or a value in parentheses.
    fn round(&mut self) -> Result<Literal, LiteralError> {
        self.blank();
        if self.peek() == Some(b')') {
            self.at += 1;
            return Ok(Literal::Tuple(Vec::new()));
        }
        let first = self.value()?;
        self.blank();
        let value = if self.peek() == Some(b',') { Literal::Tuple(self.rest(first, Some(b')'))?) } else { first };
        self.close(b')', "a comma or )")?;
        Ok(value)
    }

    fn dict(&mut self) -> Result<Literal, LiteralError> {
        let mut items = Vec::new();
        loop {
            self.blank();
            if self.peek() == Some(b'}') {
                break;
            }
            let key = self.value()?;
            if !hashable(&key) {
                return Err(self.wrong("a key without lists and dictionaries before this"));
            }
            self.blank();
            self.close(b':', "a colon")?;
            self.blank();
            items.push((key, self.value()?));
            self.blank();
            if self.peek() != Some(b',') {
                break;
            }
            self.at += 1;
        }
        self.close(b'}', "a comma or }")?;
        Ok(Literal::Dict(items))
    }

    /// A name that is a value, or the letters before a string.
    fn word(&mut self) -> Result<Literal, LiteralError> {
        let rest = self.bytes();
        let end = rest.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').unwrap_or(rest.len());
        if let Some(b'"' | b'\'') = rest.get(end) {
            return self.strings();
        }
        let value = match &rest[..end] {
            b"None" => Literal::None,
            b"True" => Literal::Bool(true),
            b"False" => Literal::Bool(false),
            _ => return Err(self.wrong("a Python literal")),
        };
        self.at += end;
        Ok(value)
    }
}

fn hashable(key: &Literal) -> bool {
    match key {
        Literal::List(_) | Literal::Dict(_) => false,
        Literal::Tuple(items) => items.iter().all(hashable),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
