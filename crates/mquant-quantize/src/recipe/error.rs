//! Why a recipe cannot be followed.

use thiserror::Error;

use super::{PRESETS, Place};
use mquant_model::error::{Class, Explain, io_class};

/// Why a recipe cannot be followed. Lines, columns and steps are counted from 1.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("{file}: cannot be read")]
    Io {
        /// The recipe file.
        file: String,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The file is longer than is read.
    #[error("{file}: expected at most {limit} bytes, found more")]
    TooLong {
        /// The recipe file.
        file: String,
        /// Bytes.
        limit: u64,
    },
    /// The file is not text.
    #[error("{file}: expected UTF-8 text, found another byte at {at}")]
    NotText {
        /// The recipe file.
        file: String,
        /// The first byte that is none.
        at: usize,
    },
    /// Broken TOML, an unknown or missing field, or a value of a wrong type.
    #[error("{place}: {problem}")]
    Syntax {
        /// Where.
        place: Box<Place>,
        /// What was expected and found.
        problem: String,
    },
    /// A value out of its range.
    #[error("{place}: {field}: expected {expected}, found {found}")]
    Range {
        /// Where.
        place: Box<Place>,
        /// The field.
        field: &'static str,
        /// Its range.
        expected: &'static str,
        /// Its value.
        found: String,
    },
    /// A field that contradicts another of its table.
    #[error("{place}: {field}: expected {expected}, found {found}")]
    Conflict {
        /// Where.
        place: Box<Place>,
        /// The field.
        field: &'static str,
        /// What the other allows.
        expected: String,
        /// What it says.
        found: String,
    },
    /// A pattern or tower that a step names and the model has not.
    #[error("{place}: {field}: \"{found}\" matches no site of the model, which has {known}")]
    NoMatch {
        /// Where.
        place: Box<Place>,
        /// `sites` or `towers`.
        field: &'static str,
        /// The pattern or tower.
        found: String,
        /// What there is.
        known: String,
    },
    /// A site that a step cannot be done to.
    #[error("{place}: expected {expected}, found {found}")]
    Site {
        /// Where.
        place: Box<Place>,
        /// Which sites it can be done to.
        expected: &'static str,
        /// The site.
        found: String,
    },
    /// Steps in an order that would change what the model computes, or undo each other.
    #[error("{place}: {subject}: expected {expected}, found {found}")]
    Order {
        /// Where.
        place: Box<Place>,
        /// The tower or site it is about.
        subject: String,
        /// What must have been done, or not yet.
        expected: &'static str,
        /// What has been done.
        found: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// A step that is done twice, or has no effect because a later one decides its sites again.
    #[error("{place}: {subject}: expected to be done once, found it again in step {again}")]
    Duplicate {
        /// Where.
        place: Box<Place>,
        /// The tower or site it is about.
        subject: String,
        /// The step, counted from 1.
        again: usize,
    },
    /// No preset of this name.
    #[error("there is no recipe {found:?}: expected a file, or one of {}", preset_names())]
    Preset {
        /// The name.
        found: String,
    },
}

fn preset_names() -> String {
    PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", ")
}

impl Explain for RecipeError {
    fn class(&self) -> Class {
        match self {
            RecipeError::Io { source, .. } => io_class(source, Class::Input),
            RecipeError::Preset { .. } => Class::Usage,
            _ => Class::Input,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            RecipeError::Io { .. } => "RECIPE_IO",
            RecipeError::TooLong { .. } => "RECIPE_LENGTH",
            RecipeError::NotText { .. } => "RECIPE_TEXT",
            RecipeError::Syntax { .. } => "RECIPE_SYNTAX",
            RecipeError::Range { .. } => "RECIPE_RANGE",
            RecipeError::Conflict { .. } => "RECIPE_CONFLICT",
            RecipeError::NoMatch { .. } => "RECIPE_NO_MATCH",
            RecipeError::Site { .. } => "RECIPE_SITE",
            RecipeError::Order { .. } => "RECIPE_ORDER",
            RecipeError::Duplicate { .. } => "RECIPE_DUPLICATE",
            RecipeError::Preset { .. } => "RECIPE_UNKNOWN",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            RecipeError::Order { hint, .. } => hint,
            RecipeError::Syntax { .. } => "`mquant recipes NAME` prints a recipe to begin with",
            RecipeError::NoMatch { .. } => "`mquant inspect MODEL` lists the sites of a model",
            RecipeError::Duplicate { .. } => "leave out one of the two steps, or the sites they share",
            RecipeError::Conflict { .. } => "leave out the field, or change what it contradicts",
            RecipeError::Preset { .. } => "`mquant recipes` lists what there is",
            RecipeError::Io { .. }
            | RecipeError::TooLong { .. }
            | RecipeError::NotText { .. }
            | RecipeError::Range { .. }
            | RecipeError::Site { .. } => return None,
        };
        Some(hint.to_owned())
    }
}
