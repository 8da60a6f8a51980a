//! The chunks of a WAV file before its samples.

use super::bytes::{le16, le32};
use super::{AudioError, Format, Header};

const PCM: u32 = 1;
const FLOAT: u32 = 3;
const A_LAW: u32 = 6;
const MU_LAW: u32 = 7;
const EXTENSIBLE: u32 = 0xfffe;

/// A stream's length that its writer did not know.
const UNKNOWN: u32 = u32::MAX;

pub(super) fn header(bytes: &[u8]) -> Result<Header, AudioError> {
    let format = Format::Wav;
    let cut = || AudioError::Truncated { format, found: bytes.len() };
    let wrong = |reason: &str| AudioError::Decode { format, reason: reason.to_owned() };
    let mut described = None;
    let mut rest = bytes.get(12..).unwrap_or(&[]);
    loop {
        let (Some((kind, body)), Some(length)) = (rest.split_at_checked(8), le32(rest, 4)) else {
            return Err(if described.is_some() { cut() } else { wrong("no `fmt ` chunk") });
        };
        match (&kind[..4], described) {
            (b"fmt ", _) => described = Some(describe(body.get(..length as usize).ok_or_else(cut)?)?),
            (b"data", None) => return Err(wrong("samples before the `fmt ` chunk")),
            (b"data", Some((sample_rate, channels, frame))) => {
                let there = body.len() as u64;
                let declared = if length == UNKNOWN { there } else { u64::from(length) };
                if declared > there {
                    return Err(cut());
                }
                return Ok(Header { format, sample_rate, channels, frames: Some(declared / u64::from(frame)) });
            }
            _ => {}
        }
        // Chunks begin at even places.
        rest = body.get((length as usize).saturating_add(length as usize & 1)..).unwrap_or(&[]);
    }
}

/// Rate, channels and bytes of one sample of all channels.
fn describe(chunk: &[u8]) -> Result<(u32, u32, u32), AudioError> {
    let format = Format::Wav;
    let wrong = |reason: String| AudioError::Decode { format, reason };
    let field = |at| le16(chunk, at).ok_or_else(|| wrong(format!("a `fmt ` chunk of {} bytes", chunk.len())));
    let kind = match field(0)? {
        EXTENSIBLE => field(24)?,
        kind => kind,
    };
    let (channels, frame, bits) = (field(2)?, field(12)?, field(14)?);
    let sample_rate = le32(chunk, 4).ok_or_else(|| wrong("no sample rate".to_owned()))?;
    let known = match kind {
        PCM => matches!(bits, 8 | 16 | 24 | 32),
        FLOAT => matches!(bits, 32 | 64),
        A_LAW | MU_LAW => bits == 8,
        _ => false,
    };
    if !known {
        return Err(AudioError::Unsupported { format, feature: format!("codec {kind:#06x} of {bits} bits") });
    }
    // The caller refuses a sound without channels.
    if channels > 0 && frame != channels * bits / 8 {
        return Err(wrong(format!("{frame} bytes for each sample of {channels} channels of {bits} bits")));
    }
    Ok((sample_rate, channels, frame.max(1)))
}
