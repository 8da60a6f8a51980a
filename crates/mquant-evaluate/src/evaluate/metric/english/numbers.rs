//! Spelled numbers in digits, word by word.

use super::digits::{Number, shifted};
use super::number_words::{Means, means};
use super::words::is_boundary;
use crate::evaluate::metric::python_text::{digit, is_space, words};

/// Signs that may stand before a number.
const CURRENCIES: [char; 4] = ['£', '€', '$', '¢'];

/// `text`, in lower case and without punctuation, with its numbers in digits: `twenty one` as `21`, `two dollars` as `$2`.
pub(super) fn in_digits(text: &str) -> String {
    let text = prepared(text);
    let words: Vec<&str> = words(&text).collect();
    let mut speech = Speech::default();
    let mut at = 0;
    while at < words.len() {
        let place = Place { before: at.checked_sub(1).map(|i| words[i]), word: words[at], next: words.get(at + 1) };
        at += match speech.hear(place) {
            Heard::One => 1,
            Heard::Two => 2,
        };
    }
    speech.end();
    finished(&speech.out.join(" "))
}

/// A word between two others.
#[derive(Clone, Copy)]
struct Place<'a> {
    before: Option<&'a str>,
    word: &'a str,
    next: Option<&'a &'a str>,
}

impl Place<'_> {
    fn before(self) -> Option<Means> {
        self.before.and_then(means)
    }

    fn next(self) -> Option<Means> {
        self.next.and_then(|word| means(word))
    }

    /// Whether the next word is a number in digits.
    fn is_next_numeric(self) -> bool {
        self.next.is_some_and(|word| is_numeric(word))
    }
}

/// How many words were heard.
enum Heard {
    One,
    Two,
}

/// What was heard up to now.
#[derive(Default)]
struct Speech {
    out: Vec<String>,
    /// A sign for what is said next.
    sign: Option<char>,
    number: Option<Number>,
}

impl Speech {
    /// Says something; the number up to now is forgotten.
    fn say(&mut self, text: &str) {
        let sign = self.sign.take().map(String::from).unwrap_or_default();
        self.number = None;
        self.out.push(sign + text);
    }

    /// Says the number up to now.
    fn end(&mut self) {
        if let Some(number) = self.number.take() {
            self.say(number.text());
        }
    }

    fn hear(&mut self, place: Place<'_>) -> Heard {
        let word = place.word;
        let currency = word.chars().next().filter(|c| CURRENCIES.contains(c));
        let plain = currency.map_or(word, |sign| &word[sign.len_utf8()..]);
        if is_numeric(plain) {
            self.hear_digits(word, currency, plain);
            return Heard::One;
        }
        let Some(meaning) = means(word) else {
            self.end();
            self.say(word);
            return Heard::One;
        };
        match meaning {
            Means::Zero => {
                let before = self.number.as_ref().map_or("", Number::text_unless_zero);
                self.number = Some(Number::Said(format!("{before}0")));
            }
            Means::Small(value, ending) => self.hear_part(with_small(self.number.as_ref(), value, place), ending),
            Means::Tens(value, ending) => {
                let number = self.number.as_ref().map_or_else(|| whole(value), |number| number.then(value));
                self.hear_part(number, ending);
            }
            Means::Power(power, ending) => self.hear_power(power, ending),
            Means::Before(sign) => {
                self.end();
                if place.next().is_some() || place.is_next_numeric() { self.sign = Some(sign) } else { self.say(word) }
            }
            Means::After(sign) => match self.number.is_some() {
                true => {
                    self.sign = Some(sign);
                    self.end();
                }
                false => self.say(word),
            },
            Means::Percent | Means::Per => return self.hear_percent(meaning, place),
            Means::And | Means::Repeat(_) | Means::Point => return self.hear_special(meaning, place),
        }
        Heard::One
    }

    fn hear_digits(&mut self, word: &str, currency: Option<char>, plain: &str) {
        match &self.number {
            // Decimals, and the parts of an address of the Internet.
            Some(number @ Number::Said(text)) if text.ends_with('.') => {
                self.number = Some(number.followed_by(word));
                return;
            }
            _ => self.end(),
        }
        self.sign = currency.or(self.sign);
        self.number = Some(shifted(plain, 0).map_or_else(|| Number::Said(plain.to_owned()), Number::Whole));
    }

    /// Takes in the number with a new part; one with an ending is said at once.
    fn hear_part(&mut self, number: Number, ending: &str) {
        match ending {
            "" => self.number = Some(number),
            ending => self.say(&format!("{}{ending}", number.text())),
        }
    }

    fn hear_power(&mut self, power: usize, ending: &str) {
        let alone = || format!("1{}", "0".repeat(power));
        let product = match &self.number {
            None => alone(),
            Some(number) => number.times(power).unwrap_or_else(|| {
                self.end();
                alone()
            }),
        };
        self.hear_part(Number::Whole(product), ending);
    }

    fn hear_percent(&mut self, meaning: Means, place: Place<'_>) -> Heard {
        let Some(number) = &self.number else {
            self.say(place.word);
            return Heard::One;
        };
        let with_sign = format!("{}%", number.text());
        match meaning {
            Means::Percent => self.say(&with_sign),
            _ if place.next == Some(&"cent") => {
                self.say(&with_sign);
                return Heard::Two;
            }
            _ => {
                self.end();
                self.say(place.word);
            }
        }
        Heard::One
    }

    fn hear_special(&mut self, meaning: Means, place: Place<'_>) -> Heard {
        let said = |speech: &mut Self| {
            speech.end();
            speech.say(place.word);
            Heard::One
        };
        let next = place.next();
        if next.is_none() && !place.is_next_numeric() {
            return said(self);
        }
        match meaning {
            Means::And if !matches!(place.before(), Some(Means::Power(_, ""))) => return said(self),
            Means::Repeat(times) => {
                let value = match next {
                    Some(Means::Small(value, "")) => value,
                    Some(Means::Zero) => 0,
                    _ => return said(self),
                };
                let before = self.number.as_ref().map_or("", Number::text_unless_zero);
                self.number = Some(Number::Said(format!("{before}{}", value.to_string().repeat(times))));
                return Heard::Two;
            }
            Means::Point if is_digit_word(next) || place.is_next_numeric() => {
                let before = self.number.as_ref().map_or("", Number::text_unless_zero);
                self.number = Some(Number::Said(format!("{before}.")));
            }
            _ => {}
        }
        Heard::One
    }
}

fn whole(value: u32) -> Number {
    Number::Whole(value.to_string())
}

/// The number with a value from 0 to 19 said after it.
fn with_small(number: Option<&Number>, value: u32, place: Place<'_>) -> Number {
    let Some(number) = number else { return whole(value) };
    match (number, place.before()) {
        // The tens ended in a zero.
        (Number::Said(text), Some(Means::Tens(_, ""))) if value < 10 => {
            let mut text = text.clone();
            text.pop();
            Number::Said(format!("{text}{value}"))
        }
        (_, Some(Means::Small(_, ""))) => number.followed_by(&value.to_string()),
        _ => number.then(value),
    }
}

/// Whether a word can follow a point.
fn is_digit_word(meaning: Option<Means>) -> bool {
    matches!(meaning, Some(Means::Zero | Means::Small(_, "") | Means::Tens(_, "")))
}

/// `^\d+(\.\d+)?$`.
fn is_numeric(word: &str) -> bool {
    let all_digits = |text: &str| !text.is_empty() && text.chars().all(|c| digit(c).is_some());
    match word.split_once('.') {
        Some((whole, part)) => all_digits(whole) && all_digits(part),
        None => all_digits(word),
    }
}

/// The text with `and a half` in words of decimals, and spaces between digits and letters.
fn prepared(text: &str) -> String {
    let segments = halves(text);
    let last = segments.len() - 1;
    let mut parts = Vec::new();
    for (i, segment) in segments.iter().enumerate() {
        let Some(word) = words(segment).last() else { continue };
        parts.push(*segment);
        if i < last {
            let meaning = means(word);
            let is_number = is_digit_word(meaning) || matches!(meaning, Some(Means::Power(_, "")));
            parts.push(if is_number { "point five" } else { "and a half" });
        }
    }
    joined_endings(&apart(&parts.join(" ")))
}

/// The text between the places of `and a half`.
fn halves(text: &str) -> Vec<&str> {
    let (mut segments, mut kept) = (Vec::new(), 0);
    for (at, _) in text.match_indices("and") {
        let spaced = |rest: &'_ str| -> Option<usize> {
            let trimmed = rest.trim_start_matches(is_space);
            (trimmed.len() < rest.len()).then_some(text.len() - trimmed.len())
        };
        let end = || {
            let a = spaced(&text[at + "and".len()..])?;
            let half = spaced(text[a..].strip_prefix('a')?)?;
            text[half..].starts_with("half").then_some(half + "half".len())
        };
        if let Some(end) = end().filter(|end| at >= kept && is_boundary(text, at) && is_boundary(text, *end)) {
            segments.push(&text[kept..at]);
            kept = end;
        }
    }
    segments.push(&text[kept..]);
    segments
}

/// A space between letters and digits.
fn apart(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars() {
        let kinds = |a: char, b: char| a.is_ascii_lowercase() && b.is_ascii_digit();
        if kinds(before, c) || kinds(c, before) {
            out.push(' ');
        }
        out.push(c);
        before = c;
    }
    out
}

/// No space between a number and what ends it.
fn joined_endings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_space) {
        let after = rest[at..].trim_start_matches(is_space);
        let is_ending = ["st", "nd", "rd", "th", "s"]
            .iter()
            .any(|ending| after.starts_with(ending) && is_boundary(after, ending.len()));
        let spaces = &rest[at..rest.len() - after.len()];
        out.push_str(&rest[..at]);
        if !(is_ending && out.ends_with(|c: char| c.is_ascii_digit())) {
            out.push_str(spaces);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Dollars and cents as one amount, and a lone 1 as a word.
fn finished(text: &str) -> String {
    ones_as_words(&cents_alone(&with_cents(text)))
}

/// The digits that a text begins with.
fn leading_digits(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())]
}

/// `$2 and ¢7` as `$2.07`.
fn with_cents(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['€', '£', '$']) {
        let sign = rest[at..].chars().next().map_or(0, char::len_utf8);
        let amount = leading_digits(&rest[at + sign..]);
        let end = at + sign + amount.len();
        let cents = || {
            let after = rest[end..].strip_prefix(' ')?;
            let after = after.strip_prefix("and ").unwrap_or(after).strip_prefix('¢')?;
            let cents = leading_digits(after);
            let after = &after[cents.len()..];
            let is_whole = matches!(cents.len(), 1 | 2) && !amount.is_empty();
            (is_whole && is_boundary(rest, rest.len() - after.len())).then_some((cents, after))
        };
        match cents() {
            Some((cents, after)) => {
                out.push_str(&format!("{}.{cents:0>2}", &rest[..end]));
                rest = after;
            }
            None => {
                out.push_str(&rest[..at + sign]);
                rest = &rest[at + sign..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// `$0.07` as `¢7`; the published pattern takes any character for the point.
fn cents_alone(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['€', '£', '$']) {
        let sign = rest[at..].chars().next().map_or(0, char::len_utf8);
        let cents = || {
            let mut after = rest[at + sign..].strip_prefix('0')?.chars();
            after.next().filter(|point| *point != '\n')?;
            let after = after.as_str();
            let cents = leading_digits(after);
            let after = &after[cents.len()..];
            let is_whole = matches!(cents.len(), 1 | 2) && is_boundary(rest, rest.len() - after.len());
            is_whole.then_some((cents.trim_start_matches('0'), after))
        };
        out.push_str(&rest[..at]);
        match cents() {
            Some((cents, after)) => {
                out.push_str(&format!("¢{}", if cents.is_empty() { "0" } else { cents }));
                rest = after;
            }
            None => {
                out.push_str(&rest[at..at + sign]);
                rest = &rest[at + sign..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// `1` and `1s` as `one` and `ones`.
fn ones_as_words(text: &str) -> String {
    use super::words::{Begin, replaced};
    replaced(&replaced(text, Begin::Word, "1", "one"), Begin::Word, "1s", "ones")
}
