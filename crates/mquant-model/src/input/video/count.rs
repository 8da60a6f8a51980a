//! The number of frames, read from a container's structure without decoding any.

use crate::input::image::le32;

/// Pictures in a GIF, counted up to `stop`; what cannot be walked ends the count.
pub(super) fn gif(bytes: &[u8], stop: usize) -> usize {
    let mut frames = 0;
    let mut at = 13 + bytes.get(10).map_or(0, |&flags| palette(flags));
    while frames < stop {
        let next = match bytes.get(at) {
            Some(0x2c) => {
                frames += 1;
                let flags = bytes.get(at + 9).copied().unwrap_or(0);
                // Descriptor, palette, code size.
                sub_blocks(bytes, at + 10 + palette(flags) + 1)
            }
            Some(0x21) => sub_blocks(bytes, at + 2),
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    frames
}

/// Bytes of the palette that `flags` announce.
fn palette(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// Where the chain of sub-blocks at `at` ends.
fn sub_blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length => at += 1 + usize::from(length),
        }
    }
}

/// `ANMF` chunks of a WebP, counted up to `stop`.
pub(super) fn webp(bytes: &[u8], stop: usize) -> usize {
    let mut frames = 0;
    let mut at = 12;
    while frames < stop {
        let (Some(kind), Some(length)) = (bytes.get(at..at + 4), le32(bytes, at + 4)) else { break };
        frames += usize::from(kind == b"ANMF");
        // Chunks are padded to an even length.
        let padded = (length as usize).checked_add(length as usize & 1).and_then(|n| n.checked_add(at + 8));
        match padded {
            Some(next) => at = next,
            None => break,
        }
    }
    frames
}
