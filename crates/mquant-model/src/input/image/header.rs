//! Format and size of a picture from its first bytes, without a decoder: what limits are checked against.

use super::error::ImageError;
use super::{Format, Header, jpeg};

/// Format by content, never by name.
pub(crate) fn format(bytes: &[u8]) -> Result<Format, ImageError> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if starts(b"\x89PNG\r\n\x1a\n") {
        Ok(Format::Png)
    } else if starts(b"\xff\xd8\xff") {
        Ok(Format::Jpeg)
    } else if starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Ok(Format::WebP)
    } else if starts(b"GIF87a") || starts(b"GIF89a") {
        Ok(Format::Gif)
    } else if starts(b"BM") {
        Ok(Format::Bmp)
    } else {
        Err(ImageError::UnknownFormat { found: describe(bytes) })
    }
}

/// Size as the header declares it; zero sides are refused.
pub(crate) fn header(bytes: &[u8]) -> Result<Header, ImageError> {
    let format = format(bytes)?;
    let size = match format {
        Format::Png => png_size(bytes),
        Format::Jpeg => jpeg::size(bytes),
        Format::WebP => webp_size(bytes),
        Format::Gif => Size::of(le16(bytes, 6), le16(bytes, 8)),
        Format::Bmp => bmp_size(bytes),
    };
    match size {
        Size::Cut => Err(ImageError::Truncated { format, found: bytes.len() }),
        Size::Wrong(reason) => Err(ImageError::Decode { format, reason: reason.to_owned() }),
        Size::Is(width, height) if width == 0 || height == 0 => Err(ImageError::Empty { format, width, height }),
        Size::Is(width, height) => Ok(Header { format, width, height }),
    }
}

/// What a header says of the size.
pub(super) enum Size {
    /// Width and height.
    Is(u32, u32),
    /// The file ends inside the header.
    Cut,
    /// The header contradicts its format.
    Wrong(&'static str),
}

impl Size {
    /// The size if both sides could be read.
    pub(super) fn of(width: Option<u32>, height: Option<u32>) -> Self {
        match (width, height) {
            (Some(width), Some(height)) => Size::Is(width, height),
            _ => Size::Cut,
        }
    }
}

fn png_size(bytes: &[u8]) -> Size {
    match bytes.get(12..16) {
        Some(b"IHDR") => Size::of(be32(bytes, 16), be32(bytes, 20)),
        Some(_) => Size::Wrong("the first chunk is not IHDR"),
        None => Size::Cut,
    }
}

fn bmp_size(bytes: &[u8]) -> Size {
    match le32(bytes, 14) {
        None => Size::Cut,
        Some(12) => Size::of(le16(bytes, 18), le16(bytes, 20)),
        Some(_) => match le32(bytes, 18) {
            Some(width) if width.cast_signed() < 0 => Size::Wrong("negative width"),
            // A negative height means that rows run from top to bottom.
            width => Size::of(width, le32(bytes, 22).map(|h| h.cast_signed().unsigned_abs())),
        },
    }
}

fn webp_size(bytes: &[u8]) -> Size {
    match bytes.get(12..16) {
        Some(b"VP8 ") => match bytes.get(23..26) {
            Some(b"\x9d\x01\x2a") => Size::of(le16(bytes, 26).map(|w| w & 0x3fff), le16(bytes, 28).map(|h| h & 0x3fff)),
            Some(_) => Size::Wrong("VP8 start code missing"),
            None => Size::Cut,
        },
        Some(b"VP8L") => match (bytes.get(20), le32(bytes, 21)) {
            (Some(0x2f), Some(bits)) => Size::Is((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1),
            (Some(0x2f) | None, _) => Size::Cut,
            _ => Size::Wrong("VP8L signature missing"),
        },
        Some(b"VP8X") => Size::of(le24(bytes, 24).map(|w| w + 1), le24(bytes, 27).map(|h| h + 1)),
        Some(_) => Size::Wrong("the first chunk is none of VP8, VP8L, VP8X"),
        None => Size::Cut,
    }
}

/// Names what people pass by mistake.
fn describe(bytes: &[u8]) -> &'static str {
    let text = bytes.iter().take(64).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace());
    match bytes {
        [] => "an empty file",
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => "TIFF",
        [_, _, _, _, b'f', b't', b'y', b'p', b'a' | b'h' | b'm', b'v' | b'e' | b'i', b'i' | b'f', ..] => "AVIF or HEIC",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] | [0x1a, 0x45, 0xdf, 0xa3, ..] => "a video container",
        [b'%', b'P', b'D', b'F', ..] => "PDF",
        [b'<', ..] => "HTML, XML or SVG",
        [b'R', b'I', b'F', b'F', ..] => "a RIFF file that is no WebP",
        _ if text => "text",
        _ => "other bytes",
    }
}

pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?)))
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn le16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)))
}

fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    let [a, b, c] = *bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes([a, b, c, 0]))
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
