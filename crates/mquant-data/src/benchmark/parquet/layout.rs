//! Which columns of a Parquet file make up a heading's cells.

use parquet::basic::{ConvertedType, LogicalType};
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::{SchemaDescriptor, Type};

use super::leaf::{self, Leaf};
use crate::benchmark::cell::Cell;

/// Headings, and what is below them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) headings: Vec<String>,
    pub(super) shapes: Vec<Shape>,
}

/// How the cells of a heading are stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// A column of values or lists.
    Plain { column: usize, text: bool },
    /// Members with a column each, in the cell or in each item of its list.
    Record { members: Vec<(String, usize)>, listed: bool },
    /// Nothing that is read.
    Other,
}

impl Layout {
    pub(super) fn of(schema: &SchemaDescriptor) -> Self {
        let roots = schema.root_schema().get_fields();
        let headings = roots.iter().map(|root| root.name().to_owned()).collect();
        let shapes = roots.iter().enumerate().map(|(i, root)| Shape::of(schema, i, root)).collect();
        Self { headings, shapes }
    }
}

fn is_list(root: &Type) -> bool {
    let info = root.get_basic_info();
    matches!(info.logical_type_ref(), Some(LogicalType::List)) || info.converted_type() == ConvertedType::LIST
}

impl Shape {
    fn of(schema: &SchemaDescriptor, root: usize, kind: &Type) -> Self {
        let columns: Vec<usize> = (0..schema.num_columns())
            .filter(|column| schema.get_column_root_idx(*column) == root && leaf::is_read(&schema.column(*column)))
            .collect();
        let path = |column: usize| schema.column(column).path().parts().to_vec();
        let listed = !kind.is_primitive() && is_list(kind);
        match columns[..] {
            [] => Shape::Other,
            // `name`, or `name.list.item`, or `name.item`.
            [column] if kind.is_primitive() || (listed && path(column).len() <= 3) => {
                Shape::Plain { column, text: leaf::is_text(&schema.column(column)) || !is_bytes(schema, column) }
            }
            _ => {
                // Of a list `name.list.item.member`.
                let at = if listed { 3 } else { 1 };
                let member = |column: usize| Some((path(column).get(at)?.clone(), column));
                Shape::Record { members: columns.iter().filter_map(|column| member(*column)).collect(), listed }
            }
        }
    }

    /// The columns it is made of.
    pub(super) fn columns(&self) -> Vec<usize> {
        match self {
            Shape::Plain { column, .. } => vec![*column],
            Shape::Record { members, .. } => members.iter().map(|(_, column)| *column).collect(),
            Shape::Other => Vec::new(),
        }
    }

    /// The next row's cell from its columns, opened in the order of [`columns`](Self::columns).
    pub(super) fn next(&self, leaves: &mut [Leaf]) -> Result<Cell> {
        match self {
            Shape::Other => Ok(Cell::Null),
            Shape::Plain { .. } => leaves.first_mut().map_or(Ok(Cell::Null), Leaf::next),
            Shape::Record { members, listed } => {
                let cells = leaves.iter_mut().map(Leaf::next).collect::<Result<Vec<Cell>>>()?;
                let named = members.iter().map(|(name, _)| name.clone()).zip(cells);
                if *listed { listed_records(named.collect()) } else { Ok(Cell::Record(named.collect())) }
            }
        }
    }
}

fn is_bytes(schema: &SchemaDescriptor, column: usize) -> bool {
    schema.column(column).physical_type() == parquet::basic::Type::BYTE_ARRAY
}

/// A list of records from a list for each member.
fn listed_records(members: Vec<(String, Cell)>) -> Result<Cell> {
    let mut records: Vec<Vec<(String, Cell)>> = Vec::new();
    for (i, (name, cell)) in members.into_iter().enumerate() {
        let Cell::List(items) = cell else { return Err(ParquetError::General("a list expected".to_owned())) };
        if i == 0 {
            records.resize_with(items.len(), Vec::new);
        }
        if items.len() != records.len() {
            return Err(ParquetError::General(format!("{} members of {} records", items.len(), records.len())));
        }
        for (record, item) in records.iter_mut().zip(items) {
            record.push((name.clone(), item));
        }
    }
    Ok(Cell::List(records.into_iter().map(Cell::Record).collect()))
}
