//! Benchmark files as the evaluation kits publish them.
//!
//! Enters: a table of VLMEvalKit (`.tsv`), or Parquet files as lmms-eval reads them (`.parquet`, its other shards beside it, or
//! their folder). Leaves: a [`Benchmark`], all questions in memory and every picture and sound where it is until it is
//! asked for. Invariant: every row was looked at once, and is a question, a [`Skipped`] row with a reason, or a row without picture
//! and sound that the kit leaves out too; no input panics, and none takes more memory than a record or a page of each column.
//!
//! To read another heading: a word in the table of `forms.rs`.

mod asked;
mod cell;
mod error;
mod forms;
mod media;
mod parquet;
pub mod python_literal;
mod question;
mod record_budget;
mod survey;
mod tsv;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

pub use error::BenchmarkError;
pub use media::{Kind as MediumKind, Medium};
pub use question::{ColumnNames, Question};
pub use survey::Skipped;

use mquant_model::input::{Content, Message};
use survey::{Kept, Survey};

/// Bytes of one record of a table, about: half a dozen pictures of 20 MiB as base64.
pub const RECORD_CAP: u64 = 128 << 20;
/// Bytes of a row group of a Parquet file, unpacked.
pub const ROW_GROUP_CAP: u64 = 2 << 30;
/// Bytes of all text that is kept of a benchmark.
pub const TEXT_CAP: u64 = 1 << 30;
/// Rows of a file that may be unusable, in percent; one is borne wherever there are others.
pub const MAX_SKIPPED_PERCENT: usize = 5;

/// Bytes between two calls of a watcher.
const STEP: u64 = 1 << 20;

/// Questions about pictures and sounds.
pub struct Benchmark {
    name: String,
    columns: ColumnNames,
    questions: Vec<Question>,
    rows: Vec<usize>,
    skipped: Vec<Skipped>,
    has_sounds: bool,
    without_media: usize,
    repeated: usize,
    source: Mutex<Source>,
}

/// Where the pictures and sounds of each question are.
enum Source {
    Tsv(Box<tsv::Tsv>, Vec<Vec<tsv::MediumAt>>),
    Parquet(Box<parquet::Parquet>, Vec<parquet::RowAt>),
}

/// Is told of bytes that were read and bytes there are, and may end the reading.
pub type Watch<'a> = dyn FnMut(u64, u64) -> ControlFlow<()> + 'a;

/// Tells a watcher now and then.
struct Progress<'a> {
    file: String,
    told: Option<u64>,
    watch: &'a mut Watch<'a>,
}

impl Progress<'_> {
    fn tell(&mut self, bytes: u64, total: u64) -> Result<(), BenchmarkError> {
        if self.told.is_some_and(|told| bytes < total && bytes.saturating_sub(told) < STEP) {
            return Ok(());
        }
        self.told = Some(bytes);
        match (self.watch)(bytes.min(total), total) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(BenchmarkError::Stopped { file: self.file.clone() }),
        }
    }
}

/// What a file or folder is called in messages.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

impl Benchmark {
    /// Reads every row of a benchmark once.
    ///
    /// # Errors
    /// A file that cannot be read, is no benchmark, or has more than [`MAX_SKIPPED_PERCENT`] unusable rows.
    pub fn open(path: &Path) -> Result<Self, BenchmarkError> {
        Self::open_watched(path, &mut |_, _| ControlFlow::Continue(()))
    }

    /// [`open`](Self::open), watched: large files take minutes.
    ///
    /// # Errors
    /// As `open`; and if the watcher ends it.
    pub fn open_watched<'w>(path: &Path, watch: &'w mut Watch<'w>) -> Result<Self, BenchmarkError> {
        let file = file_name(path);
        let mut progress = Progress { file: file.clone(), told: None, watch };
        let found = std::fs::metadata(path).map_err(|source| BenchmarkError::Io { file: file.clone(), source })?;
        match path.extension().and_then(|extension| extension.to_str()) {
            _ if found.is_dir() => {}
            Some("parquet") => {}
            Some("tsv") => {
                let name = file.strip_suffix(".tsv").unwrap_or(&file).to_owned();
                let mut tsv = tsv::Tsv::open(path, &file, &name)?;
                let survey = tsv.survey(&mut progress)?;
                let (columns, _) = tsv.kept();
                let hears = tsv.hears();
                return Self::of(name, columns, hears, survey, |places| Source::Tsv(Box::new(tsv), places));
            }
            _ => return Err(BenchmarkError::Kind { file }),
        }
        let shards = parquet::shards(path)?;
        let name = shards.first().map_or_else(String::new, |first| parquet::name(first));
        let mut parquet = parquet::Parquet::open(&shards, &file, &name)?;
        let survey = parquet.survey(&file, &mut progress)?;
        let (columns, _) = parquet.kept();
        let hears = parquet.hears();
        Self::of(name, columns, hears, survey, |places| Source::Parquet(Box::new(parquet), places))
    }

    fn of<P>(
        name: String,
        columns: Vec<String>,
        has_sounds: bool,
        mut survey: Survey<P>,
        source: impl FnOnce(Vec<P>) -> Source,
    ) -> Result<Self, BenchmarkError> {
        survey.check()?;
        let repeated = survey.repeated();
        let Survey { kept, skipped, without_media, .. } = survey;
        let (mut rows, mut questions, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for Kept { row, question, place } in kept {
            rows.push(row);
            questions.push(question);
            places.push(place);
        }
        let source = Mutex::new(source(places));
        Ok(Self {
            name,
            columns: columns.into(),
            questions,
            rows,
            skipped,
            has_sounds,
            without_media,
            repeated,
            source,
        })
    }

    /// Whether a path looks like a benchmark: a `.tsv` or `.parquet` file, or a folder that has a `.parquet` file.
    pub fn is_at(path: &Path) -> bool {
        match path.is_dir() {
            true => parquet::shards(path).is_ok_and(|shards| !shards.is_empty()),
            false => path.extension().is_some_and(|extension| extension == "tsv" || extension == "parquet"),
        }
    }

    /// The file's name without its ending; of shards what they have in common, with the folder's name before it where that is
    /// only a split such as `validation`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Headings of [`Question::fields`].
    pub fn columns(&self) -> &ColumnNames {
        &self.columns
    }

    /// In the file's order.
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// The row of each question, from 1, the heading not among them; shards follow one another.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Rows that cannot be used, in the file's order.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Rows of a table that were left out because they have neither picture nor sound, as VLMEvalKit leaves them out.
    pub fn without_media(&self) -> usize {
        self.without_media
    }

    /// Questions whose index an earlier one has. That is usual where an index names a picture; results that are kept by index
    /// would be fewer than the questions.
    pub fn repeated(&self) -> usize {
        self.repeated
    }

    /// The pictures of a question, then its sounds, encoded, in their order. Questions asked one after the other are found
    /// fastest.
    ///
    /// # Errors
    /// If there is no such question, or the file is no longer what it was.
    pub fn media(&self, question: usize) -> Result<Vec<Medium>, BenchmarkError> {
        let none =
            || BenchmarkError::NoQuestion { benchmark: self.name.clone(), question, count: self.questions.len() };
        let row = *self.rows.get(question).ok_or_else(none)?;
        match &mut *self.source.lock().unwrap_or_else(PoisonError::into_inner) {
            Source::Tsv(tsv, places) => tsv.media(row, places.get(question).ok_or_else(none)?),
            Source::Parquet(parquet, places) => parquet.media(row, *places.get(question).ok_or_else(none)?),
        }
    }

    /// Its pictures alone.
    ///
    /// # Errors
    /// As [`media`](Self::media).
    pub fn pictures(&self, question: usize) -> Result<Vec<Arc<[u8]>>, BenchmarkError> {
        let media = self.media(question)?.into_iter();
        Ok(media.filter(|medium| medium.kind == MediumKind::Picture).map(|medium| medium.bytes).collect())
    }

    /// Whether its questions may have sounds.
    pub fn has_sounds(&self) -> bool {
        self.has_sounds
    }

    /// What a model is given: the pictures of a question, then its sounds, then its text alone.
    ///
    /// # Errors
    /// As [`media`](Self::media).
    pub fn messages(&self, question: usize) -> Result<Vec<Message>, BenchmarkError> {
        let media = self.media(question)?;
        let text = self.questions.get(question).map(|question| &question.text).filter(|text| !text.is_empty());
        let text = text.map(|text| Content::Text(text.clone()));
        Ok(vec![Message::parts("user", media.iter().map(Medium::content).chain(text).collect())])
    }
}

impl std::fmt::Debug for Benchmark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, questions, skipped, .. } = self;
        write!(f, "Benchmark {name}: {} questions, {} rows skipped", questions.len(), skipped.len())
    }
}
