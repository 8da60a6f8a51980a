//! As much of Thrift's compact protocol as it takes to look at a Parquet file before its reader does: what is passed over
//! costs no memory, and nothing recurses deeper than [`DEPTH`].

use std::io::{self, BufRead};

/// Structures inside structures.
const DEPTH: usize = 16;

/// Kinds of value.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const INTEGERS: std::ops::RangeInclusive<u8> = 4..=6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// A field's number and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) id: i64,
    kind: u8,
}

/// Reads values one after the other.
pub(super) struct Compact<R> {
    source: R,
}

fn wrong(expected: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, expected)
}

impl<R: BufRead> Compact<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source }
    }

    /// The next field of a structure after the one of number `last`, 0 at its begin; None at its end.
    pub(super) fn field(&mut self, last: i64) -> io::Result<Option<Field>> {
        let byte = self.byte()?;
        let (delta, kind) = (byte >> 4, byte & 15);
        match (delta, kind) {
            (_, 0) => Ok(None),
            (0, _) => Ok(Some(Field { id: self.integer()?, kind })),
            _ => Ok(Some(Field { id: last.saturating_add(i64::from(delta)), kind })),
        }
    }

    /// The integer of a field.
    pub(super) fn number(&mut self, field: Field) -> io::Result<i64> {
        if INTEGERS.contains(&field.kind) { self.integer() } else { Err(wrong("an integer")) }
    }

    /// Checks that a field is a structure, whose fields come next.
    pub(super) fn structure(&mut self, field: Field) -> io::Result<()> {
        if field.kind == STRUCT { Ok(()) } else { Err(wrong("a structure")) }
    }

    /// How many structures a field lists, which come next.
    pub(super) fn structures(&mut self, field: Field) -> io::Result<u64> {
        if field.kind != LIST {
            return Err(wrong("a list"));
        }
        let (count, kind) = self.list()?;
        if kind == STRUCT { Ok(count) } else { Err(wrong("a list of structures")) }
    }

    /// Passes over the value of a field.
    pub(super) fn skip(&mut self, field: Field) -> io::Result<()> {
        // The truth value of a field is in its kind.
        if matches!(field.kind, TRUE | FALSE) { Ok(()) } else { self.value(field.kind, 0) }
    }

    fn value(&mut self, kind: u8, depth: usize) -> io::Result<()> {
        if depth == DEPTH {
            return Err(wrong("structures nested less deeply"));
        }
        match kind {
            TRUE | FALSE | BYTE => self.byte().map(drop),
            _ if INTEGERS.contains(&kind) => self.varint().map(drop),
            DOUBLE => self.pass(8),
            BINARY => {
                let bytes = self.varint()?;
                self.pass(bytes)
            }
            LIST | SET => {
                let (count, kind) = self.list()?;
                (0..count).try_for_each(|_| self.value(kind, depth + 1))
            }
            MAP => {
                let count = self.varint()?;
                if count == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                (0..count).try_for_each(|_| {
                    self.value(kinds >> 4, depth + 1)?;
                    self.value(kinds & 15, depth + 1)
                })
            }
            STRUCT => {
                let mut last = 0;
                while let Some(field) = self.field(last)? {
                    last = field.id;
                    if !matches!(field.kind, TRUE | FALSE) {
                        self.value(field.kind, depth + 1)?;
                    }
                }
                Ok(())
            }
            _ => Err(wrong("a kind of value that there is")),
        }
    }

    /// Length and kind of a list.
    fn list(&mut self) -> io::Result<(u64, u8)> {
        let byte = self.byte()?;
        let count = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
        Ok((count, byte & 15))
    }

    fn pass(&mut self, mut bytes: u64) -> io::Result<()> {
        while bytes > 0 {
            let there = self.source.fill_buf()?.len();
            if there == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let passed = there.min(usize::try_from(bytes).unwrap_or(there));
            self.source.consume(passed);
            bytes -= passed as u64;
        }
        Ok(())
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.source.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(wrong("an integer of at most 64 bits"))
    }

    fn integer(&mut self) -> io::Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}
