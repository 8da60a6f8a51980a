//! Punctuation, symbols and diacritics.

use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization_alignments::UnicodeNormalization;

use super::words::with_single_spaces;
use crate::evaluate::metric::python_text::digit;

/// Signs that belong to numbers.
const KEPT: [char; 6] = ['.', '%', '$', '¢', '€', '£'];

/// Letters that have a second form and no decomposition.
const LETTERS: [(char, &str); 16] = [
    ('œ', "oe"),
    ('Œ', "OE"),
    ('ø', "o"),
    ('Ø', "O"),
    ('æ', "ae"),
    ('Æ', "AE"),
    ('ß', "ss"),
    ('ẞ', "SS"),
    ('đ', "d"),
    ('Đ', "D"),
    ('ð', "d"),
    ('Ð', "D"),
    ('þ', "th"),
    ('Þ', "th"),
    ('ł', "l"),
    ('Ł', "L"),
];

/// Diacritics.
static MARKS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\p{Mn}+").expect("it is well formed"));
/// Other marks, symbols, punctuation.
static SIGNS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{M}\p{S}\p{P}&&[^.%$¢€£]]").expect("it is well formed"));

/// `text` with a space for each sign that belongs to no number, and letters without diacritics.
pub(super) fn without_signs(text: &str) -> String {
    let text = without_stops(&without_commas(text));
    let mut plain = String::with_capacity(text.len());
    for (c, _) in text.nfkd() {
        match LETTERS.iter().find(|(letter, _)| *letter == c) {
            Some((_, other)) => plain.push_str(other),
            None => plain.push(c),
        }
    }
    SIGNS.replace_all(&MARKS.replace_all(&plain, ""), " ").into_owned()
}

/// Commas between digits go; a digit is looked at once, so that `1,2,3` keeps the second.
fn without_commas(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let is_digit = |at: usize| chars.get(at).is_some_and(|c| digit(*c).is_some());
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    while let Some(c) = chars.get(at) {
        out.push(*c);
        if is_digit(at) && chars.get(at + 1) == Some(&',') && is_digit(at + 2) {
            out.push(chars[at + 2]);
            at += 2;
        }
        at += 1;
    }
    out
}

/// Full stops that no digit follows become spaces; the character after one is looked at once, so that `..` keeps the second.
fn without_stops(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            _ if c != '.' => out.push(c),
            Some(next) if next.is_ascii_digit() => out.push(c),
            _ => {
                out.push(' ');
                out.extend(chars.next());
            }
        }
    }
    out
}

/// `text` without signs of numbers that stand beside none, and with single spaces.
pub(super) fn without_lone_signs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(next) if c != '%' && KEPT.contains(&c) && !next.is_ascii_digit() => {
                out.push(' ');
                out.extend(chars.next());
            }
            _ => out.push(c),
        }
    }
    let text = std::mem::take(&mut out);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if !c.is_ascii_digit() && chars.next_if_eq(&'%').is_some() {
            out.push(' ');
        }
    }
    with_single_spaces(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_numbers_stay() {
        for (text, expected) in [
            ("a-b, c! $5.50 (3%)", "a b  c  $5.50  3% "),
            ("1,2,3 1,000", "12 3 1000"),
            ("a.. b. 1.5 .", "a . b  1.5  "),
            ("é e\u{301} ﬁ ½ œß", "e e fi 1 2 oess"),
        ] {
            assert_eq!(without_signs(text), expected, "{text}");
        }
        assert_eq!(without_lone_signs("a% 5% $ $5 . .5 %% 5"), "a 5% $5 .5 % 5");
    }
}
