//! JSON text to messages: OpenAI's part types and Hugging Face's.

use std::path::Path;

use serde_json::{Map, Value};

use super::source::{SourceError, inline, source};
use super::{Body, Content, MAX_INLINE_BYTES, MAX_JSON_BYTES, MAX_MEDIA, MAX_MESSAGES, MAX_PARTS, MAX_ROLE_CHARS};
use super::{FrameRate, MediaSource, Message, MessagesError, Place, Video};
use crate::checkpoint::kind;
use crate::excerpt::{excerpt, quoted};
use crate::input::MediaKind;

/// The messages in `json`: a list, or an object whose `messages` is the list. Media paths are relative to `base`;
/// `file` names the text in errors. Opens no media.
///
/// # Errors
/// Every [`MessagesError`]: broken JSON, a field of a wrong type, an unknown part, a remote url, a limit passed.
pub fn parse(json: &str, base: &Path, file: &str) -> Result<Vec<Message>, MessagesError> {
    Parser { base, file, media: 0 }.conversation(json)
}

struct Parser<'a> {
    base: &'a Path,
    file: &'a str,
    media: usize,
}

impl Parser<'_> {
    fn conversation(mut self, json: &str) -> Result<Vec<Message>, MessagesError> {
        self.limit("bytes of JSON", MAX_JSON_BYTES, json.len())?;
        let json = json.strip_prefix('\u{feff}').unwrap_or(json);
        let value: Value = serde_json::from_str(json)
            .map_err(|e| MessagesError::Json { file: self.file.into(), found: excerpt(&e.to_string()) })?;
        let list = match &value {
            Value::Array(list) => list,
            Value::Object(object) => match object.get("messages") {
                Some(Value::Array(list)) => list,
                Some(other) => return Err(self.form(&format!("`messages` that is {}", kind(other)))),
                None => return Err(self.form("an object without `messages`")),
            },
            other => return Err(self.form(kind(other))),
        };
        if list.is_empty() {
            return Err(self.form("an empty list"));
        }
        self.limit("messages", MAX_MESSAGES, list.len())?;
        list.iter().enumerate().map(|(index, message)| self.message(index, message)).collect()
    }

    fn message(&mut self, index: usize, value: &Value) -> Result<Message, MessagesError> {
        let place = Place { message: index, part: None };
        let Value::Object(object) = value else {
            return Err(self.field(place, "message", "an object with `role` and `content`", kind(value)));
        };
        if let Some(key) = object.keys().find(|key| !matches!(key.as_str(), "role" | "content")) {
            return Err(self.unsupported(place, format!("the message field {}", quoted(key))));
        }
        let role = match object.get("role") {
            Some(Value::String(role)) if is_role(role) => role.clone(),
            Some(Value::String(role)) => return Err(self.field(place, "role", ROLE, quoted(role))),
            other => return Err(self.field(place, "role", ROLE, found(other))),
        };
        let body = match object.get("content") {
            Some(Value::String(text)) => Body::Plain(text.clone()),
            Some(Value::Array(parts)) if parts.is_empty() => {
                return Err(self.field(place, "content", CONTENT, "an empty list"));
            }
            Some(Value::Array(parts)) => {
                self.limit("parts in a message", MAX_PARTS, parts.len())?;
                let parts = parts.iter().enumerate();
                let place = |part| Place { message: index, part: Some(part) };
                Body::Parts(parts.map(|(at, part)| self.part(place(at), part)).collect::<Result<_, _>>()?)
            }
            other => return Err(self.field(place, "content", CONTENT, found(other))),
        };
        Ok(Message { role, body })
    }

    fn part(&mut self, place: Place, value: &Value) -> Result<Content, MessagesError> {
        let Value::Object(part) = value else {
            return Err(self.field(place, "part", "an object with `type`", kind(value)));
        };
        let Some(Value::String(tag)) = part.get("type") else {
            return Err(self.field(place, "type", "a string", found(part.get("type"))));
        };
        match tag.as_str() {
            "text" => {
                self.only(place, part, &["type", "text"])?;
                match part.get("text") {
                    Some(Value::String(text)) => Ok(Content::Text(text.clone())),
                    other => Err(self.field(place, "text", "a string", found(other))),
                }
            }
            "image_url" => {
                self.only(place, part, &["type", "image_url"])?;
                Ok(Content::Image(self.media(place, MediaKind::Image, part, &["image_url"])?))
            }
            "video_url" => {
                self.only(place, part, &["type", "video_url", "fps", "audio"])?;
                self.video(place, part, &["video_url"])
            }
            "audio_url" => {
                self.only(place, part, &["type", "audio_url"])?;
                Ok(Content::Audio(self.media(place, MediaKind::Audio, part, &["audio_url"])?))
            }
            "input_audio" => {
                self.only(place, part, &["type", "input_audio"])?;
                Ok(Content::Audio(self.input_audio(place, part.get("input_audio"))?))
            }
            "image" => {
                self.only(place, part, &["type", "image", "url", "path"])?;
                Ok(Content::Image(self.media(place, MediaKind::Image, part, &["image", "url", "path"])?))
            }
            "video" => {
                self.only(place, part, &["type", "video", "url", "path", "fps", "audio"])?;
                self.video(place, part, &["video", "url", "path"])
            }
            "audio" => {
                self.only(place, part, &["type", "audio", "url", "path"])?;
                Ok(Content::Audio(self.media(place, MediaKind::Audio, part, &["audio", "url", "path"])?))
            }
            other => Err(self.unsupported(place, format!("a part of type {}", quoted(other)))),
        }
    }

    /// A video with the rate of its frames, if it is given as `fps`, and its sound track, if there is one as `audio`.
    fn video(
        &mut self,
        place: Place,
        part: &Map<String, Value>,
        keys: &[&'static str],
    ) -> Result<Content, MessagesError> {
        let source = self.media(place, MediaKind::Video, part, keys)?;
        let fps = match part.get("fps") {
            None | Some(Value::Null) => None,
            Some(value) => match value.as_f64().and_then(FrameRate::new) {
                Some(rate) => Some(rate),
                None => return Err(self.field(place, "fps", FPS, excerpt(&value.to_string()))),
            },
        };
        let audio = match part.get("audio") {
            None | Some(Value::Null) => None,
            Some(_) => Some(self.media(place, MediaKind::Audio, part, &["audio"])?),
        };
        Ok(Content::Video(Video { source, fps, audio }))
    }

    /// OpenAI's sound: an object of `data` and `format`.
    fn input_audio(&mut self, place: Place, value: Option<&Value>) -> Result<MediaSource, MessagesError> {
        let Some(Value::Object(object)) = value else {
            return Err(self.field(place, "input_audio", "an object with `data` and `format`", found(value)));
        };
        self.only(place, object, &["data", "format"])?;
        match object.get("format") {
            Some(Value::String(format)) if AUDIO_FORMATS.contains(&format.as_str()) => {}
            Some(Value::String(format)) => {
                return Err(self.unsupported(place, format!("the audio format {}", quoted(format))));
            }
            other => return Err(self.field(place, "format", "a string such as wav or mp3", found(other))),
        }
        let Some(Value::String(data)) = object.get("data") else {
            return Err(self.field(place, "data", BASE64, found(object.get("data"))));
        };
        self.count_media()?;
        inline(data).map_err(|e| match e {
            SourceError::Data(problem) => self.field(place, "data", BASE64, format!("text that {problem}")),
            other => self.refused(place, "data", other),
        })
    }

    /// The one source among `keys`: a string, or an object with `url` (and OpenAI's `detail`, which is no concern here).
    fn media(
        &mut self,
        place: Place,
        kind: MediaKind,
        part: &Map<String, Value>,
        keys: &[&'static str],
    ) -> Result<MediaSource, MessagesError> {
        let mut given = keys.iter().filter_map(|&key| Some((key, part.get(key)?)));
        let (key, value) = given.next().ok_or_else(|| self.field(place, keys[0], SOURCE, "nothing"))?;
        if let Some((second, _)) = given.next() {
            return Err(self.field(place, key, "one source", format!("`{second}` as well")));
        }
        let url = match value {
            Value::String(url) => url,
            Value::Object(object) => {
                self.only(place, object, &["url", "detail"])?;
                match object.get("url") {
                    Some(Value::String(url)) => url,
                    other => return Err(self.field(place, "url", "a string", found(other))),
                }
            }
            other => return Err(self.field(place, key, SOURCE, found(Some(other)))),
        };
        self.count_media()?;
        source(url, kind, self.base).map_err(|e| self.refused(place, key, e))
    }

    fn count_media(&mut self) -> Result<(), MessagesError> {
        self.media += 1;
        self.limit("images, videos and sounds", MAX_MEDIA, self.media)
    }

    /// The error for what `field` gives as a source.
    fn refused(&self, place: Place, field: &'static str, e: SourceError) -> MessagesError {
        let file = self.file.to_owned();
        match e {
            SourceError::Scheme(what) => MessagesError::Unsupported { file, place, what },
            SourceError::Data(problem) => MessagesError::DataUrl { file, place, problem },
            SourceError::TooLarge { found } => {
                let what = "bytes of an inline image, video or sound";
                MessagesError::Limit { file, what, limit: MAX_INLINE_BYTES, found }
            }
            SourceError::Path(found) => MessagesError::Field { file, place, field, expected: "a path", found },
        }
    }

    fn only(&self, place: Place, object: &Map<String, Value>, known: &[&str]) -> Result<(), MessagesError> {
        match object.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(self.unsupported(place, format!("the field {}", quoted(key)))),
            None => Ok(()),
        }
    }

    fn limit(&self, what: &'static str, limit: usize, found: usize) -> Result<(), MessagesError> {
        if found > limit {
            return Err(MessagesError::Limit { file: self.file.into(), what, limit, found });
        }
        Ok(())
    }

    fn form(&self, found: &str) -> MessagesError {
        MessagesError::Form { file: self.file.into(), found: found.into() }
    }

    fn field(
        &self,
        place: Place,
        field: &'static str,
        expected: &'static str,
        found: impl Into<String>,
    ) -> MessagesError {
        MessagesError::Field { file: self.file.into(), place, field, expected, found: found.into() }
    }

    fn unsupported(&self, place: Place, what: String) -> MessagesError {
        MessagesError::Unsupported { file: self.file.into(), place, what }
    }
}

const ROLE: &str = "a lower-case word such as user";
const CONTENT: &str = "a string or a list of at least one part";
const FPS: &str = "a number above 0 and at most 1000";
const BASE64: &str = "base64 of a sound file";
/// What OpenAI and those who speak its language call the formats that are read.
const AUDIO_FORMATS: [&str; 6] = ["wav", "mp3", "flac", "ogg", "m4a", "aac"];
const SOURCE: &str = "a path or url, or an object with `url`";

/// A word of lower-case letters, with `_` or `-` inside: nothing that could spell a part of a control token's frame.
fn is_role(role: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c == '_' || c == '-';
    role.len() <= MAX_ROLE_CHARS && role.starts_with(|c: char| c.is_ascii_lowercase()) && role.chars().all(word)
}

fn found(value: Option<&Value>) -> &'static str {
    value.map_or("nothing", kind)
}
