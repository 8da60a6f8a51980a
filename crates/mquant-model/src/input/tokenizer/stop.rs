//! Strings that end an answer, found in a stream of text.

/// Holds back text that may be the beginning of a stop string, until it is known whether it is.
#[derive(Clone, Debug)]
pub struct StopStrings {
    strings: Vec<String>,
    held: String,
}

/// What a piece of text led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Text to print; the answer goes on.
    No(String),
    /// The last text to print; the stop string itself and what follows are dropped.
    Yes(String),
}

impl StopStrings {
    /// Watches for any of `strings`; empty ones are never found.
    pub fn new(strings: impl IntoIterator<Item = String>) -> Self {
        Self { strings: strings.into_iter().filter(|string| !string.is_empty()).collect(), held: String::new() }
    }

    /// Takes the next piece of text. Of several stop strings the one that begins first ends the answer.
    pub fn push(&mut self, text: &str) -> Stopped {
        self.held.push_str(text);
        if let Some(at) = self.strings.iter().filter_map(|string| self.held.find(string)).min() {
            self.held.truncate(at);
            return Stopped::Yes(std::mem::take(&mut self.held));
        }
        let unsure = self.strings.iter().map(|string| overlap(&self.held, string)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - unsure);
        Stopped::No(std::mem::replace(&mut self.held, rest))
    }

    /// The text still held back, when the answer has ended.
    pub fn finish(self) -> String {
        self.held
    }
}

/// Length of the longest end of `text` that is the beginning, but not all, of `string`.
fn overlap(text: &str, string: &str) -> usize {
    let longest = text.len().min(string.len() - 1);
    let ends = (1..=longest).rev();
    ends.filter(|&n| string.is_char_boundary(n)).find(|&n| text.ends_with(&string[..n])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: cut the whole text at the first stop string.
    fn cut(text: &str, strings: &[&str]) -> String {
        let at = strings.iter().filter_map(|s| text.find(s)).min().unwrap_or(text.len());
        text[..at].to_owned()
    }

    fn streamed(text: &str, strings: &[&str], size: usize) -> String {
        let mut stops = StopStrings::new(strings.iter().map(|s| s.to_string()));
        let mut out = String::new();
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(size) {
            match stops.push(&piece.iter().collect::<String>()) {
                Stopped::No(text) => out.push_str(&text),
                Stopped::Yes(text) => return out + &text,
            }
        }
        out + &stops.finish()
    }

    #[test]
    fn streams_equal_the_cut_text() {
        let texts = ["", "a", "one two three", "aab", "aaab", "ab語語", "xxENxxEND", "END", "E語NDE語", "ababac"];
        let sets: [&[&str]; 6] = [&[], &["aab"], &["END", "語"], &["ababac", "bab"], &["", "three"], &["語語"]];
        for text in texts {
            for set in sets {
                let filtered: Vec<&str> = set.iter().copied().filter(|s| !s.is_empty()).collect();
                for size in 1..6 {
                    // A later, shorter stop string may be complete before an earlier one is.
                    let whole = streamed(text, set, usize::MAX);
                    assert_eq!(whole, cut(text, &filtered), "{text:?} {set:?}");
                    let by_pieces = streamed(text, set, size);
                    assert!(by_pieces.starts_with(&whole), "{text:?} {set:?} {size}");
                    if set.len() < 2 {
                        assert_eq!(by_pieces, whole, "{text:?} {set:?} {size}");
                    }
                }
            }
        }
    }

    #[test]
    fn only_doubtful_text_is_held() {
        let mut stops = StopStrings::new(["<end>".to_owned()]);
        assert_eq!(stops.push("a<en"), Stopped::No("a".into()));
        assert_eq!(stops.push("x"), Stopped::No("<enx".into()));
        assert_eq!(stops.push("<<end>rest"), Stopped::Yes("<".into()));
    }
}
