//! A conversation as a user writes it: roles, texts, images, videos and sounds.
//!
//! Enters: OpenAI chat messages or Hugging Face's form of them as JSON text. Leaves: [`Message`]s whose media are paths
//! or bytes, not yet opened. Invariant: every message has a role and a body, every part is text, image, video or
//! sound, and the limits below hold.
//!
//! | part | source |
//! |---|---|
//! | `text` | `text` |
//! | `image`, `video`, `audio` | one of the key of that name, `url` and `path` |
//! | `image_url`, `video_url`, `audio_url` | the key of that name: a string, or an object with `url` |
//! | `input_audio` | an object of `data` (base64 of a sound file) and `format` |
//!
//! A source is a path, a `file://` url or a data URL of the part's kind. A video may have `fps` and, as `audio`, its sound
//! track. What a sound is, its content tells, whatever `format` says.

mod parse;
mod source;

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::error::{Class, Explain};

pub use parse::parse;

/// Messages in one conversation.
pub const MAX_MESSAGES: usize = 10_000;
/// Parts in one message.
pub const MAX_PARTS: usize = 10_000;
/// Images, videos and sounds in one conversation; a video's sound track is one of them.
pub const MAX_MEDIA: usize = 16;
/// Bytes of one image, video or sound given inline, after decoding.
pub const MAX_INLINE_BYTES: usize = 20 << 20;
/// Bytes of the JSON text.
pub const MAX_JSON_BYTES: usize = 128 << 20;
/// Characters of a role.
pub const MAX_ROLE_CHARS: usize = 32;

/// Where the bytes of an image, video or sound are.
#[derive(Clone, PartialEq, Eq)]
pub enum MediaSource {
    /// A file, relative to the current folder or absolute; not yet opened.
    Path(PathBuf),
    /// The encoded file itself.
    Bytes(Arc<[u8]>),
}

impl std::fmt::Debug for MediaSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MediaSource::Path(path) => f.debug_tuple("Path").field(path).finish(),
            MediaSource::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

/// Frames in a second: above 0, at most [`FrameRate::MAX`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameRate(f32);

/// It is always a number.
impl Eq for FrameRate {}

impl FrameRate {
    /// The highest rate.
    pub const MAX: f32 = 1000.0;

    /// None if it is out of range.
    pub fn new(per_second: f64) -> Option<Self> {
        let rate = per_second as f32;
        (rate > 0.0 && rate <= Self::MAX && rate.is_normal()).then_some(Self(rate))
    }

    /// Frames in a second.
    pub fn per_second(self) -> f32 {
        self.0
    }
}

/// A video and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Video {
    /// Where its frames are.
    pub source: MediaSource,
    /// How fast the frames follow one another; families with absolute time place its rows by it. None takes what the reference
    /// takes for the family: [`MediaLayout::frames_per_second`](crate::models::MediaLayout::frames_per_second).
    pub fps: Option<FrameRate>,
    /// Where its sound track is.
    pub audio: Option<MediaSource>,
}

impl From<MediaSource> for Video {
    fn from(source: MediaSource) -> Self {
        Self { source, fps: None, audio: None }
    }
}

/// One part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Text of the user; never read as control tokens.
    Text(String),
    /// A still image.
    Image(MediaSource),
    /// A video.
    Video(Video),
    /// A sound.
    Audio(MediaSource),
}

/// What a message says, in the form its writer chose: templates tell a string from a list of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A plain string.
    Plain(String),
    /// Parts in order.
    Parts(Vec<Content>),
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user`, `assistant`, …: one lower-case word.
    pub role: String,
    /// What is said.
    pub body: Body,
}

impl Message {
    /// A message that is one string.
    pub fn plain(role: impl Into<String>, text: impl Into<String>) -> Self {
        Self { role: role.into(), body: Body::Plain(text.into()) }
    }

    /// A message of parts.
    pub fn parts(role: impl Into<String>, parts: Vec<Content>) -> Self {
        Self { role: role.into(), body: Body::Parts(parts) }
    }

    /// The images, videos and sounds, in order.
    pub fn media(&self) -> impl Iterator<Item = &Content> {
        let parts = match &self.body {
            Body::Plain(_) => &[][..],
            Body::Parts(parts) => parts.as_slice(),
        };
        parts.iter().filter(|part| !matches!(part, Content::Text(_)))
    }

    /// The texts, in order.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let (plain, parts) = match &self.body {
            Body::Plain(text) => (Some(text.as_str()), &[][..]),
            Body::Parts(parts) => (None, parts.as_slice()),
        };
        plain.into_iter().chain(parts.iter().filter_map(|part| match part {
            Content::Text(text) => Some(text.as_str()),
            Content::Image(_) | Content::Video(_) | Content::Audio(_) => None,
        }))
    }
}

/// Where in a conversation something is wrong, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The message.
    pub message: usize,
    /// The part of its content, if it is a part.
    pub part: Option<usize>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "message {}", self.message)?;
        match self.part {
            Some(part) => write!(f, ", part {part}"),
            None => Ok(()),
        }
    }
}

/// Why a conversation was refused. `file` is the name the caller gave the text.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MessagesError {
    /// Not JSON, or nested too deeply.
    #[error("{file} is not JSON: {found}")]
    Json {
        /// The messages file.
        file: String,
        /// The parser's words.
        found: String,
    },
    /// Neither a list of messages nor an object holding one, or the list is empty.
    #[error(
        "{file}: expected a list of at least one message, or an object with such a list as `messages`, found {found}"
    )]
    Form {
        /// The messages file.
        file: String,
        /// Kind of value found.
        found: String,
    },
    /// A field is absent, of a wrong type or has a value outside its range.
    #[error("{file}: {place}: {field}: expected {expected}, found {found}")]
    Field {
        /// The messages file.
        file: String,
        /// Message and part.
        place: Place,
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// Understood, but not done here: remote media, tool calls, sounds of another format.
    #[error("{file}: {place}: {what} is not supported")]
    Unsupported {
        /// The messages file.
        file: String,
        /// Message and part.
        place: Place,
        /// What is asked for.
        what: String,
    },
    /// A data URL that cannot be decoded.
    #[error("{file}: {place}: the data URL {problem}")]
    DataUrl {
        /// The messages file.
        file: String,
        /// Message and part.
        place: Place,
        /// What is wrong with it.
        problem: String,
    },
    /// More than a documented limit.
    #[error("{file}: {what}: at most {limit}, found {found}")]
    Limit {
        /// The messages file.
        file: String,
        /// What is limited, with its unit.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// What was found.
        found: usize,
    },
}

impl Explain for MessagesError {
    fn class(&self) -> Class {
        match self {
            MessagesError::Unsupported { .. } => Class::Unsupported,
            _ => Class::Input,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            MessagesError::Json { .. } => "MESSAGES_JSON",
            MessagesError::Form { .. } => "MESSAGES_FORM",
            MessagesError::Field { .. } => "MESSAGES_FIELD",
            MessagesError::Unsupported { .. } => "MESSAGES_UNSUPPORTED",
            MessagesError::DataUrl { .. } => "MESSAGES_DATA_URL",
            MessagesError::Limit { .. } => "MESSAGES_LIMIT",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            MessagesError::Unsupported { what, .. } if what.contains("http") => {
                Some("download the file and give its path, or inline it as a data URL".into())
            }
            MessagesError::Form { .. } => {
                Some(r#"for example [{"role": "user", "content": "Describe the image."}]"#.into())
            }
            _ => None,
        }
    }
}
