//! Numbers as people read them.

/// About three digits, with a true minus sign; `-` if it is no number.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        _ if !value.is_finite() => return "-".to_owned(),
        0.0 => return "0".to_owned(),
        a if a >= 1e6 => return sign(format!("{value:.1e}")),
        a if a >= 9999.5 => return grouped(&sign(format!("{value:.0}"))),
        a if a >= 99.95 => 0,
        a if a >= 9.995 => 1,
        a if a >= 0.995 => 2,
        a if a >= 0.0995 => 3,
        a if a >= 0.00995 => 4,
        _ => return sign(format!("{value:.1e}")),
    };
    sign(format!("{value:.digits$}"))
}

/// With so many digits behind the point.
pub(super) fn fixed(value: f64, digits: usize) -> String {
    if value.is_finite() { sign(format!("{value:.digits$}")) } else { "-".to_owned() }
}

/// With a plus or minus in front.
pub(super) fn signed(value: f64, digits: usize) -> String {
    let text = fixed(value, digits);
    let is_zero = !text.contains(|c: char| c.is_ascii_digit() && c != '0');
    match text.strip_prefix('−') {
        Some(rest) if is_zero => format!("±{rest}"),
        None if is_zero && value.is_finite() => format!("±{text}"),
        None if value.is_finite() => format!("+{text}"),
        _ => text,
    }
}

/// The ends of an interval around a difference; 0 has no sign.
pub(super) fn signed_range(interval: [f64; 2], digits: usize) -> String {
    let [low, high] = interval.map(|bound| signed(bound, digits));
    format!("{} to {}", low.trim_start_matches('±'), high.trim_start_matches('±'))
}

/// Digits behind the point for a score out of `of`: MME's 2,800 points need none that 100 % do.
pub(super) fn score_digits(of: f64) -> usize {
    if of > 300.0 { 1 } else { 2 }
}

/// A share from 0 to 1, in percent; what is not quite all is not called 100.
pub(super) fn percent(share: f64) -> String {
    match share {
        0.0 => "0 %".to_owned(),
        s if (0.9995..0.99995).contains(&s) => fixed(100.0 * s, 2) + " %",
        s if (0.99995..1.0).contains(&s) => "> 99.99 %".to_owned(),
        s => number(100.0 * s) + " %",
    }
}

/// How often one number is in another, such as `3.1×`.
pub(super) fn times(ratio: f64) -> String {
    match ratio {
        r if !r.is_finite() => "-".to_owned(),
        r if r >= 99.5 => format!("{r:.0}×"),
        r if r >= 9.95 => format!("{r:.0}×"),
        r if r >= 1.995 => format!("{r:.1}×"),
        r => format!("{r:.2}×"),
    }
}

/// Bytes in decimal units.
pub(super) fn size(bytes: u64) -> String {
    match bytes as f64 {
        b if b >= 1e9 => format!("{:.2} GB", b / 1e9),
        b if b >= 1e6 => format!("{:.1} MB", b / 1e6),
        b if b >= 1e3 => format!("{:.1} kB", b / 1e3),
        b => format!("{b} bytes"),
    }
}

/// A whole number in groups of three digits.
pub(super) fn count(number: u64) -> String {
    grouped(&number.to_string())
}

fn grouped(number: &str) -> String {
    let digits = number.chars().filter(char::is_ascii_digit).count();
    let mut grouped: String = number.chars().filter(|c| !c.is_ascii_digit()).collect();
    for (i, digit) in number.chars().filter(char::is_ascii_digit).enumerate() {
        if i > 0 && (digits - i).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A duration.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() => "-".to_owned(),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// A probability: below a thousandth its size is all that matters.
pub(super) fn probability(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { fixed(p, 3) }
}

/// The middle one of some numbers, by rank.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn sign(text: String) -> String {
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_about_three_digits() {
        let expected = [
            (0.0, "0"),
            (1234.5, "1234"),
            (-14_620.4, "−14\u{202f}620"),
            (99.96, "100"),
            (12.34, "12.3"),
            (9.999, "10.0"),
            (-1.5, "−1.50"),
            (0.12345, "0.123"),
            (0.0123, "0.0123"),
            (0.00123, "1.2e−3"),
            (12_345_678.0, "1.2e7"),
            (f64::NAN, "-"),
        ];
        for (value, text) in expected {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn units_and_signs() {
        assert_eq!(
            [signed(0.071, 2), signed(-0.5, 2), signed(-0.001, 2), signed(0.0, 1)],
            ["+0.07", "−0.50", "±0.00", "±0.0"]
        );
        assert_eq!([size(999), size(2_709_788), size(4_400_000_000)], ["999 bytes", "2.7 MB", "4.40 GB"]);
        assert_eq!([count(7), count(1_234), count(1_234_567)], ["7", "1\u{202f}234", "1\u{202f}234\u{202f}567"]);
        assert_eq!([times(3.06), times(1.066), times(12.3), times(f64::INFINITY)], ["3.1×", "1.07×", "12×", "-"]);
        assert_eq!([percent(0.0), percent(0.00012), percent(0.5)], ["0 %", "0.0120 %", "50.0 %"]);
        assert_eq!([percent(0.99957), percent(0.999_999), percent(1.0)], ["99.96 %", "> 99.99 %", "100 %"]);
        assert_eq!(signed_range([-0.625, 0.0], 2), "−0.62 to 0.00");
        assert_eq!([probability(0.0004), probability(0.25)], ["< 0.001", "0.250"]);
        assert_eq!([seconds(3.21), seconds(600.0), seconds(7200.0)], ["3.2 s", "10 min", "2.0 h"]);
        assert_eq!(median(vec![3.0, f64::NAN, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }
}
