//! What is no speech: remarks in brackets.

/// `text` without `<…>`, `[…]` (each may close the other) and `(…)`.
pub(super) fn without_brackets(text: &str) -> String {
    let text = without(text, &['<', '['], &['>', ']'], 0);
    without(&text, &['('], &[')'], 1)
}

/// Takes out what stands between an opening sign and the next closing one, if that is at least so many bytes.
fn without(text: &str, open: &[char], close: &[char], least: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(open) {
        let inside = &rest[at + 1..];
        match inside.find(close) {
            Some(end) if end >= least => {
                out.push_str(&rest[..at]);
                rest = &inside[end + 1..];
            }
            Some(_) => {
                out.push_str(&rest[..=at]);
                rest = inside;
            }
            None => break,
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::without_brackets;

    #[test]
    fn remarks_go_and_lone_brackets_stay() {
        for (text, expected) in [
            ("a <b> c [d] e", "a  c  e"),
            ("[a> b", " b"),
            ("[a [b] c]", " c]"),
            ("<> x [", " x ["),
            ("(a) b (c", " b (c"),
            ("() (a)", "() "),
            ("(()) x", ") x"),
            ("(é) x", " x"),
        ] {
            assert_eq!(without_brackets(text), expected, "{text}");
        }
    }
}
