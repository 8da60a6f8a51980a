//! What every error of this library can say of itself, so that a program can choose an exit code and a hint.

use std::error::Error as StdError;
use std::io;

/// Whose fault an error is, and so which exit code the command line gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The command was called wrongly: exit code 2.
    Usage,
    /// The model folder is broken or inconsistent: 3.
    Model,
    /// An image, prompt, message or template input is wrong: 4.
    Input,
    /// Well-formed, but nothing here handles it: 5.
    Unsupported,
    /// Too little memory, context or budget: 6.
    Resources,
    /// NaN or infinity where numbers were expected: 7.
    Numeric,
    /// A defect of this program: 70.
    Bug,
    /// The operating system refused to read or write: 74.
    Io,
    /// Another run holds the lock: 75.
    Locked,
}

impl Class {
    /// The documented exit code of the command line.
    pub fn exit_code(self) -> u8 {
        match self {
            Class::Usage => 2,
            Class::Model => 3,
            Class::Input => 4,
            Class::Unsupported => 5,
            Class::Resources => 6,
            Class::Numeric => 7,
            Class::Bug => 70,
            Class::Io => 74,
            Class::Locked => 75,
        }
    }
}

/// An error that knows its class, a stable code, and perhaps what to do about it. Its message names the file, tensor or
/// site, what was expected and what was found, and reads on after "failed to …:".
pub trait Explain: StdError + Send + Sync + 'static {
    /// Whose fault it is.
    fn class(&self) -> Class;

    /// A stable machine-readable code such as `ST_HEADER_LEN`.
    fn code(&self) -> &'static str;

    /// What the user can do, in one sentence.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// Any error of this library.
#[derive(Debug)]
pub struct Error(Box<dyn Explain>);

/// Result of this library's top-level functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        self.0.class()
    }

    /// A stable machine-readable code.
    pub fn code(&self) -> &'static str {
        self.0.code()
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        self.0.hint()
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

impl<E: Explain> From<E> for Error {
    fn from(e: E) -> Self {
        Self(Box::new(e))
    }
}

/// Class of an operating-system error met while reading a user's file: missing and wrong kinds of files are `otherwise`
/// (the model's or the input's fault), the rest is the system's.
pub fn io_class(e: &io::Error, otherwise: Class) -> Class {
    match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => otherwise,
        _ => Class::Io,
    }
}
