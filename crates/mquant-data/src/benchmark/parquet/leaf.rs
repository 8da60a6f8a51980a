//! One column of a row group, read row by row.

use std::fs::File;
use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescriptor;

use super::guard::Guard;
use crate::benchmark::cell::Cell;

/// A column of plain values or of lists of them.
pub(super) struct Leaf {
    reader: ColumnReader,
    text: bool,
    /// Definition level of a value that is there.
    there: i16,
    /// Definition level of an item that is there, be its value so or not.
    item: i16,
    lists: bool,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

/// Whether a column holds what is read here: neither lists of lists nor numbers of unusual width.
pub(super) fn is_read(column: &ColumnDescriptor) -> bool {
    column.max_rep_level() <= 1 && !matches!(column.physical_type(), Type::INT96 | Type::FIXED_LEN_BYTE_ARRAY)
}

/// Whether a column's bytes are text.
pub(super) fn is_text(column: &ColumnDescriptor) -> bool {
    matches!(column.logical_type_ref(), Some(LogicalType::String | LogicalType::Enum | LogicalType::Json))
        || matches!(column.converted_type(), ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON)
}

impl Leaf {
    /// The column of that number; [`is_read`] of it.
    pub(super) fn open(file: &Arc<File>, group: &RowGroupMetaData, column: usize) -> Result<Self> {
        let chunk = group.column(column);
        let descriptor = chunk.column_descr_ptr();
        let rows = usize::try_from(group.num_rows()).unwrap_or(0);
        let pages = SerializedPageReader::new(Arc::new(Guard::new(file, chunk)), chunk, rows, None)?;
        Ok(Self {
            text: is_text(&descriptor),
            there: descriptor.max_def_level(),
            item: descriptor.repeated_ancestor_def_level(),
            lists: descriptor.max_rep_level() > 0,
            reader: get_column_reader(descriptor, Box::new(pages)),
            definition: Vec::new(),
            repetition: Vec::new(),
        })
    }

    /// The value of the next row, or the list of its values.
    pub(super) fn next(&mut self) -> Result<Cell> {
        let Self { reader, definition, repetition, .. } = self;
        definition.clear();
        repetition.clear();
        macro_rules! read {
            ($reader:expr, $cell:expr) => {{
                let mut values = Vec::new();
                loop {
                    let (records, _, levels) =
                        $reader.read_records(1, Some(definition), Some(repetition), &mut values)?;
                    if levels > 0 {
                        break;
                    }
                    // The end of a row at the end of a page is told on its own.
                    if records == 0 {
                        return Err(ParquetError::General("the column ends before the row group".to_owned()));
                    }
                }
                values.into_iter().map($cell).collect::<Vec<Cell>>()
            }};
        }
        let text = self.text;
        let values = match reader {
            ColumnReader::BoolColumnReader(reader) => {
                read!(reader, |value| Cell::Other(if value { "True" } else { "False" }.to_owned()))
            }
            ColumnReader::Int32ColumnReader(reader) => read!(reader, |value| Cell::Integer(i64::from(value))),
            ColumnReader::Int64ColumnReader(reader) => read!(reader, Cell::Integer),
            ColumnReader::FloatColumnReader(reader) => read!(reader, |value: f32| Cell::Other(format!("{value:?}"))),
            ColumnReader::DoubleColumnReader(reader) => read!(reader, |value: f64| Cell::Other(format!("{value:?}"))),
            ColumnReader::ByteArrayColumnReader(reader) => {
                read!(reader, |value: ByteArray| {
                    match std::str::from_utf8(value.data()) {
                        Ok(found) if text => Cell::Text(found.to_owned()),
                        _ => Cell::Bytes(value),
                    }
                })
            }
            ColumnReader::Int96ColumnReader(_) | ColumnReader::FixedLenByteArrayColumnReader(_) => {
                return Err(ParquetError::General("a column of another type expected".to_owned()));
            }
        };
        Ok(self.assembled(values))
    }

    /// Passes over rows.
    pub(super) fn skip(&mut self, rows: usize) -> Result<()> {
        let skipped = match &mut self.reader {
            ColumnReader::BoolColumnReader(reader) => reader.skip_records(rows),
            ColumnReader::Int32ColumnReader(reader) => reader.skip_records(rows),
            ColumnReader::Int64ColumnReader(reader) => reader.skip_records(rows),
            ColumnReader::Int96ColumnReader(reader) => reader.skip_records(rows),
            ColumnReader::FloatColumnReader(reader) => reader.skip_records(rows),
            ColumnReader::DoubleColumnReader(reader) => reader.skip_records(rows),
            ColumnReader::ByteArrayColumnReader(reader) => reader.skip_records(rows),
            ColumnReader::FixedLenByteArrayColumnReader(reader) => reader.skip_records(rows),
        }?;
        match skipped == rows {
            true => Ok(()),
            false => Err(ParquetError::General("the column ends before the row group".to_owned())),
        }
    }

    /// Values put where the levels say.
    fn assembled(&self, values: Vec<Cell>) -> Cell {
        let mut values = values.into_iter();
        if !self.lists {
            // A required value has no levels.
            let there = self.definition.first().is_none_or(|level| *level == self.there);
            return if there { values.next().unwrap_or(Cell::Null) } else { Cell::Null };
        }
        let items = self.definition.iter().filter(|level| **level >= self.item);
        Cell::List(
            items.map(|level| if *level == self.there { values.next() } else { None }.unwrap_or(Cell::Null)).collect(),
        )
    }
}
