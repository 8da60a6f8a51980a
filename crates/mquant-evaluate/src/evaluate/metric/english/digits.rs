//! Whole numbers of any length, as their decimal digits.

use crate::evaluate::metric::python_text::digit;

/// A number while it is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// Digits without leading zeros.
    Whole(String),
    /// Digits as they were said, with leading zeros or a point.
    Said(String),
}

impl Number {
    pub(super) fn text(&self) -> &str {
        let (Number::Whole(text) | Number::Said(text)) = self;
        text
    }

    /// As text; nothing of 0, which Python takes for false.
    pub(super) fn text_unless_zero(&self) -> &str {
        match self {
            Number::Whole(digits) if digits == "0" => "",
            other => other.text(),
        }
    }

    /// Whether it is a multiple of 10 to that power.
    fn is_round(digits: &str, power: usize) -> bool {
        digits == "0" || (digits.len() > power && digits[digits.len() - power..].bytes().all(|b| b == b'0'))
    }

    /// The number with a smaller one said after it: added where it ends in as many zeros, else its digits follow.
    pub(super) fn then(&self, small: u32) -> Self {
        let said = small.to_string();
        let places = said.len();
        match self {
            Number::Whole(digits) if digits == "0" => Number::Whole(said),
            Number::Whole(digits) if Self::is_round(digits, places) => {
                Number::Whole(format!("{}{said}", &digits[..digits.len() - places]))
            }
            _ => self.followed_by(&said),
        }
    }

    /// The digits with others after them.
    pub(super) fn followed_by(&self, digits: &str) -> Self {
        Number::Said(format!("{}{digits}", self.text()))
    }

    /// The number with 10 to that power said after it: its last three digits are what is multiplied. None of what was said
    /// and is no whole number afterwards.
    pub(super) fn times(&self, power: usize) -> Option<String> {
        match self {
            Number::Said(text) => shifted(text, power),
            Number::Whole(digits) => {
                let (before, last) = digits.split_at(digits.len().saturating_sub(3));
                Some(sum(&format!("{before}000"), &format!("{last}{}", "0".repeat(power))))
            }
        }
    }
}

/// A decimal number times 10 to that power; None if it is none, or not whole afterwards.
pub(super) fn shifted(text: &str, power: usize) -> Option<String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let ascii = |c: char| char::from_digit(digit(c)?, 10);
    let whole: String = whole.chars().map(ascii).collect::<Option<_>>()?;
    let part: String = part.chars().map(ascii).collect::<Option<_>>()?;
    let part = part.trim_end_matches('0');
    if text.chars().all(|c| c == '.') || part.len() > power {
        return None;
    }
    Some(trimmed(&format!("{whole}{part}{}", "0".repeat(power - part.len()))))
}

/// Digits without leading zeros.
fn trimmed(digits: &str) -> String {
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
}

/// The sum of two numbers.
fn sum(a: &str, b: &str) -> String {
    let places = |digits: &str| digits.bytes().rev().map(|b| b - b'0').collect::<Vec<u8>>();
    let (a, b) = (places(a), places(b));
    let (mut sum, mut carry) = (Vec::new(), 0);
    for place in 0..a.len().max(b.len()) {
        let here = a.get(place).unwrap_or(&0) + b.get(place).unwrap_or(&0) + carry;
        sum.push(char::from(b'0' + here % 10));
        carry = here / 10;
    }
    sum.push(char::from(b'0' + carry));
    trimmed(&sum.into_iter().rev().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_as_they_are_said() {
        let whole = |digits: &str| Number::Whole(digits.to_owned());
        assert_eq!(whole("20").then(5), whole("25"));
        assert_eq!(whole("100").then(15), whole("115"));
        assert_eq!(whole("20").then(15), Number::Said("2015".to_owned()));
        assert_eq!(whole("0").then(15), whole("15"));
        assert_eq!(whole("5").then(5), Number::Said("55".to_owned()));
        assert_eq!(whole("21005").times(3), Some("26000".to_owned()));
        assert_eq!(whole("999999").times(3), Some("1998000".to_owned()));
        assert_eq!(whole("2").times(33), Some(format!("2{}", "0".repeat(33))));
        assert_eq!(whole("0").times(6), Some("0".to_owned()));
        for (text, power, expected) in [
            ("2.5", 6, Some("2500000")),
            ("2.55", 1, None),
            ("5.0", 0, Some("5")),
            ("١٢", 0, Some("12")),
            ("007", 0, Some("7")),
            ("1.", 0, Some("1")),
            (".5", 1, Some("5")),
            (".", 1, None),
            ("", 1, None),
            ("1.2.3", 5, None),
            ("1.$5", 5, None),
        ] {
            assert_eq!(shifted(text, power).as_deref(), expected, "{text}");
        }
    }
}
