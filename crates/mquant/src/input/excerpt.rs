//! Input quoted in an error message: shortened, control characters escaped, so that a message stays one readable line.

/// Longest piece of input, in bytes, that an error message repeats.
const MAX_BYTES: usize = 120;

/// `text` between quotes, at most [`MAX_BYTES`] bytes of it after escaping.
pub(crate) fn excerpt(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        let escaped: String = if c == '"' || c == '\\' { c.to_string() } else { c.escape_debug().collect() };
        if quoted.len() + escaped.len() > MAX_BYTES {
            quoted.push('…');
            break;
        }
        quoted.push_str(&escaped);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn excerpts_stay_short_and_printable() {
        assert_eq!(excerpt("plain"), "\"plain\"");
        assert_eq!(excerpt("a\nb\u{0}"), "\"a\\nb\\0\"");
        for hostile in ["x".repeat(10_000), "\u{1}".repeat(10_000), "語".repeat(10_000)] {
            let quoted = excerpt(&hostile);
            assert!(quoted.len() <= 130, "{}", quoted.len());
            assert!(!quoted.chars().any(char::is_control));
        }
    }
}
