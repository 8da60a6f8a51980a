//! The marker structure of a JPEG: what its decoder does not tell.
//!
//! The decoder fills the rest of a cut picture with grey and takes every four-component picture for an inverted CMYK one.
//! Both are found here by walking the markers.

use super::header::{Size, be16};

/// What the markers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Markers {
    /// Of the frame.
    pub(super) components: u8,
    /// Colour transform of the Adobe segment, if there is one.
    pub(super) adobe: Option<u8>,
    /// Passes over the picture.
    pub(super) scans: usize,
    /// Whether the end marker was met.
    pub(super) end: End,
}

/// How the walk ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// With the data.
    #[default]
    Cut,
    /// With the end marker.
    Complete,
}

const SOS: u8 = 0xda;
const EOI: u8 = 0xd9;
const APP14: u8 = 0xee;

/// Size in the first frame header.
pub(super) fn size(bytes: &[u8]) -> Size {
    for segment in (Segments { bytes, at: 2 }) {
        if is_frame(segment.marker) {
            return Size::of(be16(segment.body, 3), be16(segment.body, 1));
        }
        if segment.marker == SOS || segment.marker == EOI {
            return Size::Wrong("no frame header before the first scan");
        }
    }
    Size::Cut
}

/// All markers up to the end of the picture.
pub(super) fn markers(bytes: &[u8]) -> Markers {
    let mut found = Markers::default();
    for segment in (Segments { bytes, at: 2 }) {
        match segment.marker {
            SOS => found.scans += 1,
            EOI => {
                found.end = End::Complete;
                break;
            }
            APP14 if segment.body.starts_with(b"Adobe") => found.adobe = segment.body.get(11).copied(),
            marker if is_frame(marker) => found.components = segment.body.get(5).copied().unwrap_or(0),
            _ => {}
        }
    }
    found
}

fn is_frame(marker: u8) -> bool {
    (0xc0..=0xcf).contains(&marker) && ![0xc4, 0xc8, 0xcc].contains(&marker)
}

struct Segment<'a> {
    marker: u8,
    /// Without the length field.
    body: &'a [u8],
}

/// Segments in file order; entropy-coded data between them is skipped.
struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            let marker_at = self.at + rest.iter().position(|&b| b == 0xff)?;
            let marker = *self.bytes.get(marker_at + 1)?;
            self.at = marker_at + 1;
            match marker {
                // Fill, or a byte that may begin the next marker.
                0xff => continue,
                // A stuffed zero and restart markers belong to the entropy-coded data; 0x01 stands alone.
                0x00 | 0x01 | 0xd0..=0xd8 => self.at += 1,
                EOI => {
                    self.at = self.bytes.len();
                    return Some(Segment { marker, body: &[] });
                }
                _ => {
                    let length = be16(self.bytes, marker_at + 2)? as usize;
                    let body = self.bytes.get(marker_at + 4..marker_at + 2 + length.max(2))?;
                    self.at = marker_at + 2 + length.max(2);
                    return Some(Segment { marker, body });
                }
            }
        }
    }
}
