//! The container of a sound, by content.

use super::bytes::be32;
use super::{AudioError, Format};

/// A file without the tags around it.
pub(super) struct Untagged<'a> {
    /// By content.
    pub(super) format: Format,
    /// What the decoder reads.
    pub(super) bytes: &'a [u8],
}

/// Tells the format. ID3 tags, which may stand before MP3, AAC and FLAC and after MP3, are cut off: they hold no sound.
pub(super) fn untagged(bytes: &[u8]) -> Result<Untagged<'_>, AudioError> {
    let body = skip_id3(bytes);
    let mpeg = |layer| body.len() > 1 && body[0] == 0xff && body[1] & 0xe0 == 0xe0 && body[1] >> 1 & 3 == layer;
    let format = if body.starts_with(b"RIFF") && body.get(8..12) == Some(b"WAVE") {
        Format::Wav
    } else if body.starts_with(b"fLaC") {
        Format::Flac
    } else if body.starts_with(b"OggS") {
        Format::Ogg
    } else if body.get(4..8) == Some(b"ftyp") {
        Format::M4a
    } else if mpeg(0) && body[1] & 0xf0 == 0xf0 {
        Format::Adts
    } else if mpeg(1) {
        Format::Mp3
    } else {
        return Err(AudioError::UnknownFormat { found: describe(body, bytes) });
    };
    let end = if format == Format::Mp3 { without_id3v1(body) } else { body };
    Ok(Untagged { format, bytes: end })
}

/// After ID3v2 tags and the zeros that some writers leave behind them.
fn skip_id3(mut bytes: &[u8]) -> &[u8] {
    while let Some([b'I', b'D', b'3', _, _, flags, a, b, c, d]) = bytes.first_chunk() {
        let size = [a, b, c, d].iter().fold(0, |size, &&v| size << 7 | usize::from(v & 0x7f));
        let footer = if flags & 0x10 == 0 { 0 } else { 10 };
        bytes = bytes.get(10 + size + footer..).unwrap_or(&[]);
        let zeros = bytes.iter().take_while(|&&v| v == 0).count();
        // The length of an MPEG-4 box begins with zeros too.
        if bytes.get(zeros).is_some_and(|&v| v == 0xff || v == b'I') {
            bytes = &bytes[zeros..];
        }
    }
    bytes
}

fn without_id3v1(bytes: &[u8]) -> &[u8] {
    match bytes.len().checked_sub(128).map(|at| bytes.split_at(at)) {
        Some((sound, tag)) if tag.starts_with(b"TAG") => sound,
        _ => bytes,
    }
}

/// Names what people pass by mistake.
fn describe(body: &[u8], whole: &[u8]) -> &'static str {
    let text = body.iter().take(64).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace());
    match body {
        [] if whole.is_empty() => "an empty file",
        [] => "a tag without sound",
        [0xff, second, ..] if second & 0xe0 == 0xe0 && second >> 1 & 3 > 1 => "MPEG audio of layer 1 or 2",
        [0x1a, 0x45, 0xdf, 0xa3, ..] => "Matroska or WebM",
        [0, 0, 1, 0xb0..=0xbf, ..] | [0x47, ..] if be32(body, 0).is_some() && !text => "a video stream",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => "AVI, a video",
        [b'R', b'I', b'F', b'F', ..] => "a RIFF file that is no WAVE",
        [b'R', b'F', b'6', b'4', ..] | [b'R', b'I', b'F', b'X', ..] => "a WAV file of a rare kind (RF64 or RIFX)",
        [b'F', b'O', b'R', b'M', ..] => "AIFF",
        [b'c', b'a', b'f', b'f', ..] => "CAF",
        [b'A', b'P', b'E', b'T', b'A', b'G', b'E', b'X', ..] => "an APE tag before the sound",
        [b'M', b'A', b'C', b' ', ..] => "Monkey's Audio",
        [b'w', b'v', b'p', b'k', ..] => "WavPack",
        [b'#', b'!', b'A', b'M', b'R', ..] => "AMR",
        [0x30, 0x26, 0xb2, 0x75, ..] => "WMA or WMV",
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, 0xff, ..] | [b'G', b'I', b'F', b'8', ..] => "a picture",
        [b'<', ..] => "HTML or XML",
        _ if text => "text",
        _ => "other bytes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_cut_off() {
        let mut bytes = b"ID3\x04\0\0\0\0\x01\x02".to_vec();
        bytes.extend([7; 130]);
        bytes.extend([0; 5]);
        bytes.extend([0xff, 0xfb, 0x90, 0x64]);
        bytes.extend(b"TAG");
        bytes.extend([0; 125]);
        let found = untagged(&bytes).unwrap();
        assert_eq!((found.format, found.bytes), (Format::Mp3, &[0xff, 0xfb, 0x90, 0x64][..]));
        assert!(matches!(
            untagged(b"ID3\x04\0\0\x7f\x7f\x7f\x7f"),
            Err(AudioError::UnknownFormat { found: "a tag without sound" })
        ));
    }
}
