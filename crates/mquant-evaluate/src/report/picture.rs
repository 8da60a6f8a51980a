//! Which pictures may be embedded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest address that is embedded, in bytes.
const LONGEST: usize = 96 << 10;
/// Forms of pictures, with the bytes they begin with (PNG 1.2, 3.1; JPEG, ITU T.81, B.1.1.3).
const FORMS: [(&str, &[u8]); 2] =
    [("data:image/png;base64,", b"\x89PNG\r\n\x1a\n"), ("data:image/jpeg;base64,", b"\xff\xd8\xff")];

/// Whether an address holds a PNG or JPEG picture in base64 and nothing else.
pub(super) fn is_harmless(address: &str) -> bool {
    if address.len() > LONGEST {
        return false;
    }
    FORMS.iter().any(|(form, begins)| {
        let bytes = address.strip_prefix(form).and_then(|text| STANDARD.decode(text).ok());
        bytes.is_some_and(|bytes| bytes.starts_with(begins))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_of_the_two_forms_pass() {
        // The first bytes of either form in base64, by hand.
        for right in ["data:image/png;base64,iVBORw0KGgo=", "data:image/jpeg;base64,/9j/4AAQ"] {
            assert!(is_harmless(right), "{right}");
        }
        let long = format!("data:image/jpeg;base64,/9j/{}", "A".repeat(100_000));
        for wrong in [
            "",
            "javascript:alert(1)",
            "data:text/html;base64,iVBORw0KGgo=",
            "data:image/svg+xml;base64,PHN2Zz4=",
            "data:image/png;base64,PHN2Zz4=",
            "data:image/png,iVBORw0KGgo=",
            "data:image/png;base64,iVBORw0KGgo=\" onerror=\"x",
            "data:image/png;base64,iVBORw0KGgo=\n",
            " data:image/png;base64,iVBORw0KGgo=",
            "DATA:image/png;base64,iVBORw0KGgo=",
            "data:image/jpeg;base64,iVBORw0KGgo=",
            &long,
        ] {
            assert!(!is_harmless(wrong), "{}", &wrong[..wrong.len().min(60)]);
        }
    }
}
