//! How a command ends: exit codes, error messages, and the one message of a defect.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | success; also when the reader of stdout went away |
//! | 2 | the command was called wrongly |
//! | 3 | the model folder is broken, or not as it was written |
//! | 4 | an image, prompt or messages file is wrong |
//! | 5 | well-formed, but not supported |
//! | 6 | too little memory, context or budget |
//! | 7 | not a finite number |
//! | 70 | a defect of `mquant` |
//! | 74 | the operating system refused to read or write |
//! | 75 | another run holds the lock |
//! | 130, 143 | interrupted by SIGINT, SIGTERM |

use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error as _;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use mquant::kernels::{UnknownLevel, Unsupported};
use mquant::{Class, Explain};
use serde::Serialize;
use thiserror::Error;

use crate::output::{Output, talk};

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
    /// An argument that only its command can judge.
    #[error("{argument} is {found}, expected {expected}")]
    Argument { argument: &'static str, found: String, expected: String },
    /// The environment names no instruction level.
    #[error("{}: {source}", crate::args::CPU_VARIABLE)]
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
            CliError::NoDemoModel { .. } => Class::Model,
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
            CliError::NoDemoModel { .. } => "DEMO_MODEL_MISSING",
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
    reader_left: bool,
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

    fn report(&self) -> ErrorReport {
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

/// Tells a failure that does not end the command.
pub(crate) fn complain(failure: &Failure) {
    tell(&failure.report());
}

fn tell(report: &ErrorReport) {
    talk(&format!("error: {} [{}]", report.message, report.code));
    if let Some(hint) = &report.hint {
        talk(&format!("hint: {hint}"));
    }
}

/// Prints an error on stderr, and with `--json` an object on stdout.
pub(crate) fn print_error(report: &ErrorReport, output: &Output) {
    tell(report);
    if output.is_json() {
        let _ = output.object("error/1", report);
    }
}

/// Prints a failure, and gives the exit code.
pub(crate) fn report(result: Result<Done, Failure>, output: &Output) -> ExitCode {
    match result {
        Ok(Done::Complete) => ExitCode::SUCCESS,
        Ok(Done::Differs) => ExitCode::from(Class::Model.exit_code()),
        Ok(Done::Interrupted { exit_code }) => ExitCode::from(exit_code),
        Err(failure) if failure.reader_left => ExitCode::SUCCESS,
        Err(failure) => {
            let report = failure.report();
            print_error(&report, output);
            ExitCode::from(report.exit_code)
        }
    }
}

/// What the newest panic said, and where it came from if `RUST_BACKTRACE` asks. The library contains panics of the decoders
/// it calls, so a panic alone is not yet worth a message.
static LAST_PANIC: Mutex<(String, Option<String>)> = Mutex::new((String::new(), None));

/// Runs the whole command; a panic that reaches this is one clear message and exit code 70.
pub(crate) fn catch_panics(f: impl FnOnce() -> ExitCode) -> ExitCode {
    panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let words = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
        let said: String = words.unwrap_or("a panic without words").chars().take(200).collect();
        let place = info.location().map_or_else(String::new, |at| {
            let file = at.file().rsplit('/').take(3).collect::<Vec<_>>();
            format!(" ({}:{})", file.into_iter().rev().collect::<Vec<_>>().join("/"), at.line())
        });
        let trace = Backtrace::capture();
        let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
        *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = (said + &place, trace);
    }));
    panic::catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| {
        let (said, trace) = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let problem = format!("this is a bug in mquant {}: {said}", env!("CARGO_PKG_VERSION"));
        let report = Failure::new("go on", CliError::Defect { problem }).report();
        print_error(&report, &Output::new(crate::args::format_asked_for()));
        if let Some(trace) = trace {
            talk(&trace);
        }
        ExitCode::from(report.exit_code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_exit_code_70_and_a_recorded_message() {
        let code = catch_panics(|| panic!("index {} is out of bounds", 7));
        assert_eq!(code, ExitCode::from(70));
        let said = LAST_PANIC.lock().unwrap().0.clone();
        assert!(said.starts_with("index 7 is out of bounds (") && said.contains("exit.rs:"), "{said}");
        let _ = panic::take_hook();
    }

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
