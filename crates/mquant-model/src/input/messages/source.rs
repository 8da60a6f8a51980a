//! A media url as bytes or a path: `data:` with base64, `file://`, or a path relative to the messages file.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{MAX_INLINE_BYTES, MediaSource};
use crate::excerpt::quoted;
use crate::input::MediaKind;

/// Why a url was refused; the caller adds the place.
#[derive(Debug)]
pub(super) enum SourceError {
    /// A scheme that is not fetched.
    Scheme(String),
    /// A broken data URL, or base64 that is none.
    Data(String),
    /// More bytes than allowed inline.
    TooLarge { found: usize },
    /// Not a usable path.
    Path(String),
}

/// The source that `url` names; paths are taken relative to `base`. Opens nothing.
pub(super) fn source(url: &str, kind: MediaKind, base: &Path) -> Result<MediaSource, SourceError> {
    if has_scheme(url, "data:") {
        return data(&url["data:".len()..], kind);
    }
    if has_scheme(url, "file://") {
        return file(&url["file://".len()..]);
    }
    if let Some((scheme, _)) = url.split_once("://") {
        return Err(SourceError::Scheme(format!("media over {} (remote media are never fetched)", quoted(scheme))));
    }
    path(url).map(|relative| MediaSource::Path(base.join(relative)))
}

fn has_scheme(url: &str, scheme: &str) -> bool {
    url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

fn path(text: &str) -> Result<&Path, SourceError> {
    if text.is_empty() {
        return Err(SourceError::Path("an empty path".into()));
    }
    if text.contains('\0') {
        return Err(SourceError::Path("a path with a NUL character".into()));
    }
    Ok(Path::new(text))
}

fn file(rest: &str) -> Result<MediaSource, SourceError> {
    let local = match rest.find('/') {
        Some(slash) if slash == 0 || rest[..slash].eq_ignore_ascii_case("localhost") => &rest[slash..],
        _ => return Err(SourceError::Scheme("a file:// url with a host".into())),
    };
    let decoded = percent_decoded(local)
        .ok_or_else(|| SourceError::Path(format!("{}, whose percent escapes are broken", quoted(local))))?;
    path(&decoded).map(|absolute| MediaSource::Path(absolute.to_owned()))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let high = (digits[0] as char).to_digit(16)?;
        let low = (digits[1] as char).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

fn data(rest: &str, kind: MediaKind) -> Result<MediaSource, SourceError> {
    let (header, body) =
        rest.split_once(',').ok_or_else(|| SourceError::Data("has no comma after its header".into()))?;
    let mut fields = header.split(';');
    let media_type = fields.next().unwrap_or("");
    let expected = format!("{}/", kind.name());
    if !media_type.get(..expected.len()).is_some_and(|start| start.eq_ignore_ascii_case(&expected)) {
        return Err(SourceError::Data(format!("has media type {}, expected {expected}…", quoted(media_type))));
    }
    if !fields.next_back().is_some_and(|encoding| encoding.eq_ignore_ascii_case("base64")) {
        return Err(SourceError::Data("is not marked ;base64".into()));
    }
    inline(body)
}

/// The bytes that strict base64 stands for.
pub(super) fn inline(body: &str) -> Result<MediaSource, SourceError> {
    let decoded_at_most = body.len() / 4 * 3;
    if decoded_at_most > MAX_INLINE_BYTES + 2 {
        return Err(SourceError::TooLarge { found: decoded_at_most });
    }
    let bytes = STANDARD.decode(body).map_err(|e| SourceError::Data(format!("is not strict base64: {e}")))?;
    if bytes.len() > MAX_INLINE_BYTES {
        return Err(SourceError::TooLarge { found: bytes.len() });
    }
    if bytes.is_empty() {
        return Err(SourceError::Data("holds no bytes".into()));
    }
    Ok(MediaSource::Bytes(bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Result<MediaSource, SourceError> {
        source(url, MediaKind::Image, Path::new("folder"))
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        assert_eq!(at("a b.png").unwrap(), MediaSource::Path("folder/a b.png".into()));
        assert_eq!(at("/x/a.png").unwrap(), MediaSource::Path("/x/a.png".into()));
        assert_eq!(at("file:///x/a%20b%C3%A9.png").unwrap(), MediaSource::Path("/x/a bé.png".into()));
        assert_eq!(at("FILE://localhost/x").unwrap(), MediaSource::Path("/x".into()));
    }

    #[test]
    fn remote_and_broken_urls_are_refused() {
        for url in ["http://a/b.png", "HTTPS://a/b", "s3://bucket/x", "file://host/x", "file://"] {
            assert!(matches!(at(url), Err(SourceError::Scheme(_))), "{url}");
        }
        for url in ["", "a\0b", "file:///%zz", "file:///%4", "file:///%ff"] {
            assert!(matches!(at(url), Err(SourceError::Path(_))), "{url}");
        }
    }

    #[test]
    fn data_urls_are_strict() {
        assert_eq!(at("data:image/png;base64,AQID").unwrap(), MediaSource::Bytes([1, 2, 3].as_slice().into()));
        assert_eq!(at("DATA:IMAGE/PNG;x=1;BASE64,AQI=").unwrap(), MediaSource::Bytes([1, 2].as_slice().into()));
        for url in [
            "data:image/png;base64",
            "data:text/html;base64,AQID",
            "data:video/mp4;base64,AQID",
            "data:image/png,AQID",
            "data:image/png;base64,",
            "data:image/png;base64,AQI",
            "data:image/png;base64,AQ ID",
            "data:image/png;base64,AQ-_",
            "data:image/png;base64,AQJ=",
            "data:,",
        ] {
            assert!(matches!(at(url), Err(SourceError::Data(_))), "{url}");
        }
        let sound = |url| source(url, MediaKind::Audio, Path::new("folder"));
        assert_eq!(sound("data:audio/wav;base64,AQID").unwrap(), MediaSource::Bytes([1, 2, 3].as_slice().into()));
        assert!(matches!(sound("data:image/png;base64,AQID"), Err(SourceError::Data(_))));
    }

    #[test]
    fn the_inline_limit_is_checked_on_the_encoded_length() {
        let fits = format!("data:image/png;base64,{}", STANDARD.encode(vec![7; MAX_INLINE_BYTES]));
        assert!(matches!(at(&fits), Ok(MediaSource::Bytes(bytes)) if bytes.len() == MAX_INLINE_BYTES));
        let over = format!("data:image/png;base64,{}", STANDARD.encode(vec![7; MAX_INLINE_BYTES + 1]));
        assert!(matches!(at(&over), Err(SourceError::TooLarge { .. })));
        let far_over = format!("data:image/png;base64,{}", "!".repeat(MAX_INLINE_BYTES * 2));
        assert!(matches!(at(&far_over), Err(SourceError::TooLarge { .. })));
        assert!(matches!(inline(&far_over), Err(SourceError::TooLarge { .. })));
    }
}
