//! Calibration samples: conversations that a model is shown before it is quantised.
//!
//! Enters: benchmark files, conversations as JSON lines, folders of pictures. Leaves: [`Gathered`], as many [`Sample`]s as
//! asked for, spread evenly over every file, and a hash of all that is in them. Invariant: the same files give the same
//! samples; every picture is there and has a header; rows that cannot be used are told, and too many are an error.

mod choose;
mod error;
mod folder;
mod json_lines;
mod media;
mod overlap;
mod row;
mod survey;
#[cfg(test)]
mod tests;

pub use error::SamplesError;
pub use media::MediaHash;
pub use overlap::{Overlap, Shared, overlap};

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::benchmark::{self, Benchmark};
use mquant_model::input::{Content, Message};
use survey::Surveyed;

pub use crate::benchmark::MAX_SKIPPED_PERCENT;

/// What a folder of pictures is asked.
pub const DEFAULT_PROMPT: &str = "Describe this image.";

/// Where samples come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataSource {
    /// A benchmark: a table of VLMEvalKit, or Parquet files.
    Benchmark(PathBuf),
    /// Conversations, one a line, as [`messages::parse`](mquant_model::input::messages::parse) reads them; the assistant's message
    /// at the end of one is its reference answer. Media paths are relative to the file.
    JsonLines(PathBuf),
    /// The pictures of a folder by name, each with this prompt.
    Folder(PathBuf, String),
}

/// Whether samples must have pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visual {
    /// At least one must: the model sees.
    Needed,
    /// Text alone will do.
    TextOnly,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// At least one.
    pub sources: Vec<DataSource>,
    /// Samples; all there are if there are fewer.
    pub count: usize,
    /// Whether there must be pictures.
    pub visual: Visual,
}

/// One conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Up to where the model answers.
    pub messages: Vec<Message>,
    /// What the data say is the answer.
    pub answer: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// Of its images, videos and sounds, in order.
    pub media: Vec<MediaHash>,
}

impl Sample {
    /// Whether there is an image or a video in it.
    fn has_pictures(&self) -> bool {
        let mut media = self.messages.iter().flat_map(Message::media);
        media.any(|content| matches!(content, Content::Image(_) | Content::Video(_)))
    }
}

/// Where a sample comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file or folder.
    pub file: String,
    /// Counted from 1: a row below the heading, a line, a picture by name.
    pub row: usize,
}

/// A row that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Which.
    pub origin: Origin,
    /// Why.
    pub reason: String,
}

/// Samples, and what was left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Gathered {
    /// In the order they are shown: files take turns.
    pub samples: Vec<Sample>,
    /// Rows that cannot be used.
    pub skipped: Vec<Skipped>,
    /// SHA-256 of all that is in the samples, bytes of media and order included, in hexadecimal.
    pub hash: String,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: row {}", self.file, self.row)
    }
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.origin, self.reason)
    }
}

impl From<&benchmark::Skipped> for Skipped {
    fn from(skipped: &benchmark::Skipped) -> Self {
        let benchmark::Skipped { file, row, reason } = skipped.clone();
        Self { origin: Origin { file, row }, reason }
    }
}

impl DataSource {
    /// The source at a path, told by what is there: a folder of pictures or Parquet files, or a file that ends in `.tsv`,
    /// `.parquet` or `.jsonl`.
    ///
    /// # Errors
    /// If there is nothing, or something else.
    pub fn at(path: &Path, prompt: Option<&str>) -> Result<Self, SamplesError> {
        let (owned, file) = (path.to_owned(), row::name(path));
        let found = std::fs::metadata(path).map_err(|source| SamplesError::Io { file: file.clone(), source })?;
        match path.extension().and_then(|extension| extension.to_str()) {
            _ if Benchmark::is_at(path) => Ok(DataSource::Benchmark(owned)),
            _ if found.is_dir() => Ok(DataSource::Folder(owned, prompt.unwrap_or(DEFAULT_PROMPT).to_owned())),
            Some("jsonl") => Ok(DataSource::JsonLines(owned)),
            _ => Err(SamplesError::Kind { file: mquant_model::excerpt::excerpt(&file) }),
        }
    }
}

/// Reads the sources twice: once to find the rows that can be used, once for the rows that are chosen, so that only those are
/// ever in memory.
///
/// # Errors
/// A file that cannot be read or holds nothing; more than [`MAX_SKIPPED_PERCENT`] of a file's rows unusable; fewer samples
/// asked for than there are files; no picture where one is needed; a file that changed meanwhile.
pub fn gather(request: &Request) -> Result<Gathered, SamplesError> {
    let Request { sources, count, visual } = request;
    if sources.is_empty() || *count < sources.len() {
        return Err(SamplesError::Count { asked: *count, files: sources.len() });
    }
    let (mut surveyed, mut skipped) = (Vec::new(), Vec::new());
    for source in sources {
        let (rows, bad) = Surveyed::of(source)?;
        surveyed.push(rows);
        skipped.extend(bad);
    }
    let chosen = choose::choose(&surveyed.iter().map(Surveyed::len).collect::<Vec<_>>(), *count);
    let mut found: Vec<Vec<Option<Sample>>> = Vec::new();
    for (file, surveyed) in surveyed.iter().enumerate() {
        let rows: Vec<usize> = chosen.iter().filter(|at| at.file == file).map(|at| at.row).collect();
        found.push(surveyed.fetch(&rows)?);
    }
    let samples: Option<Vec<Sample>> = chosen.iter().map(|at| found[at.file].get_mut(at.row)?.take()).collect();
    let samples = samples.ok_or_else(|| SamplesError::Changed { file: sources[0].to_string() })?;
    if *visual == Visual::Needed && !samples.iter().any(Sample::has_pictures) {
        return Err(SamplesError::NoVisual { samples: samples.len() });
    }
    let hash = hash(&samples);
    Ok(Gathered { samples, skipped, hash })
}

impl std::fmt::Display for DataSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (DataSource::Benchmark(path) | DataSource::JsonLines(path) | DataSource::Folder(path, _)) = self;
        f.write_str(&row::name(path))
    }
}

fn hash(samples: &[Sample]) -> String {
    let mut hash = Sha256::new();
    let mut text = |tag: u8, text: &[u8]| {
        hash.update([tag]);
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    for sample in samples {
        text(b's', b"");
        let mut media = sample.media.iter();
        for message in &sample.messages {
            text(b'r', message.role.as_bytes());
            row::parts(&message.body, &mut |part| match part {
                row::Part::Text(words) => text(b't', words.as_bytes()),
                row::Part::Media => media.next().into_iter().for_each(|hash| text(b'm', hash)),
            });
        }
        if let Some(answer) = &sample.answer {
            text(b'a', answer.as_bytes());
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
