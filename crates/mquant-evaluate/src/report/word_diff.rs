//! Where two answers differ, word by word: the longest common subsequence of their words (Wagner and Fischer 1974).

use serde::Serialize;

/// Most words of an answer that are compared, those that both begin and end with aside; behind them all counts as different.
const MOST: usize = 600;

/// Whether a piece is in both answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Piece {
    /// In both.
    Same,
    /// In this one alone.
    Own,
}

/// A stretch of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Stretch {
    pub(super) piece: Piece,
    pub(super) text: String,
}

/// Two answers in stretches; put together they are the answers again.
pub(super) fn differences(left: &str, right: &str) -> [Vec<Stretch>; 2] {
    let (a, b) = (words(left), words(right));
    let begin = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let end = a[begin..].iter().rev().zip(b[begin..].iter().rev()).take_while(|(a, b)| a == b).count();
    let mut sides = [Vec::new(), Vec::new()];
    a[..begin].iter().for_each(|word| append_to_both(&mut sides, word));
    compare(&a[begin..a.len() - end], &b[begin..b.len() - end], &mut sides);
    a[a.len() - end..].iter().for_each(|word| append_to_both(&mut sides, word));
    sides
}

fn compare(a: &[&str], b: &[&str], sides: &mut [Vec<Stretch>; 2]) {
    let (n, m) = (a.len().min(MOST), b.len().min(MOST));
    // common[i][j]: length of the longest common subsequence of a[i..] and b[j..].
    let mut common = vec![0u16; (n + 1) * (m + 1)];
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            common[i * (m + 1) + j] = if a[i] == b[j] {
                common[(i + 1) * (m + 1) + j + 1] + 1
            } else {
                common[(i + 1) * (m + 1) + j].max(common[i * (m + 1) + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < n || j < m {
        if i < n && j < m && a[i] == b[j] {
            append_to_both(sides, a[i]);
            (i, j) = (i + 1, j + 1);
        } else if j == m || (i < n && common[(i + 1) * (m + 1) + j] >= common[i * (m + 1) + j + 1]) {
            append(&mut sides[0], Piece::Own, a[i]);
            i += 1;
        } else {
            append(&mut sides[1], Piece::Own, b[j]);
            j += 1;
        }
    }
    a[n..].iter().for_each(|word| append(&mut sides[0], Piece::Own, word));
    b[m..].iter().for_each(|word| append(&mut sides[1], Piece::Own, word));
}

fn append_to_both(sides: &mut [Vec<Stretch>; 2], word: &str) {
    sides.iter_mut().for_each(|side| append(side, Piece::Same, word));
}

fn append(side: &mut Vec<Stretch>, piece: Piece, word: &str) {
    match side.last_mut() {
        Some(last) if last.piece == piece => last.text.push_str(word),
        _ => side.push(Stretch { piece, text: word.to_owned() }),
    }
}

/// Runs of letters and digits, runs of white space, and every other character by itself; so are those of scripts that are
/// written without spaces.
fn words(text: &str) -> Vec<&str> {
    #[derive(PartialEq)]
    enum Kind {
        Word,
        Space,
        Single,
    }
    let kind = |c: char| match c {
        '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => {
            Kind::Single
        }
        c if c.is_whitespace() => Kind::Space,
        c if c.is_alphanumeric() => Kind::Word,
        _ => Kind::Single,
    };
    let mut words = Vec::new();
    let mut start = 0;
    let mut before = None;
    for (at, c) in text.char_indices() {
        let kind = kind(c);
        if before.is_some_and(|before| before != kind || kind == Kind::Single) {
            words.push(&text[start..at]);
            start = at;
        }
        before = Some(kind);
    }
    if start < text.len() {
        words.push(&text[start..]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(side: &[Stretch]) -> String {
        side.iter().map(|s| if s.piece == Piece::Own { format!("<{}>", s.text) } else { s.text.clone() }).collect()
    }

    #[test]
    fn words_that_differ_are_marked() {
        for (left, right, expected) in [
            ("a red car", "a blue car", ["a <red> car", "a <blue> car"]),
            ("42", "42", ["42", "42"]),
            ("", "yes", ["", "<yes>"]),
            ("one two", "two", ["<one >two", "two"]),
            ("12.5 m", "12.6 m", ["12.<5> m", "12.<6> m"]),
            ("红色的车", "蓝色的车", ["<红>色的车", "<蓝>色的车"]),
        ] {
            assert_eq!(differences(left, right).map(|side| marked(&side)), expected);
        }
    }

    #[test]
    fn nothing_is_lost_even_of_endless_answers() {
        let (left, right) = ("a ".repeat(3_000), "b a ".repeat(2_000));
        let sides = differences(&left, &right).map(|side| side.into_iter().map(|s| s.text).collect::<String>());
        assert_eq!(sides, [left, right]);
    }
}
