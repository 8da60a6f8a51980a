//! Strings and byte strings: four kinds of quotes, prefixes, escapes, and neighbours that make one.

use super::{Literal, LiteralError, Reader};

/// What the letters before a quote say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Bytes,
}

/// Whether a backslash means something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Read,
    Kept,
}

/// A string while it is read: characters of text, or bytes as characters below 256.
struct Piece {
    kind: Kind,
    escapes: Escapes,
    text: String,
}

impl Reader<'_> {
    /// One or more strings side by side.
    pub(super) fn strings(&mut self) -> Result<Literal, LiteralError> {
        let Piece { kind, mut text, .. } = self.string()?;
        loop {
            self.blank();
            let rest = self.bytes();
            let letters = rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
            if !matches!(rest.get(letters), Some(b'"' | b'\'')) {
                break;
            }
            let next = self.string()?;
            if next.kind != kind {
                return Err(self.wrong("strings of one kind before this"));
            }
            text += &next.text;
        }
        Ok(match kind {
            Kind::Text => Literal::Text(text),
            // Every character of it is below 256.
            Kind::Bytes => Literal::Bytes(text.chars().map(|c| c as u8).collect()),
        })
    }

    fn string(&mut self) -> Result<Piece, LiteralError> {
        let rest = self.bytes();
        let letters = rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let (kind, escapes) = match rest[..letters].to_ascii_lowercase().as_slice() {
            b"" | b"u" => (Kind::Text, Escapes::Read),
            b"r" => (Kind::Text, Escapes::Kept),
            b"b" => (Kind::Bytes, Escapes::Read),
            b"br" | b"rb" => (Kind::Bytes, Escapes::Kept),
            _ => return Err(self.wrong("a string of characters or bytes")),
        };
        let quote = rest[letters];
        let triple = rest[letters..].starts_with(&[quote; 3]);
        let quotes = if triple { 3 } else { 1 };
        self.at += letters + quotes;
        let mut piece = Piece { kind, escapes, text: String::new() };
        loop {
            let rest = self.bytes();
            // What needs no look at each character: most of a picture in base64.
            let plain = rest
                .iter()
                .take_while(|b| b.is_ascii() && !matches!(**b, b'\\' | b'\r' | b'\n' | b'\0') && **b != quote);
            let plain = plain.count();
            piece.text.push_str(&self.source[self.at..self.at + plain]);
            self.at += plain;
            let Some(c) = self.source[self.at..].chars().next() else {
                return Err(self.wrong("the end of the string"));
            };
            match c {
                '\0' => return Err(self.wrong("no NUL")),
                '\\' => self.escape(&mut piece)?,
                '\r' | '\n' if !triple => return Err(self.wrong("the end of the string")),
                '\r' => {
                    self.line_end();
                    piece.text.push('\n');
                }
                _ if c == char::from(quote) && self.bytes().starts_with(&vec![quote; quotes]) => {
                    self.at += quotes;
                    return Ok(piece);
                }
                _ if kind == Kind::Bytes && !c.is_ascii() => return Err(self.wrong("an ASCII character")),
                _ => {
                    piece.text.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
    }

    /// Passes over a line's end of any system.
    fn line_end(&mut self) {
        self.at += if self.bytes().starts_with(b"\r\n") { 2 } else { 1 };
    }

    /// A backslash and what belongs to it.
    fn escape(&mut self, piece: &mut Piece) -> Result<(), LiteralError> {
        self.at += 1;
        let Some(c) = self.source[self.at..].chars().next() else { return Err(self.wrong("the end of the string")) };
        if c == '\0' || (piece.kind == Kind::Bytes && !c.is_ascii()) {
            return Err(self.wrong("an ASCII character that is not NUL"));
        }
        if matches!(c, '\r' | '\n') {
            self.line_end();
            if piece.escapes == Escapes::Kept {
                piece.text.push_str("\\\n");
            }
            return Ok(());
        }
        if piece.escapes == Escapes::Kept {
            piece.text.push('\\');
            piece.text.push(c);
            self.at += c.len_utf8();
            return Ok(());
        }
        let text = piece.kind == Kind::Text;
        let meant = match c {
            '\\' | '\'' | '"' => c,
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            '0'..='7' => {
                let digits = self.bytes().iter().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
                return self.coded(piece, digits, 8);
            }
            'x' => return self.hexadecimal(piece, 2),
            'u' if text => return self.hexadecimal(piece, 4),
            'U' if text => return self.hexadecimal(piece, 8),
            'N' if text => return Err(self.wrong("an escape other than \\N")),
            // An escape that is none stands for itself.
            _ => {
                piece.text.push('\\');
                c
            }
        };
        piece.text.push(meant);
        self.at += c.len_utf8();
        Ok(())
    }

    fn hexadecimal(&mut self, piece: &mut Piece, digits: usize) -> Result<(), LiteralError> {
        self.at += 1;
        if self.bytes().iter().take(digits).filter(|b| b.is_ascii_hexdigit()).count() < digits {
            return Err(self.wrong("hexadecimal digits"));
        }
        self.coded(piece, digits, 16)
    }

    /// A character by its number.
    fn coded(&mut self, piece: &mut Piece, digits: usize, base: u32) -> Result<(), LiteralError> {
        let code = u32::from_str_radix(&self.source[self.at..self.at + digits], base).ok();
        // Three octal digits of a byte string may exceed a byte; its upper bits are lost.
        let code = if piece.kind == Kind::Bytes { code.map(|code| code & 0xff) } else { code };
        let c = code.and_then(char::from_u32).ok_or_else(|| self.wrong("the number of a character"))?;
        piece.text.push(c);
        self.at += digits;
        Ok(())
    }
}
