//! Text of strangers, with everything that could be mistaken made visible.

use minijinja::HtmlEscape;

/// `text` with controls and the characters that change the direction or hide themselves spelled out, such as `[U+202E]`;
/// line ends and tabs stay.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) {
            shown.push_str(&format!("[U+{:04X}]", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The same on one line.
pub(super) fn visible_line(text: &str) -> String {
    visible(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// `text` for the page.
pub(super) fn escaped(text: &str) -> String {
    HtmlEscape(text).to_string()
}

/// Controls (Unicode category Cc), bidirectional formatting (UAX 9, table 1), and format characters without a width that no script
/// needs at this place.
fn is_deceptive(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        c => c.is_control(),
    }
}

/// `text` within a line or a cell of Markdown: nothing in it is markup, a link or a row's end.
pub(super) fn markdown(text: &str) -> String {
    let mut shown = String::new();
    for c in visible_line(text).chars() {
        match c {
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '&' => shown.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '!' | '|' | '~' => {
                shown.extend(['\\', c])
            }
            // Readers make links of bare addresses.
            ':' => shown.push_str("&#58;"),
            '@' => shown.push_str("&#64;"),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_is_spelled_out() {
        assert_eq!(visible("a\u{202e}b\u{0}\u{200b}c\n\té"), "a[U+202E]b[U+0000][U+200B]c\n\té");
        assert_eq!(visible_line(" a\n b\t"), "a b");
        // Joiners belong to scripts and emoji.
        assert_eq!(visible("\u{200d}שלום"), "\u{200d}שלום");
    }

    #[test]
    fn markup_is_text() {
        assert_eq!(escaped("<script>\"'&"), "&lt;script&gt;&quot;&#x27;&amp;");
        let hostile = "<b>|![x](http://a)\n# `*";
        assert_eq!(markdown(hostile), "&lt;b&gt;\\|\\!\\[x\\]\\(http&#58;//a\\) \\# \\`\\*");
    }
}
