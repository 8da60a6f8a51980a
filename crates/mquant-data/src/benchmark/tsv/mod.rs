//! VLMEvalKit's tables: tab-separated, fields quoted where needed, pictures in base64, as references or as paths.
//!
//! Enters: a file. Leaves: its questions with the place of every picture and sound, and later these. Invariant: no more than one
//! record is in memory, and one that is longer than [`RECORD_CAP`](super::RECORD_CAP) ends the reading.

mod references;

use std::fs::File;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Position, Reader, ReaderBuilder};

use super::asked::{self, bracketed};
use super::cell::Cell;
use super::forms::{Form, Nothing};
use super::media::{Kind, Medium};
use super::python_literal::{self, Literal};
use super::record_budget::{Budget, Budgeted};
use super::survey::{Problem, Survey};
use super::{BenchmarkError, Progress, RECORD_CAP};
use references::Part;

/// Longest cell of a picture or sound that names another row.
const LONGEST_REFERENCE: usize = 64;
/// Bytes that are read at once.
const BUFFER: usize = 1 << 16;

/// Where a picture or sound is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MediumAt {
    kind: Kind,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Item of a cell of the record at that byte.
    Cell { byte: u64, column: usize, item: usize },
    /// A path as the file has it.
    File(String),
}

/// A file that is read record by record.
pub(super) struct Tsv {
    file: String,
    folder: PathBuf,
    name: String,
    bytes: u64,
    reader: Reader<Budgeted<File>>,
    budget: Budget,
    form: Form,
    /// The record last read, and where it begins.
    record: ByteRecord,
    at: Option<u64>,
}

impl Tsv {
    /// Opens a file and reads its heading; `name` is the benchmark's.
    ///
    /// # Errors
    /// If it cannot be read, is empty, or lacks a column.
    pub(super) fn open(path: &Path, file: &str, name: &str) -> Result<Self, BenchmarkError> {
        let unreadable = |source| BenchmarkError::Io { file: file.to_owned(), source };
        let source = File::open(path).map_err(unreadable)?;
        let bytes = source.metadata().map_err(unreadable)?.len();
        let budget = Budget::new(RECORD_CAP);
        let inner = Budgeted { inner: source, budget: budget.clone() };
        // Rows of another length are told with their number.
        let mut builder = ReaderBuilder::new();
        builder.delimiter(b'\t').has_headers(false).flexible(true).buffer_capacity(BUFFER);
        let mut reader = builder.from_reader(inner);
        let mut record = ByteRecord::new();
        if !next(&mut reader, &budget, &mut record, file, 0)? {
            return Err(BenchmarkError::Empty { file: file.to_owned() });
        }
        let headings = record.iter().map(|heading| String::from_utf8_lossy(heading).into_owned()).collect();
        let form = Form::find(headings, Nothing::Pandas, file)?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let (file, name) = (file.to_owned(), name.to_owned());
        Ok(Self { file, folder, name, bytes, reader, budget, form, record, at: None })
    }

    /// Whether the file has sounds.
    pub(super) fn hears(&self) -> bool {
        self.form.hears()
    }

    /// Headings of the columns that are kept as text, and their places.
    pub(super) fn kept(&self) -> (Vec<String>, Vec<usize>) {
        let kept: Vec<usize> = (0..self.form.headings.len()).filter(|i| !self.form.is_media(*i)).collect();
        (kept.iter().map(|i| self.form.headings[*i].clone()).collect(), kept)
    }

    /// Reads every row; `progress` is told of every row read.
    pub(super) fn survey(&mut self, progress: &mut Progress<'_>) -> Result<Survey<Vec<MediumAt>>, BenchmarkError> {
        let (_, kept) = self.kept();
        let mut survey = Survey::new(self.file.clone());
        for row in 1.. {
            if !next(&mut self.reader, &self.budget, &mut self.record, &self.file, row)? {
                break;
            }
            let read = self.question(&kept, row).and_then(|question| Ok((question, self.parts()?)));
            match read {
                Ok((_, parts)) if parts.is_empty() => survey.without_media += 1,
                Ok((question, parts)) => survey.keep(row, question, parts)?,
                Err(problem) => survey.skip(row, problem)?,
            }
            progress.tell(self.reader.position().byte(), self.bytes)?;
        }
        references::resolved(survey, &self.form)
    }

    /// The question of the record that was read.
    fn question(&self, kept: &[usize], row: usize) -> Result<crate::benchmark::Question, Problem> {
        let (expected, found) = (self.form.headings.len(), self.record.len());
        if found != expected {
            return Err(Problem(format!("expected {expected} fields, found {found}")));
        }
        let mut cells = Vec::with_capacity(expected);
        for (column, bytes) in self.record.iter().enumerate() {
            if self.form.is_media(column) {
                cells.push(Cell::Null);
                continue;
            }
            let text = std::str::from_utf8(bytes).map_err(|e| {
                let told = format!("expected UTF-8 text, found another byte at {}", e.valid_up_to());
                Problem::at(&self.form, column, told)
            })?;
            if let Some(at) = text.find('\0') {
                return Err(Problem::at(&self.form, column, format!("expected text, found a NUL at {at}")));
            }
            cells.push(Cell::Text(text.to_owned()));
        }
        asked::question(&self.form, &cells, kept, row - 1)
    }

    /// Where the pictures and sounds of the record that was read are; each that is in it is looked at.
    fn parts(&self) -> Result<Vec<Part>, Problem> {
        let byte = self.record.position().map_or(0, Position::byte);
        let mut parts = Vec::new();
        for media in &self.form.media {
            let kind = media.kind;
            if let Some(column) = media.paths {
                for path in items(self.cell(column)?) {
                    let bytes = kind.load(&self.folder, &self.name, &path);
                    bytes.and_then(|bytes| kind.check(&bytes)).map_err(|e| Problem::at(&self.form, column, e))?;
                    parts.push(Part::Own(MediumAt { kind, place: Place::File(path.into_owned()) }));
                }
            }
            for column in media.own.iter().copied() {
                for (item, text) in items(self.cell(column)?).into_iter().enumerate() {
                    // A picture in so few characters is not taken for one by the kit.
                    if text.chars().count() <= LONGEST_REFERENCE {
                        parts.push(Part::Reference { kind, column, index: text.trim().to_owned() });
                        continue;
                    }
                    let checked = kind.decode(&text).and_then(|bytes| kind.check(&bytes));
                    checked.map_err(|e| Problem::at(&self.form, column, e))?;
                    parts.push(Part::Own(MediumAt { kind, place: Place::Cell { byte, column, item } }));
                }
            }
        }
        Ok(parts)
    }

    fn cell(&self, column: usize) -> Result<&str, Problem> {
        let bytes = self.record.get(column).unwrap_or_default();
        let text = std::str::from_utf8(bytes).map_err(|e| {
            Problem::at(&self.form, column, format!("expected UTF-8 text, found another byte at {}", e.valid_up_to()))
        })?;
        Ok(if self.form.nothing.is(text.trim()) { "" } else { text })
    }

    /// The pictures and sounds at these places.
    ///
    /// # Errors
    /// If the file is no longer what it was.
    pub(super) fn media(&mut self, row: usize, places: &[MediumAt]) -> Result<Vec<Medium>, BenchmarkError> {
        let changed = |file: &str, reason: String| BenchmarkError::Changed { file: file.to_owned(), row, reason };
        let mut media = Vec::with_capacity(places.len());
        for MediumAt { kind, place } in places {
            let bytes = match place {
                Place::File(path) => kind.load(&self.folder, &self.name, path),
                Place::Cell { byte, column, item } => {
                    self.seek(*byte, row)?;
                    match self.cell(*column).map(items) {
                        Ok(items) => items
                            .get(*item)
                            .ok_or_else(|| format!("the {} is gone", kind.name()))
                            .and_then(|text| kind.decode(text)),
                        Err(problem) => Err(problem.0),
                    }
                }
            };
            let bytes = bytes.and_then(|bytes| kind.check(&bytes).map(|()| bytes));
            let bytes = bytes.map_err(|reason| changed(&self.file, reason))?.into();
            media.push(Medium { kind: *kind, bytes });
        }
        Ok(media)
    }

    /// Makes the record at a byte the one that was read.
    fn seek(&mut self, byte: u64, row: usize) -> Result<(), BenchmarkError> {
        if self.at == Some(byte) {
            return Ok(());
        }
        self.at = None;
        self.budget.renew();
        let mut position = Position::new();
        position.set_byte(byte);
        self.reader.seek(position).map_err(|e| unreadable(e, &self.file))?;
        if !next(&mut self.reader, &self.budget, &mut self.record, &self.file, row)? {
            let (file, reason) = (self.file.clone(), "the file has become shorter".to_owned());
            return Err(BenchmarkError::Changed { file, row, reason });
        }
        self.at = Some(byte);
        Ok(())
    }
}

/// The items of a cell of media: of a Python list its texts, else the cell; nothing of an empty one.
fn items(cell: &str) -> Vec<std::borrow::Cow<'_, str>> {
    if cell.trim().is_empty() {
        return Vec::new();
    }
    let listed = bracketed(cell).and_then(|list| python_literal::parse(list).ok());
    let texts = match listed {
        Some(Literal::List(items)) => items.iter().map(Literal::plain).collect::<Option<Vec<String>>>(),
        _ => None,
    };
    match texts {
        Some(texts) => texts.into_iter().map(Into::into).collect(),
        None => vec![cell.into()],
    }
}

fn next(
    reader: &mut Reader<Budgeted<File>>,
    budget: &Budget,
    record: &mut ByteRecord,
    file: &str,
    row: usize,
) -> Result<bool, BenchmarkError> {
    budget.renew();
    let read = reader.read_byte_record(record);
    read.map_err(|e| match budget.is_spent() {
        true => BenchmarkError::TooLong { file: file.to_owned(), row, limit: RECORD_CAP },
        false => unreadable(e, file),
    })
}

fn unreadable(e: csv::Error, file: &str) -> BenchmarkError {
    let source = match e.into_kind() {
        csv::ErrorKind::Io(source) => source,
        other => std::io::Error::other(format!("{other:?}")),
    };
    BenchmarkError::Io { file: file.to_owned(), source }
}
