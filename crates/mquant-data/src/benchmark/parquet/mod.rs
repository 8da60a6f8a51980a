//! Parquet files as the Hub has them and lmms-eval reads them: one, or a set of shards.
//!
//! Enters: files of one schema. Leaves: their questions with row group and row, and later their pictures and sounds. Invariant: no more than
//! one page of each column is in memory, no size in a file is believed before it is checked, and a panic of the reader is an
//! error that names the file.
//!
//! Read: pages without compression, by Snappy and by zstd, as `datasets`, pandas, polars and DuckDB write them by default.

mod guard;
mod layout;
mod leaf;
mod set;
mod shard;
mod thrift;

use std::path::{Path, PathBuf};

pub(super) use set::{name, shards};

use super::asked;
use super::cell::Cell;
use super::forms::{Form, Nothing};
use super::media::{Kind, Medium};
use super::survey::{Problem, Survey};
use super::{BenchmarkError, Progress};
use layout::Shape;
use leaf::Leaf;
use shard::{Shard, contained};

/// Longest text cell that is a path and no picture.
const LONGEST_PATH: usize = 512;

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowAt {
    shard: u32,
    group: u32,
    /// In its group, from 0.
    row: u64,
}

/// Files that are read row group by row group.
pub(super) struct Parquet {
    shards: Vec<Shard>,
    folder: PathBuf,
    name: String,
    form: Form,
    cursor: Option<Cursor>,
}

/// The columns of pictures and sounds of a group, before a row of it.
struct Cursor {
    at: RowAt,
    leaves: Vec<Vec<Leaf>>,
}

impl Parquet {
    /// Opens files, in the order of their rows.
    ///
    /// # Errors
    /// If one cannot be read, lacks a column, or differs from the others.
    pub(super) fn open(paths: &[PathBuf], file: &str, name: &str) -> Result<Self, BenchmarkError> {
        let shards = paths.iter().map(|path| Shard::open(path)).collect::<Result<Vec<Shard>, _>>()?;
        let Some(first) = shards.first() else { return Err(BenchmarkError::Empty { file: file.to_owned() }) };
        if let Some(other) = shards.iter().find(|shard| shard.layout != first.layout) {
            let (file, first) = (other.name.clone(), first.name.clone());
            return Err(BenchmarkError::ShardColumns { file, first });
        }
        let form = Form::find(first.layout.headings.clone(), Nothing::Nan, &first.name)?;
        for column in form.media.iter().flat_map(|media| media.own.iter().copied()).chain(form.question) {
            let found = match &first.layout.shapes[column] {
                Shape::Other => "lists of lists or numbers",
                Shape::Record { .. } | Shape::Plain { text: false, .. } if Some(column) == form.question => "no text",
                _ => continue,
            };
            let (file, column) = (first.name.clone(), form.heading(column));
            let expected = "pictures, sounds or text";
            return Err(BenchmarkError::ColumnKind { file, column, expected, found });
        }
        let folder = paths[0].parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { shards, folder, name: name.to_owned(), form, cursor: None })
    }

    /// Whether the file has sounds.
    pub(super) fn hears(&self) -> bool {
        self.form.hears()
    }

    /// Headings of the columns that are kept as text, and their places.
    pub(super) fn kept(&self) -> (Vec<String>, Vec<usize>) {
        let shapes = self.shards.first().map_or(&[][..], |shard| &shard.layout.shapes);
        let is_text = |shape: &Shape| match shape {
            Shape::Plain { text, .. } => *text,
            Shape::Record { .. } => true,
            Shape::Other => false,
        };
        let kept = shapes.iter().enumerate().filter(|(i, shape)| !self.form.is_media(*i) && is_text(shape));
        let kept: Vec<usize> = kept.map(|(i, _)| i).collect();
        (kept.iter().map(|i| self.form.headings[*i].clone()).collect(), kept)
    }

    /// Reads every row; `progress` is told of every row group read.
    pub(super) fn survey(&mut self, file: &str, progress: &mut Progress<'_>) -> Result<Survey<RowAt>, BenchmarkError> {
        let (_, kept) = self.kept();
        let mut survey = Survey::new(file.to_owned());
        let mut read: Vec<usize> = kept.iter().copied().chain(self.media_columns()).collect();
        read.sort_unstable();
        read.dedup();
        let total = self.shards.iter().map(|shard| shard.bytes).sum();
        let (mut done, mut position) = (0, 0);
        for (number, shard) in self.shards.iter().enumerate() {
            for group in 0..shard.groups() {
                let (rows, bytes) = shard.group(group)?;
                let broken = |row: usize, reason| BenchmarkError::Page { file: shard.name.clone(), group, row, reason };
                let mut leaves = shard.leaves(group, &read).map_err(|reason| broken(0, reason))?;
                for row in 0..rows {
                    let cells = self.cells(shard, &read, &mut leaves).map_err(|reason| broken(row, reason))?;
                    let at = RowAt { shard: number as u32, group: group as u32, row: row as u64 };
                    let question = asked::question(&self.form, &cells, &kept, position).and_then(|question| {
                        let media = self.media_of(&cells)?;
                        media.iter().try_for_each(|(column, kind, bytes)| {
                            kind.check(bytes).map_err(|e| Problem::at(&self.form, *column, e))
                        })?;
                        Ok(question)
                    });
                    position += 1;
                    match question {
                        Ok(question) => survey.keep(position, question, at)?,
                        Err(problem) => survey.skip(position, problem)?,
                    }
                    // A group may take long.
                    progress.tell(done + bytes / rows.max(1) as u64 * row as u64, total)?;
                }
                done += bytes;
            }
        }
        progress.tell(total, total)?;
        Ok(survey)
    }

    /// The next row's cells, one for each heading; nothing for those not `read`.
    fn cells(&self, shard: &Shard, read: &[usize], leaves: &mut [Vec<Leaf>]) -> Result<Vec<Cell>, String> {
        let mut cells = vec![Cell::Null; self.form.headings.len()];
        for (heading, leaves) in read.iter().zip(leaves) {
            let cell = contained(|| shard.layout.shapes[*heading].next(leaves));
            cells[*heading] = cell.map_err(|e| format!("column \"{}\": {e}", self.form.heading(*heading)))?;
        }
        Ok(cells)
    }

    /// Every column of pictures or sounds, in the order of a question's media.
    fn media_columns(&self) -> impl Iterator<Item = usize> {
        self.form.media.iter().flat_map(super::forms::Media::columns)
    }

    /// The pictures and sounds in a row's cells with their columns.
    fn media_of(&self, cells: &[Cell]) -> Result<Vec<(usize, Kind, Vec<u8>)>, Problem> {
        let mut found = Vec::new();
        for media in &self.form.media {
            for column in media.columns() {
                let cell = cells.get(column).unwrap_or(&Cell::Null);
                let all = match cell {
                    Cell::List(items) => items.iter().collect(),
                    one => vec![one],
                };
                for cell in all {
                    let one = self.medium(media.kind, cell).map_err(|e| Problem::at(&self.form, column, e))?;
                    found.extend(one.map(|bytes| (column, media.kind, bytes)));
                }
            }
        }
        Ok(found)
    }

    fn medium(&self, kind: Kind, cell: &Cell) -> Result<Option<Vec<u8>>, String> {
        let load = |path: &str| kind.load(&self.folder, &self.name, path).map(Some);
        match cell {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => Ok(Some(bytes.data().to_vec())),
            Cell::Text(text) if text.trim().is_empty() => Ok(None),
            Cell::Text(text) if text.len() > LONGEST_PATH => kind.decode(text).map(Some),
            Cell::Text(path) => load(path),
            Cell::Record(_) => match (cell.member("bytes"), cell.member("path")) {
                (Some(Cell::Bytes(bytes)), _) => Ok(Some(bytes.data().to_vec())),
                (_, Some(Cell::Text(path))) => load(path),
                (None, None) => Err("expected members \"bytes\" and \"path\", found others".to_owned()),
                _ => Ok(None),
            },
            Cell::Integer(_) | Cell::Other(_) | Cell::List(_) => {
                Err(format!("expected a {}, found something else", kind.name()))
            }
        }
    }

    /// The pictures and sounds of a row; those of the row after it are found fastest next.
    ///
    /// # Errors
    /// If the file is no longer what it was.
    pub(super) fn media(&mut self, row: usize, at: RowAt) -> Result<Vec<Medium>, BenchmarkError> {
        let read: Vec<usize> = self.media_columns().collect();
        let shard = &self.shards[at.shard as usize];
        let broken = |reason| BenchmarkError::Page {
            file: shard.name.clone(),
            group: at.group as usize,
            row: usize::try_from(at.row).unwrap_or(usize::MAX),
            reason,
        };
        let ahead =
            |cursor: &Cursor| (cursor.at.shard, cursor.at.group) == (at.shard, at.group) && cursor.at.row <= at.row;
        let mut cursor = match self.cursor.take().filter(ahead) {
            Some(cursor) => cursor,
            None => {
                let leaves = shard.leaves(at.group as usize, &read).map_err(broken)?;
                Cursor { at: RowAt { row: 0, ..at }, leaves }
            }
        };
        let behind = usize::try_from(at.row - cursor.at.row).unwrap_or(usize::MAX);
        if behind > 0 {
            contained(|| cursor.leaves.iter_mut().flatten().try_for_each(|leaf| leaf.skip(behind))).map_err(broken)?;
        }
        let cells = self.cells(shard, &read, &mut cursor.leaves).map_err(broken)?;
        let changed = |reason| BenchmarkError::Changed { file: shard.name.clone(), row, reason };
        let found = self.media_of(&cells).map_err(|problem| changed(problem.0))?;
        let mut media = Vec::with_capacity(found.len());
        for (_, kind, bytes) in found {
            kind.check(&bytes).map_err(changed)?;
            media.push(Medium { kind, bytes: bytes.into() });
        }
        cursor.at = RowAt { row: at.row + 1, ..at };
        self.cursor = Some(cursor);
        Ok(media)
    }
}
