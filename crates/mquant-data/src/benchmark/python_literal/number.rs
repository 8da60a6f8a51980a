//! Numbers.

use super::{Literal, LiteralError, Reader};

impl Reader<'_> {
    pub(super) fn number(&mut self) -> Result<Literal, LiteralError> {
        let minus = match self.peek() {
            Some(sign @ (b'+' | b'-')) => {
                self.at += 1;
                self.blank();
                sign == b'-'
            }
            _ => false,
        };
        let (start, rest) = (self.at, self.bytes());
        let mut end = 0;
        while let Some(b) = rest.get(end) {
            let exponent_sign = matches!(b, b'+' | b'-')
                && matches!(rest[..end].last(), Some(b'e' | b'E'))
                && !matches!(rest, [b'0', b'x' | b'X', ..]);
            if !b.is_ascii_alphanumeric() && !matches!(b, b'.' | b'_') && !exponent_sign {
                break;
            }
            end += 1;
        }
        let found = value(&self.source[start..start + end], minus);
        let value = found.ok_or_else(|| self.wrong("a number"))?;
        self.at += end;
        Ok(value)
    }
}

fn value(text: &str, minus: bool) -> Option<Literal> {
    let signed = |digits: String| if minus && digits != "0" { format!("-{digits}") } else { digits };
    for (base, prefixes) in [(16, ["0x", "0X"]), (8, ["0o", "0O"]), (2, ["0b", "0B"])] {
        if let Some(digits) = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)) {
            let digits = digits.strip_prefix('_').unwrap_or(digits);
            let value = u128::from_str_radix(&ungrouped(digits)?, base).ok()?;
            return Some(Literal::Int(signed(value.to_string())));
        }
    }
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        let digits = ungrouped(text)?;
        let plain = digits.trim_start_matches('0');
        return match plain {
            "" => Some(Literal::Int("0".to_owned())),
            // Octal once, an error now.
            _ if digits.starts_with('0') => None,
            _ => Some(Literal::Int(signed(digits))),
        };
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = Vec::new();
    for part in [whole, fraction] {
        digits.push(if part.is_empty() { String::new() } else { decimal(part)? });
    }
    if digits.iter().all(String::is_empty) {
        return None;
    }
    let mut plain = format!("{}.{}", digits[0], digits[1]);
    if let Some(exponent) = exponent {
        let sign = if exponent.starts_with('-') { "-" } else { "" };
        plain += &format!("e{sign}{}", decimal(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))?);
    }
    let value: f64 = plain.parse().ok()?;
    Some(Literal::Float(if minus { -value } else { value }))
}

fn decimal(text: &str) -> Option<String> {
    let digits = ungrouped(text)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then_some(digits)
}

/// Digits without the underscores between them.
fn ungrouped(digits: &str) -> Option<String> {
    let wrong = digits.is_empty() || digits.starts_with('_') || digits.ends_with('_') || digits.contains("__");
    (!wrong && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')).then(|| digits.replace('_', ""))
}

/// As Python prints it: the shortest digits that read back the same, with an exponent below 1e-4 and from 1e16.
pub(super) fn shown(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        format!("{value:?}")
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.abs())
    }
}
