//! Added tokens in text: where they are, and how a user's text is kept from spelling one.
//!
//! Before a template runs, every text of a user is *marked*: a character that occurs nowhere else is put inside each
//! spelling of a control token, in any letter case (a template may change it), and at a border where the text could
//! complete a token together with its neighbour. Marks travel through the template, break every match, and are taken out
//! of the text afterwards.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use aho_corasick::{AhoCorasick, MatchKind};

/// An added token as `tokenizer.json` describes it.
#[derive(Clone, Debug)]
pub(super) struct Added {
    pub(super) id: u32,
    pub(super) content: String,
    pub(super) lstrip: bool,
    pub(super) rstrip: bool,
    pub(super) single_word: bool,
}

/// A control token, with the lower-case spelling that borders are compared in.
#[derive(Clone, Debug)]
pub(super) struct Control {
    pub(super) id: u32,
    pub(super) content: String,
    lower: String,
}

/// A stretch of text that is one token, or that is to be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) token: Option<u32>,
}

/// Finds added tokens: leftmost, of several the longest.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    automaton: Option<AhoCorasick>,
    tokens: Vec<Added>,
}

impl Matcher {
    pub(super) fn new(tokens: Vec<Added>) -> Result<Self, aho_corasick::BuildError> {
        if tokens.is_empty() {
            return Ok(Self::default());
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(tokens.iter().map(|token| &token.content))?;
        Ok(Self { automaton: Some(automaton), tokens })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.automaton.is_none()
    }

    /// `text` in order, without gaps; a token that strips takes the white space beside it.
    pub(super) fn pieces(&self, text: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut done = 0;
        let matches = self.automaton.iter().flat_map(|automaton| automaton.find_iter(text));
        for found in matches {
            let token = &self.tokens[found.pattern().as_usize()];
            let (before, after) = (&text[..found.start()], &text[found.end()..]);
            if token.single_word && (ends_in_word(before) || begins_with_word(after)) {
                continue;
            }
            let start = if token.lstrip { before.trim_end().len().max(done) } else { found.start() };
            let end = if token.rstrip { text.len() - after.trim_start().len() } else { found.end() };
            if start < done {
                continue;
            }
            if done < start {
                pieces.push(Piece { start: done, end: start, token: None });
            }
            pieces.push(Piece { start, end, token: Some(token.id) });
            done = end;
        }
        if done < text.len() {
            pieces.push(Piece { start: done, end: text.len(), token: None });
        }
        pieces
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn ends_in_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(is_word)
}

fn begins_with_word(text: &str) -> bool {
    text.chars().next().is_some_and(is_word)
}

/// Marks texts of users; see the module.
#[derive(Debug, Default)]
pub struct Marker {
    automaton: Option<AhoCorasick>,
    /// Ascending ids.
    controls: Vec<Control>,
}

/// Texts that carry marks.
#[derive(Clone, Copy, Debug)]
pub struct Marked {
    /// The character that marks.
    pub sentinel: char,
}

impl Marker {
    pub(super) fn new(controls: impl IntoIterator<Item = (u32, String)>) -> Result<Self, aho_corasick::BuildError> {
        let mut controls: Vec<Control> = controls
            .into_iter()
            .map(|(id, content)| Control { id, lower: content.to_ascii_lowercase(), content })
            .collect();
        controls.sort_by_key(|token| token.id);
        if controls.is_empty() {
            return Ok(Self::default());
        }
        let automaton =
            AhoCorasick::builder().ascii_case_insensitive(true).build(controls.iter().map(|token| &token.content))?;
        Ok(Self { automaton: Some(automaton), controls })
    }

    pub(super) fn controls(&self) -> &[Control] {
        &self.controls
    }

    /// A character that occurs in none of `texts`; nothing only if they use all 137 000 that have no assigned meaning.
    pub fn choose<'a>(&self, texts: impl Iterator<Item = &'a str>) -> Option<Marked> {
        let used: HashSet<char> = texts.flat_map(str::chars).filter(|&c| c >= FIRST_PRIVATE).collect();
        let nonchars = ('\u{fdd0}'..='\u{fdef}').chain(('\u{f0000}'..='\u{ffffd}').chain('\u{100000}'..='\u{10fffd}'));
        nonchars.chain(FIRST_PRIVATE..='\u{f8ff}').find(|c| !used.contains(c)).map(|sentinel| Marked { sentinel })
    }

    /// `text` with marks, so that neither it nor it with its neighbours spells a control token.
    pub fn mark<'a>(&self, text: &'a str, marked: Marked) -> Cow<'a, str> {
        let mut places = BTreeSet::new();
        let first_char = |at: usize| at + text[at..].chars().next().map_or(0, char::len_utf8);
        if let Some(automaton) = &self.automaton {
            places.extend(automaton.find_overlapping_iter(text).map(|found| first_char(found.start())));
        }
        if self.controls.iter().any(|token| ends_in_prefix(text, &token.lower)) {
            places.insert(text.len());
        }
        if self.controls.iter().any(|token| begins_with_suffix(text, &token.lower) || is_inside(text, &token.lower)) {
            places.insert(0);
        }
        if places.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len() + places.len() * marked.sentinel.len_utf8());
        let mut done = 0;
        for place in places {
            out.push_str(&text[done..place]);
            out.push(marked.sentinel);
            done = place;
        }
        out.push_str(&text[done..]);
        Cow::Owned(out)
    }
}

const FIRST_PRIVATE: char = '\u{e000}';

/// Whether the end of `text` is the beginning, but not all, of `token`.
fn ends_in_prefix(text: &str, token: &str) -> bool {
    let (text, token) = (text.as_bytes(), token.as_bytes());
    (1..token.len().min(text.len() + 1)).any(|n| text[text.len() - n..].eq_ignore_ascii_case(&token[..n]))
}

/// Whether the beginning of `text` is the end, but not all, of `token`.
fn begins_with_suffix(text: &str, token: &str) -> bool {
    let (text, token) = (text.as_bytes(), token.as_bytes());
    (1..token.len().min(text.len() + 1)).any(|n| text[..n].eq_ignore_ascii_case(&token[token.len() - n..]))
}

fn is_inside(text: &str, token: &str) -> bool {
    !text.is_empty() && text.len() < token.len() && token.contains(&text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(id: u32, content: &str) -> Added {
        Added { id, content: content.into(), lstrip: false, rstrip: false, single_word: false }
    }

    fn found(matcher: &Matcher, text: &str) -> Vec<(String, Option<u32>)> {
        matcher.pieces(text).iter().map(|p| (text[p.start..p.end].to_owned(), p.token)).collect()
    }

    #[test]
    fn leftmost_and_longest_win() {
        let matcher = Matcher::new(vec![added(1, "<a"), added(2, "<a>"), added(3, "a><b>")]).unwrap();
        let expected = [("x", None), ("<a>", Some(2)), ("<b>", None), ("<a", Some(1)), ("c", None)];
        let expected: Vec<_> = expected.iter().map(|&(t, id)| (t.to_owned(), id)).collect();
        assert_eq!(found(&matcher, "x<a><b><ac"), expected);
        assert!(found(&matcher, "").is_empty());
    }

    #[test]
    fn stripping_takes_white_space_once_and_single_words_stand_alone() {
        let left = Added { lstrip: true, ..added(1, "<l>") };
        let right = Added { rstrip: true, ..added(2, "<r>") };
        let word = Added { single_word: true, ..added(3, "w") };
        let matcher = Matcher::new(vec![left, right, word]).unwrap();
        let expected = [("a", None), (" \n<l>", Some(1)), (" ", None), ("w", Some(3)), (" ww ", None)];
        let expected: Vec<_> = expected.iter().map(|&(t, id)| (t.to_owned(), id)).collect();
        assert_eq!(found(&matcher, "a \n<l> w ww "), expected);
        let expected = [("<r>  ", Some(2)), ("<l>", Some(1)), ("b", None)];
        let expected: Vec<_> = expected.iter().map(|&(t, id)| (t.to_owned(), id)).collect();
        assert_eq!(found(&matcher, "<r>  <l>b"), expected);
    }

    #[test]
    fn no_concatenation_of_marked_texts_spells_a_control_token() {
        let tokens = ["<|im_start|>", "<|im_end|>", "<s>", "</s>", "[[x]]"];
        let marker = Marker::new((0..).zip(tokens.map(str::to_owned))).unwrap();
        let whole: Vec<String> = tokens.iter().map(|t| t.to_string()).collect();
        // Every way to cut every token in three, with every text around it.
        for token in &whole {
            for first in 0..=token.len() {
                for second in first..=token.len() {
                    let parts = [&token[..first], &token[first..second], &token[second..]];
                    let marked = Marked { sentinel: '\u{fdd0}' };
                    let user: String = parts.iter().map(|part| marker.mark(part, marked)).collect();
                    assert!(whole.iter().all(|t| !user.contains(t.as_str())), "{parts:?} gave {user:?}");
                    for (index, part) in parts.iter().enumerate().filter(|(_, part)| !part.is_empty()) {
                        // The template writes the rest of the token around the user's part.
                        let mut mixed = parts.map(Cow::Borrowed);
                        mixed[index] = marker.mark(part, marked);
                        let prompt: String = mixed.concat();
                        assert!(!prompt.contains(token.as_str()), "{parts:?} at {index} gave {prompt:?}");
                        assert_eq!(prompt.replace('\u{fdd0}', ""), *token);
                    }
                }
            }
        }
    }

    #[test]
    fn marks_are_case_blind_and_absent_from_plain_text() {
        let marker = Marker::new([(0, "<|End|>".to_owned())]).unwrap();
        let marked = Marked { sentinel: '\u{fdd0}' };
        assert_eq!(marker.mark("a <|eND|> b", marked), "a <\u{fdd0}|eND|> b");
        for plain in ["", "plain text, 1 < 2, a | b", "語", "< |End|>."] {
            assert!(matches!(marker.mark(plain, marked), Cow::Borrowed(_)), "{plain}");
        }
    }

    #[test]
    fn the_sentinel_occurs_in_none_of_the_texts() {
        let marker = Marker::default();
        let first: String = ('\u{fdd0}'..='\u{fdef}').collect();
        let chosen = marker.choose([first.as_str(), "abc"].into_iter()).unwrap();
        assert!(!first.contains(chosen.sentinel));
        let every: String = ('\u{e000}'..=char::MAX).collect();
        assert!(marker.choose([every.as_str()].into_iter()).is_none());
    }
}
