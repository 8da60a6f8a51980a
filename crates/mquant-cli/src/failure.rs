//! Why a command fails, and how one ends that does not.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use mquant::kernels::{UnknownLevel, Unsupported};
use mquant::{Class, Explain};
use serde::Serialize;
use thiserror::Error;

/// The variable that stands for `--cpu`.
pub(crate) const CPU_VARIABLE: &str = "MQUANT_CPU";

/// What can go wrong in the command itself.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// Stdout cannot be written.
    #[error("stdout cannot be written")]
    Stdout {
        #[source]
        source: io::Error,
    },
    /// Stdin or another file of the user cannot be read.
    #[error("{file} cannot be read")]
    Read {
        file: String,
        #[source]
        source: io::Error,
    },
    /// A text file is not text.
    #[error("{file} is not UTF-8 text: expected UTF-8, found another byte at {at}")]
    NotText { file: String, at: usize },
    /// A file is longer than is read.
    #[error("{file} is too long: at most {limit} bytes")]
    TooLong { file: String, limit: u64 },
    /// Nothing is asked.
    #[error("it is empty")]
    EmptyPrompt,
    /// There is no model to fall back to.
    #[error("there is no bundled demo model: expected a folder {} in one of {searched} places", .looked_for.display())]
    NoDemoModel { looked_for: PathBuf, searched: usize },
    /// There is no demo model that hears.
    #[error("there is no demo model that hears: expected a folder {}", .looked_for.display())]
    NoOmniModel { looked_for: PathBuf },
    /// An argument that only its command can judge.
    #[error("{argument} is {found}, expected {expected}")]
    Argument { argument: &'static str, found: String, expected: String },
    /// The environment names no instruction level.
    #[error("{}: {source}", CPU_VARIABLE)]
    CpuLevel {
        #[source]
        source: UnknownLevel,
    },
    /// Instructions were asked for that this CPU has not.
    #[error("{source}")]
    CpuUnsupported {
        #[source]
        source: Unsupported,
    },
    /// The system lacks something the command cannot do without.
    #[error("the system refused {what}")]
    System {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    /// An expectation of this program does not hold.
    #[error("{problem}")]
    Defect { problem: String },
}

impl Explain for CliError {
    fn class(&self) -> Class {
        match self {
            CliError::Stdout { .. } | CliError::System { .. } => Class::Io,
            CliError::Read { source, .. } => mquant::error::io_class(source, Class::Input),
            CliError::NotText { .. } | CliError::TooLong { .. } | CliError::EmptyPrompt => Class::Input,
            CliError::NoDemoModel { .. } | CliError::NoOmniModel { .. } => Class::Model,
            CliError::Argument { .. } | CliError::CpuLevel { .. } => Class::Usage,
            CliError::CpuUnsupported { .. } => Class::Unsupported,
            CliError::Defect { .. } => Class::Bug,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            CliError::Stdout { .. } => "STDOUT",
            CliError::Read { .. } => "READ",
            CliError::NotText { .. } => "NOT_TEXT",
            CliError::TooLong { .. } => "TOO_LONG",
            CliError::EmptyPrompt => "PROMPT_EMPTY",
            CliError::NoDemoModel { .. } | CliError::NoOmniModel { .. } => "DEMO_MODEL_MISSING",
            CliError::Argument { .. } => "ARGUMENT",
            CliError::CpuLevel { .. } => "CPU_LEVEL",
            CliError::CpuUnsupported { .. } => "CPU_UNSUPPORTED",
            CliError::System { .. } => "SYSTEM",
            CliError::Defect { .. } => "BUG",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            CliError::NoDemoModel { .. } => {
                Some("name a model folder, or set MQUANT_DEMO_MODEL to the folder of the demo model".to_owned())
            }
            CliError::NoOmniModel { .. } => {
                Some("leave --omni out, or set MQUANT_DEMO_OMNI_MODEL to the folder of the model".to_owned())
            }
            CliError::CpuUnsupported { .. } => Some("`mquant kernels` lists what there is".to_owned()),
            CliError::EmptyPrompt => Some("give --prompt, or a question on stdin".to_owned()),
            CliError::Defect { .. } => Some("please report it with the command that led here".to_owned()),
            _ => None,
        }
    }
}

/// An error and what was being done: "failed to `doing`: `error`".
#[derive(Debug)]
pub(crate) struct Failure {
    doing: String,
    error: mquant::Error,
    /// Whether stdout was closed by its reader.
    pub(crate) reader_left: bool,
}

impl Failure {
    pub(crate) fn new(doing: impl Into<String>, error: impl Into<mquant::Error>) -> Self {
        let error = error.into();
        let source = error.source().and_then(|e| e.downcast_ref::<io::Error>());
        let reader_left = error.code() == "STDOUT" && source.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe);
        Self { doing: doing.into(), error, reader_left }
    }

    /// In one line, for what goes on without it.
    pub(crate) fn told(&self) -> String {
        format!("failed to {}: {}", self.doing, self.error)
    }

    /// Whether it is stdout that cannot be written.
    pub(crate) fn is_of_stdout(&self) -> bool {
        self.error.code() == "STDOUT"
    }

    /// What is printed of it.
    pub(crate) fn report(&self) -> ErrorReport {
        let message = format!("failed to {}: {}", self.doing, chain(&self.error));
        let exit_code = self.error.class().exit_code();
        ErrorReport { code: self.error.code(), message, hint: self.error.hint(), exit_code }
    }
}

/// Says what was being done when an error came up.
pub(crate) trait Doing<T> {
    /// Completes "failed to …".
    fn doing(self, what: impl Into<String>) -> Result<T, Failure>;
}

impl<T, E: Into<mquant::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|e| Failure::new(what, e))
    }
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// All of it.
    Complete,
    /// All of it, and what was compared differs; that has been printed.
    Differs,
    /// A signal ended it early; what there was has been printed.
    Interrupted {
        /// 130 or 143.
        exit_code: u8,
    },
}

/// What is printed of an error.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorReport {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) exit_code: u8,
}

/// The message of an error and of its sources, those that it does not spell itself.
fn chain(error: &mquant::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let text = e.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = e.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closed_stdout_is_a_success() {
        let failure = |kind: io::ErrorKind| Failure::new("print", CliError::Stdout { source: kind.into() });
        assert!(failure(io::ErrorKind::BrokenPipe).reader_left);
        assert!(!failure(io::ErrorKind::StorageFull).reader_left);
        let other = CliError::Read { file: "stdin".to_owned(), source: io::ErrorKind::BrokenPipe.into() };
        assert!(!Failure::new("read", other).reader_left);
    }

    #[test]
    fn sources_are_told_once() {
        let source = io::Error::other("the disk is on fire");
        let report = Failure::new("read the prompt", CliError::Read { file: "stdin".to_owned(), source }).report();
        assert_eq!(report.message, "failed to read the prompt: stdin cannot be read: the disk is on fire");
        assert_eq!((report.code, report.exit_code), ("READ", 74));
    }
}
