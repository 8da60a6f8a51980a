//! The chat template of a model: a Jinja program, written by whoever published the model, that turns messages into the
//! one string the model was trained on.
//!
//! Enters: a model folder and messages. Leaves: the prompt as text, equal to what Jinja2 renders inside `transformers`.
//! Invariant: a template costs at most the budgets below, whatever it says; see [`Isolation`] for which of them hold
//! where. Media parts reach the template as `{"type": "image"}`, `{"type": "video"}` or
//! `{"type": "audio", "audio": true}`, never with their source: some templates know sounds by the key alone.

mod discover;
mod engine;
mod json;
mod python;
mod reviewed;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;

use thiserror::Error;

use crate::checkpoint::{Checkpoint, CheckpointError, FieldError, Fields};
use crate::error::{Class, Explain};
use crate::input::messages::{Body, Content, Message};
use engine::{Fault, Part, Request, Said, Turn};

pub use worker::run_worker;

/// Bytes of a template's source.
pub const MAX_SOURCE_BYTES: usize = 256 << 10;
/// Bytes of all texts of a conversation.
pub const MAX_TEXT_BYTES: usize = 4 << 20;
/// Nested macro calls, blocks and recursive loops.
pub const MAX_RECURSION: usize = 100;
/// Instructions every render may use.
pub const BASE_FUEL: u64 = 20_000;
/// Instructions more for each message and each part of one.
pub const FUEL_PER_PART: u64 = 300;
/// Bytes of output: this plus [`OUTPUT_PER_INPUT`] for each byte of source and conversation.
pub const BASE_OUTPUT_BYTES: usize = 1 << 20;
/// See [`BASE_OUTPUT_BYTES`].
pub const OUTPUT_PER_INPUT: usize = 4;
/// Address space of a worker.
pub const WORKER_MEMORY_BYTES: u64 = 256 << 20;
/// Processor time of a worker.
pub const WORKER_MILLISECONDS: u64 = 250;

/// Where a template is evaluated.
///
/// Source size, recursion, instructions and output are bounded in both. Instructions bound neither memory nor time: a
/// string doubled thirty times is a few hundred instructions. Only a process of its own bounds those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In the calling thread: for templates whose author is trusted. A hostile one can exhaust memory or the stack.
    InProcess,
    /// In a process that calls [`run_worker`], holds at most [`WORKER_MEMORY_BYTES`] of address space and ends after
    /// [`WORKER_MILLISECONDS`] of processor time.
    Worker {
        /// The program to start.
        program: PathBuf,
        /// The arguments that make it call [`run_worker`].
        arguments: Vec<String>,
    },
}

/// Whether the prompt ends with the opening of the assistant's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddGenerationPrompt {
    /// The model is to answer.
    Yes,
    /// The conversation is complete.
    No,
}

/// The files of a model folder that exist and may hold its template.
#[derive(Clone, Debug, Default)]
pub struct TemplateFiles {
    /// `chat_template.jinja`.
    pub jinja: Option<String>,
    /// `chat_template.json`.
    pub json: Option<Fields>,
    /// `tokenizer_config.json`.
    pub config: Option<Fields>,
}

/// A template and the named special tokens it may print.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    source: String,
    file: String,
    variables: BTreeMap<String, String>,
    isolation: Isolation,
}

/// Why a prompt could not be rendered. `file` is the file of the model folder that holds the template.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The model folder has no chat template.
    #[error("expected a chat template in chat_template.jinja, chat_template.json or tokenizer_config.json, found none")]
    Missing,
    /// A file cannot be read, or holds something else than a template.
    #[error(transparent)]
    File(#[from] CheckpointError),
    /// The source is no valid template.
    #[error("{file}: line {line}: {problem}")]
    Syntax {
        /// The template.
        file: String,
        /// Counted from 1; 0 when not known.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// The template refuses the conversation in its own words.
    #[error("{file}: the model's template refuses this conversation: {message}")]
    Refused {
        /// The template.
        file: String,
        /// Its words.
        message: String,
    },
    /// The template failed while it ran.
    #[error("{file}: line {line}: {problem}")]
    Render {
        /// The template.
        file: String,
        /// Counted from 1; 0 when not known.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// The template or the conversation is larger than a budget.
    #[error("{file}: more than {limit}")]
    Budget {
        /// The template.
        file: String,
        /// The budget with its unit.
        limit: String,
    },
    /// The process that evaluates templates could not be used.
    #[error("the template worker {problem}")]
    Worker {
        /// What happened.
        problem: String,
        /// The operating system's answer.
        #[source]
        source: Option<std::io::Error>,
    },
}

impl From<FieldError> for TemplateError {
    fn from(e: FieldError) -> Self {
        TemplateError::File(e.into())
    }
}

impl Explain for TemplateError {
    fn class(&self) -> Class {
        match self {
            TemplateError::File(e) => e.class(),
            TemplateError::Missing | TemplateError::Syntax { .. } => Class::Model,
            TemplateError::Render { .. } => Class::Model,
            TemplateError::Refused { .. } => Class::Input,
            TemplateError::Budget { .. } => Class::Resources,
            TemplateError::Worker { source: Some(_), .. } => Class::Io,
            TemplateError::Worker { source: None, .. } => Class::Bug,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            TemplateError::Missing => "TEMPLATE_MISSING",
            TemplateError::File(e) => e.code(),
            TemplateError::Syntax { .. } => "TEMPLATE_SYNTAX",
            TemplateError::Refused { .. } => "TEMPLATE_REFUSED",
            TemplateError::Render { .. } => "TEMPLATE_RENDER",
            TemplateError::Budget { .. } => "TEMPLATE_BUDGET",
            TemplateError::Worker { .. } => "TEMPLATE_WORKER",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            TemplateError::File(e) => e.hint(),
            TemplateError::Missing => {
                Some("a base model has none; save the template of its chat version as chat_template.jinja".into())
            }
            TemplateError::Refused { .. } => {
                Some("check the order of roles and whether this model takes images".into())
            }
            _ => None,
        }
    }
}

impl ChatTemplate {
    /// The template of a model folder: `chat_template.jinja`, else `chat_template.json`, else the field of
    /// `tokenizer_config.json` (of several named ones, `default`).
    ///
    /// # Errors
    /// No template, a file that cannot be read or has another form, a source over [`MAX_SOURCE_BYTES`] or with a
    /// syntax error.
    pub fn read(checkpoint: &Checkpoint, isolation: Isolation) -> Result<Self, TemplateError> {
        let files = TemplateFiles {
            jinja: checkpoint.text(discover::JINJA)?,
            json: checkpoint.fields(discover::JSON)?,
            config: checkpoint.fields(discover::CONFIG)?,
        };
        Self::from_files(files, isolation)
    }

    /// The same from files that were read already.
    ///
    /// # Errors
    /// No template, a field of another type, a source over [`MAX_SOURCE_BYTES`] or with a syntax error.
    pub fn from_files(files: TemplateFiles, isolation: Isolation) -> Result<Self, TemplateError> {
        let found = discover::discover(files)?;
        Self::new(found.source, &found.file, found.variables, isolation)
    }

    /// A template from its source; `file` names it in errors, `variables` are the named special tokens (`bos_token`, …).
    ///
    /// # Errors
    /// A source over [`MAX_SOURCE_BYTES`] or, in process, with a syntax error.
    pub fn new(
        source: String,
        file: &str,
        variables: BTreeMap<String, String>,
        isolation: Isolation,
    ) -> Result<Self, TemplateError> {
        let isolation = if reviewed::is_reviewed(&source) { Isolation::InProcess } else { isolation };
        let template = Self { source, file: file.into(), variables, isolation };
        if template.source.len() > MAX_SOURCE_BYTES {
            return Err(template.error(Fault::budget(format!("{MAX_SOURCE_BYTES} bytes of source"))));
        }
        if template.isolation == Isolation::InProcess {
            engine::check(&template.source).map_err(|fault| template.error(fault))?;
        }
        Ok(template)
    }

    /// The value of a named special token such as `bos_token`.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The template's source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The file of the model folder it was found in.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The prompt of `messages`.
    ///
    /// # Errors
    /// The template fails, refuses, or passes a budget.
    pub fn render(&self, messages: &[Message], add: AddGenerationPrompt) -> Result<String, TemplateError> {
        let request = Request {
            source: self.source.clone(),
            variables: self.variables.clone(),
            messages: messages.iter().map(turn).collect(),
            add_generation_prompt: add == AddGenerationPrompt::Yes,
            unix_seconds: python::unix_seconds_now(),
        };
        if request.text_bytes() > MAX_TEXT_BYTES {
            return Err(self.error(Fault::budget(format!("{MAX_TEXT_BYTES} bytes of text"))));
        }
        let rendered = match &self.isolation {
            Isolation::InProcess => engine::render(&request),
            Isolation::Worker { program, arguments } => worker::render(program, arguments, &request)?,
        };
        rendered.map_err(|fault| self.error(fault))
    }

    fn error(&self, fault: Fault) -> TemplateError {
        let file = self.file.clone();
        match fault {
            Fault::Syntax { line, problem } => TemplateError::Syntax { file, line, problem },
            Fault::Render { line, problem } => TemplateError::Render { file, line, problem },
            Fault::Refused { message } => TemplateError::Refused { file, message },
            Fault::Budget { limit } => TemplateError::Budget { file, limit },
        }
    }
}

fn turn(message: &Message) -> Turn {
    let part = |content: &Content| match content {
        Content::Text(text) => Part { text: Some(text.clone()), ..Part::of("text") },
        Content::Image(_) => Part::of("image"),
        Content::Video(_) => Part::of("video"),
        Content::Audio(_) => Part { audio: Some(true), ..Part::of("audio") },
    };
    let content = match &message.body {
        Body::Plain(text) => Said::Plain(text.clone()),
        Body::Parts(parts) => Said::Parts(parts.iter().map(part).collect()),
    };
    Turn { role: message.role.clone(), content }
}
