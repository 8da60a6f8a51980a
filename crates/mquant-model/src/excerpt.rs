//! Names and values of untrusted input, made fit for an error message: printable and short.

/// Most bytes of untrusted text that a message repeats in a row.
const EXCERPT_BYTES: usize = 120;

/// `text` with control characters escaped, cut after `EXCERPT_BYTES`.
pub fn excerpt(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let printable = if "\"'\\".contains(c) { c.to_string() } else { c.escape_debug().to_string() };
        if out.len() + printable.len() > EXCERPT_BYTES {
            out.push('…');
            return out;
        }
        out.push_str(&printable);
    }
    out
}

/// [`excerpt`] between quotes, for words inside a sentence.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", excerpt(text))
}

/// The first `most` items, one per line and indented, and how many more there are.
pub fn rows<T: std::fmt::Display>(items: &[T], most: usize) -> String {
    let mut out: String = items.iter().take(most).map(|item| format!("\n  {item}")).collect();
    if items.len() > most {
        out.push_str(&format!("\n  and {} more", items.len() - most));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_printable() {
        assert_eq!(excerpt("model.layers.0 'x' \"y\""), "model.layers.0 'x' \"y\"");
        assert_eq!(excerpt("a\n\u{1b}[31m"), "a\\n\\u{1b}[31m");
        let long = excerpt(&"é".repeat(10_000));
        assert!(long.len() <= EXCERPT_BYTES + '…'.len_utf8() && long.ends_with('…'));
    }

    #[test]
    fn rows_say_how_many_are_left_out() {
        assert_eq!(rows(&[1, 2, 3], 2), "\n  1\n  2\n  and 1 more");
        assert_eq!(rows(&[1], 2), "\n  1");
    }
}
