//! Which option an answer names, read without another model: what VLMEvalKit calls exact matching.

use super::python_text::{is_space, length, words};

/// Stands for a refusal to choose.
pub(super) const REFUSAL: char = 'Z';

/// Characters that are taken for spaces around letters.
const AROUND_LETTERS: [char; 13] = ['.', '(', ')', '[', ']', ',', ':', ';', '!', '*', '#', '{', '}'];

/// A letter that stands alone counts when fewer than this many words follow it.
const LAST_WORDS: usize = 4;

/// The mark of an answer that never came.
const NOT_OBTAINED: &str = "Failed to obtain answer via API";

/// Answers that refuse.
const REFUSALS: [&str; 4] = [
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
];

/// The letter of the option that is meant, [`REFUSAL`], or None when none or several may be meant.
pub(super) fn inferred(answer: &str, options: &[(char, String)]) -> Option<char> {
    by_letter(answer, options).or_else(|| by_text(answer, options))
}

/// The only option whose letter stands alone, near the end; else the letter after "answer is".
fn by_letter(answer: &str, options: &[(char, String)]) -> Option<char> {
    if answer.contains(NOT_OBTAINED) {
        return None;
    }
    if REFUSALS.iter().any(|refusal| answer.contains(refusal)) {
        return Some(REFUSAL);
    }
    let plain = answer.replace(AROUND_LETTERS, " ");
    let words: Vec<&str> = words(&plain).collect();
    let place = |letter: char| words.iter().position(|word| word.chars().eq([letter]));
    let mut named = options.iter().filter_map(|(letter, _)| Some((*letter, place(*letter)?)));
    match (named.next(), named.next()) {
        (Some((letter, at)), None) if at + LAST_WORDS >= words.len() => return Some(letter),
        (None, _) if place(REFUSAL).is_some() => return Some(REFUSAL),
        _ => {}
    }
    stated(answer).filter(|stated| options.iter().any(|(letter, _)| letter == stated))
}

/// The letter from A to D after the first "answer is" that one follows, perhaps after asterisks.
fn stated(answer: &str) -> Option<char> {
    let chars: Vec<char> = answer.chars().collect();
    (0..chars.len()).find_map(|at| {
        let rest = after_spaces(after_word(&chars[at..], "answer")?)?;
        let rest = after_spaces(after_word(rest, "is")?)?;
        let letter = rest.iter().find(|c| **c != '*')?.to_ascii_uppercase();
        ('A'..='D').contains(&letter).then_some(letter)
    })
}

/// What follows a word of small letters, in any letter case.
fn after_word<'a>(text: &'a [char], word: &str) -> Option<&'a [char]> {
    let mut rest = text;
    for expected in word.chars() {
        let (found, after) = rest.split_first()?;
        // Python's `re` takes these for an i and an s when letter case does not count.
        let found = match found {
            'İ' | 'ı' => 'i',
            'ſ' => 's',
            other => other.to_ascii_lowercase(),
        };
        if found != expected {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

/// What follows at least one space.
fn after_spaces(text: &[char]) -> Option<&[char]> {
    let spaces = text.iter().take_while(|c| is_space(**c)).count();
    text.get(spaces..).filter(|_| spaces > 0)
}

/// The only option whose text occurs in the answer, unless the answer is far longer than all options.
fn by_text(answer: &str, options: &[(char, String)]) -> Option<char> {
    let answer = answer.to_lowercase();
    if length(&answer) > 2 * options.iter().map(|(_, text)| length(text)).sum::<usize>() {
        return None;
    }
    let mut named = options.iter().filter(|(_, text)| answer.contains(&text.to_lowercase()));
    match (named.next(), named.next()) {
        (Some((letter, _)), None) => Some(*letter),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_before_texts() {
        let options =
            [('A', "teddy bear"), ('B', "rabbit"), ('C', "cat"), ('D', "a dog")].map(|(l, t)| (l, t.to_owned()));
        for (answer, expected) in [
            ("B", Some('B')),
            ("(b)", None),
            ("(C).", Some('C')),
            ("It is **D**", Some('D')),
            ("D is right indeed", Some('D')),
            ("D is right I say", None),
            ("A or B", None),
            ("The answer is C, not A", Some('C')),
            ("A or B? the Correct ANſWER  ıs **b", Some('B')),
            ("the answer is either", None),
            ("the answer is E or the answer is C of A B", Some('C')),
            ("Rabbit", Some('B')),
            ("rabbit cat", None),
            ("a very very long answer about the rabbit that was seen by me and by all others", None),
            ("Cannot determine the answer. A", Some('Z')),
            ("Z", Some('Z')),
            ("Failed to obtain answer via API", None),
            ("", None),
        ] {
            assert_eq!(inferred(answer, &options), expected, "{answer}");
        }
        assert_eq!(inferred("", &[]), None);
    }
}
