//! Where in a recipe file something stands.

use std::fmt;
use std::ops::Range;

/// A place in a recipe, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file; what a program made has the recipe's name.
    pub file: String,
    /// Line and column, where there is a text.
    pub at: Option<(usize, usize)>,
    /// The step and what it does.
    pub step: Option<(usize, &'static str)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        match self.step {
            Some((step, does)) => write!(f, ": step {step} ({does})"),
            None => Ok(()),
        }
    }
}

/// Line and column, in characters, of a byte of `text`.
pub(super) fn line_and_column(text: &str, span: Option<Range<usize>>) -> Option<(usize, usize)> {
    let at = span?.start.min(text.len());
    let before = text.get(..at)?;
    let line = before.rsplit('\n').next().unwrap_or_default();
    Some((before.matches('\n').count() + 1, line.chars().count() + 1))
}

/// Where the steps of a recipe were written. All origins are equal: they are no part of what a recipe says.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    pub(super) file: String,
    /// Line and column of each step.
    pub(super) steps: Vec<(usize, usize)>,
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let text = "a\nüx\r\n";
        let at = |byte: usize| line_and_column(text, Some(byte..byte));
        assert_eq!([0, 1, 2, 4, 7].map(at), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)].map(Some));
        assert_eq!(at(99), Some((3, 1)));
        assert_eq!((at(3), line_and_column(text, None)), (None, None));
    }
}
