//! Places in a text as Python's `re` finds them: boundaries of words, and literals between them.

use crate::evaluate::metric::python_text::is_space;

/// `\w`.
fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// `\b` at that byte.
pub(super) fn is_boundary(text: &str, at: usize) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(is_word);
    is_word(text[..at].chars().next_back()) != is_word(text[at..].chars().next())
}

/// Where a literal must begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// At a boundary.
    Word,
    /// Anywhere.
    Anywhere,
}

/// Every place of a literal that ends at a boundary, left to right, as something else.
pub(super) fn replaced(text: &str, begin: Begin, literal: &str, other: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut kept = 0;
    for (at, _) in text.match_indices(literal) {
        let end = at + literal.len();
        if (begin == Begin::Anywhere || is_boundary(text, at)) && is_boundary(text, end) {
            out.push_str(&text[kept..at]);
            out.push_str(other);
            kept = end;
        }
    }
    out.push_str(&text[kept..]);
    out
}

/// The text with white space of any length as one space.
pub(super) fn with_single_spaces(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = false;
    for c in text.chars() {
        let space = is_space(c);
        if !(space && before) {
            out.push(if space { ' ' } else { c });
        }
        before = space;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole() {
        assert_eq!(replaced("um umm um, hum um_ um", Begin::Word, "um", ""), " umm , hum um_ ");
        assert_eq!(replaced("don't n'ty can't", Begin::Anywhere, "n't", " not"), "do not n'ty ca not");
        assert_eq!(replaced("stst st", Begin::Word, "st", "x"), "stst x");
        assert_eq!(with_single_spaces(" a\u{a0}\n b\u{1c}"), " a b ");
    }
}
