//! The pages of an Ogg file: which codec, how long, whether it is whole, and whether its codebooks are of honest size.

use super::bytes::{le32, le64};
use super::codebooks;
use super::{AudioError, Format, Header};

const FORMAT: Format = Format::Ogg;

const BEGINS: u8 = 2;
const ENDS: u8 = 4;

/// A granule position that marks no end of a packet.
const NO_POSITION: u64 = u64::MAX;

/// Most bytes of the three packets before the sound: comments may hold a picture.
const HEADER_BYTES: usize = 4 << 20;

struct Page<'a> {
    flags: u8,
    position: u64,
    stream: u32,
    /// Lengths of the segments; one below 255 ends a packet.
    lacing: &'a [u8],
    body: &'a [u8],
}

pub(super) fn header(bytes: &[u8]) -> Result<Header, AudioError> {
    let cut = || AudioError::Truncated { format: FORMAT, found: bytes.len() };
    let wrong = |reason: &str| AudioError::Decode { format: FORMAT, reason: reason.to_owned() };
    let unsupported = |feature: &str| AudioError::Unsupported { format: FORMAT, feature: feature.to_owned() };
    let mut rest = bytes;
    let mut packets = Packets::default();
    let mut stream = None;
    let (mut frames, mut ended) = (0, false);
    while !rest.is_empty() {
        let (page, after) = page(rest).map_err(|fault| match fault {
            Fault::Cut => cut(),
            Fault::NoPage => wrong("bytes between pages"),
        })?;
        rest = after;
        if page.flags & BEGINS != 0 && stream.is_some() {
            return Err(unsupported("a file of several streams"));
        }
        if *stream.get_or_insert(page.stream) != page.stream {
            return Err(wrong("a page of a stream that does not begin"));
        }
        packets.take(&page)?;
        if page.position != NO_POSITION {
            frames = page.position;
        }
        ended = page.flags & ENDS != 0;
    }
    let first = packets.whole.first().ok_or_else(cut)?;
    check_codec(first)?;
    let (Some(&channels), Some(sample_rate)) = (first.get(11), le32(first, 12)) else {
        return Err(wrong("an identification header that is too short"));
    };
    if let Some(fault) = identification_fault(first) {
        return Err(wrong(fault));
    }
    let [_, _, setup] = &packets.whole[..] else { return Err(cut()) };
    if !ended {
        return Err(cut());
    }
    if !codebooks::are_honest(setup) {
        return Err(unsupported("codebooks of more values than any encoder writes"));
    }
    Ok(Header { format: FORMAT, sample_rate, channels: u32::from(channels), frames: Some(frames) })
}

fn check_codec(packet: &[u8]) -> Result<(), AudioError> {
    let found = match packet {
        [1, b'v', b'o', b'r', b'b', b'i', b's', ..] => return Ok(()),
        [b'O', b'p', b'u', b's', ..] => "Opus",
        [b'S', b'p', b'e', b'e', b'x', ..] => "Speex",
        [0x7f, b'F', b'L', b'A', b'C', ..] => "FLAC in OGG",
        [0x80, b't', b'h', b'e', b'o', b'r', b'a', ..] => "video",
        _ => "a codec other than Vorbis",
    };
    Err(AudioError::Unsupported { format: FORMAT, feature: found.to_owned() })
}

/// What is wrong with an identification header (Vorbis I, 4.2.2), which the decoder would only pass over.
fn identification_fault(packet: &[u8]) -> Option<&'static str> {
    let (Some(version), Some(&blocks), Some(&framing)) = (le32(packet, 7), packet.get(28), packet.get(29)) else {
        return Some("an identification header that is too short");
    };
    let (small, large) = (blocks & 0xf, blocks >> 4);
    if version != 0 {
        Some("an unknown version of Vorbis")
    } else if !(6..=13).contains(&small) || !(6..=13).contains(&large) || small > large {
        Some("blocks of other sizes than Vorbis has")
    } else if framing & 1 == 0 {
        Some("an identification header without its framing bit")
    } else {
        None
    }
}

enum Fault {
    Cut,
    NoPage,
}

/// The first page of `bytes`, and what follows it.
fn page(bytes: &[u8]) -> Result<(Page<'_>, &[u8]), Fault> {
    if !bytes.starts_with(b"OggS") {
        return Err(if bytes.len() < 4 && b"OggS".starts_with(bytes) { Fault::Cut } else { Fault::NoPage });
    }
    let (Some(position), Some(stream), Some(&segments)) = (le64(bytes, 6), le32(bytes, 14), bytes.get(26)) else {
        return Err(Fault::Cut);
    };
    let lacing = bytes.get(27..27 + usize::from(segments)).ok_or(Fault::Cut)?;
    let length = lacing.iter().map(|&n| usize::from(n)).sum();
    let (body, after) = bytes[27 + lacing.len()..].split_at_checked(length).ok_or(Fault::Cut)?;
    Ok((Page { flags: bytes[5], position, stream, lacing, body }, after))
}

/// The first three packets, put together.
#[derive(Default)]
struct Packets {
    whole: Vec<Vec<u8>>,
    begun: Vec<u8>,
}

impl Packets {
    fn take(&mut self, page: &Page<'_>) -> Result<(), AudioError> {
        let mut body = page.body;
        for &length in page.lacing {
            if self.whole.len() == 3 {
                return Ok(());
            }
            let (segment, after) = body.split_at(usize::from(length));
            body = after;
            self.begun.extend_from_slice(segment);
            if self.begun.len() > HEADER_BYTES {
                let feature = format!("headers of more than {HEADER_BYTES} bytes");
                return Err(AudioError::Unsupported { format: FORMAT, feature });
            }
            if length < 255 {
                self.whole.push(std::mem::take(&mut self.begun));
            }
        }
        Ok(())
    }
}
