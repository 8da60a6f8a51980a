//! British spellings as American ones.
//!
//! `spellings.txt` is the list of openai-whisper (`english.json`; its licence: `spellings.LICENSE`), which is that of
//! <https://www.tysto.com/uk-us-spelling-list.html>: British, a space, American, sorted; `tools/metrics/wer.py` writes it.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::evaluate::metric::python_text::words;

static SPELLINGS: LazyLock<HashMap<&str, &str>> =
    LazyLock::new(|| include_str!("spellings.txt").lines().filter_map(|line| line.split_once(' ')).collect());

/// `text` in American spelling, with single spaces.
pub(super) fn american(text: &str) -> String {
    words(text).map(|word| SPELLINGS.get(word).copied().unwrap_or(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_pair() {
        let lines = include_str!("spellings.txt").lines();
        assert!(SPELLINGS.len() > 1700 && lines.clone().count() == SPELLINGS.len());
        assert!(lines.into_iter().all(|line| line.split(' ').count() == 2 && line.is_ascii()));
    }
}
