//! Rate, channels and length of a sound from its header, without a decoder: what limits are checked against.

use super::bytes::be32;
use super::format::{Untagged, untagged};
use super::{AudioError, Format, Header, mp4, ogg, wav};

pub(super) fn header(bytes: &[u8]) -> Result<Header, AudioError> {
    of(&untagged(bytes)?)
}

pub(super) fn of(file: &Untagged<'_>) -> Result<Header, AudioError> {
    match file.format {
        Format::Wav => wav::header(file.bytes),
        Format::Flac => flac(file.bytes),
        Format::Mp3 => mp3(file.bytes),
        Format::Ogg => ogg::header(file.bytes),
        Format::M4a => mp4::read(file.bytes).map(|track| track.header()),
        Format::Adts => adts(file.bytes),
    }
}

/// The stream information block: 20 bits of rate, 3 of channels, 5 of width, 36 of length (0 if unknown).
fn flac(bytes: &[u8]) -> Result<Header, AudioError> {
    let format = Format::Flac;
    let cut = || AudioError::Truncated { format, found: bytes.len() };
    let block = be32(bytes, 4).ok_or_else(cut)?;
    if block & 0x7fff_ffff != 34 {
        return Err(AudioError::Decode { format, reason: "the first block is no stream information".to_owned() });
    }
    let (high, low) = (be32(bytes, 18).ok_or_else(cut)?, be32(bytes, 22).ok_or_else(cut)?);
    let frames = u64::from(high & 0xf) << 32 | u64::from(low);
    let frames = Some(frames).filter(|&n| n > 0);
    Ok(Header { format, sample_rate: high >> 12, channels: (high >> 9 & 7) + 1, frames })
}

/// The first frame's header; its count of frames, if any, is in the frame and read with it.
fn mp3(bytes: &[u8]) -> Result<Header, AudioError> {
    let format = Format::Mp3;
    let word = be32(bytes, 0).ok_or(AudioError::Truncated { format, found: bytes.len() })?;
    let wrong = |reason: &str| AudioError::Decode { format, reason: reason.to_owned() };
    // MPEG 1, 2 and 2.5 by halves.
    let halving = match word >> 19 & 3 {
        3 => 0,
        2 => 1,
        0 => 2,
        _ => return Err(wrong("reserved version of MPEG")),
    };
    let rate = *[44_100, 48_000, 32_000].get((word >> 10 & 3) as usize).ok_or_else(|| wrong("reserved sample rate"))?;
    let channels = if word >> 6 & 3 == 3 { 1 } else { 2 };
    Ok(Header { format, sample_rate: rate >> halving, channels, frames: None })
}

fn adts(bytes: &[u8]) -> Result<Header, AudioError> {
    const RATES: [u32; 13] =
        [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
    let format = Format::Adts;
    let word = be32(bytes, 0).ok_or(AudioError::Truncated { format, found: bytes.len() })?;
    let rate = RATES.get((word >> 10 & 0xf) as usize);
    let sample_rate = *rate.ok_or_else(|| AudioError::Decode { format, reason: "reserved sample rate".to_owned() })?;
    match word >> 6 & 7 {
        0 => {
            let feature = "a channel layout that is not in the header".to_owned();
            Err(AudioError::Unsupported { format, feature })
        }
        channels => {
            Ok(Header { format, sample_rate, channels: if channels == 7 { 8 } else { channels }, frames: None })
        }
    }
}
