//! Text as Python treats it, since the published scores were computed there.
//!
//! Letter case needs nothing: `str::to_lowercase` and `to_uppercase` agree with Python for every assigned character.
//! White space, digits and numbers differ and are defined here.

/// The zeros of Unicode's decimal digits (category Nd): each is followed by its nine fellows.
const ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
    0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
    0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0,
    0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60,
    0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// `str.isspace` and `\s`: Unicode's white space and the four separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// The value of a decimal digit of any script; `\d` matches where there is one.
pub(super) fn digit(c: char) -> Option<u32> {
    let code = u32::from(c);
    let zero = ZEROS[..ZEROS.partition_point(|zero| *zero <= code)].last()?;
    Some(code - zero).filter(|value| *value < 10)
}

/// `str.strip`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.split` without a separator: no word is empty.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// `len`: code points.
pub(super) fn length(text: &str) -> usize {
    text.chars().count()
}

/// `float`: None where Python raises. Digits of every script count, and `_` between two digits.
pub(super) fn float(text: &str) -> Option<f64> {
    let ascii = |c: char| match digit(c) {
        _ if c < '\u{7f}' => Some(c),
        Some(value) => char::from_digit(value, 10),
        None => is_space(c).then_some(' '),
    };
    let plain: String = text.chars().map(ascii).collect::<Option<_>>()?;
    let mut kept = String::new();
    let mut before = ' ';
    for c in plain.trim_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']).chars() {
        match (before, c) {
            (b, '_') if !b.is_ascii_digit() => return None,
            ('_', c) if !c.is_ascii_digit() => return None,
            (_, '_') => {}
            (_, c) => kept.push(c),
        }
        before = c;
    }
    if before == '_' { None } else { kept.parse().ok() }
}

/// `numpy.mean`, whose sum adds eight interleaved columns and halves what is longer than 128, to the last bit. NaN of
/// nothing.
pub(super) fn mean(values: &[f64]) -> f64 {
    pairwise_sum(values) / values.len() as f64
}

fn pairwise_sum(values: &[f64]) -> f64 {
    let n = values.len();
    if n > 128 {
        let (left, right) = values.split_at(n / 2 - n / 2 % 8);
        return pairwise_sum(left) + pairwise_sum(right);
    }
    let (eights, rest) = values.as_chunks::<8>();
    let Some((first, others)) = eights.split_first() else { return rest.iter().sum() };
    let mut column = *first;
    for row in others {
        column.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    let [a, b, c, d, e, f, g, h] = column;
    rest.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_python_reads() {
        for (text, expected) in [
            ("1e5", 1e5),
            ("\u{a0}5\u{a0}", 5.0),
            ("1_000", 1000.0),
            ("1_0e1_0", 1e11),
            ("١٢", 12.0),
            ("𝟏𝟘", 10.0),
            ("iNF", f64::INFINITY),
            ("infinity ", f64::INFINITY),
            ("1e400", f64::INFINITY),
            (".5", 0.5),
            ("5.", 5.0),
            ("-0", 0.0),
        ] {
            assert_eq!(float(text), Some(expected), "{text:?}");
        }
        assert!(float("-nan").is_some_and(f64::is_nan));
        let refused =
            ["\u{1c}5", "5\u{1c}\u{3000}", "1__0", "_1", "1_", "1_.5", "1._5", "5\u{7f}", "0x10", "1e", "+-1"];
        for text in refused.into_iter().chain(["1,000", "İnf", "１２．５", "-", "", "in_f", "½", "一"]) {
            assert_eq!(float(text), None, "{text:?}");
        }
    }

    #[test]
    fn words_are_those_python_splits() {
        assert_eq!(words(" a\u{1c}b\u{85}\u{3000}c\u{200b}d\n").collect::<Vec<_>>(), ["a", "b", "c\u{200b}d"]);
        assert_eq!(strip("\u{1f}\u{2029} x y\t"), "x y");
    }

    #[test]
    fn means_round_like_numpy() {
        let values: Vec<f64> = (0..300).map(|i| 1.0 / f64::from(i + 3)).collect();
        for (n, expected) in MEANS {
            assert_eq!(mean(&values[..n]), expected, "{n}");
        }
        assert!(mean(&[]).is_nan());
    }

    /// `numpy.mean` of the first values.
    const MEANS: [(usize, f64); 7] = [
        (1, 0.3333333333333333),
        (7, 0.18985260770975057),
        (8, 0.17862103174603172),
        (21, 0.1063948338612781),
        (128, 0.030848369830202938),
        (136, 0.02947123649011841),
        (300, 0.01596432465904621),
    ];
}
