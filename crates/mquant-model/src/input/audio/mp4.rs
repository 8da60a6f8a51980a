//! The boxes of an M4A file: its one track of sound, and which part of the track is meant to be heard.
//!
//! An encoder's delay stands before the sound; an edit list says where the sound begins and how long it is. The demultiplexer
//! ignores it, so it is read here and applied after decoding.

use super::bytes::{be16, be32, be64};
use super::{AudioError, Format, Header};

const FORMAT: Format = Format::M4a;

/// Runs of samples of one duration. Encoders write one or two; looking up a sample goes through all of them.
const RUNS: u32 = 1024;

/// A track of sound.
pub(super) struct AudioTrack {
    /// Its number in the file.
    pub(super) id: u32,
    sample_rate: u32,
    channels: u32,
    /// Units of `duration` and of the edit's start in a second.
    timescale: u32,
    duration: u64,
    edit: Option<Edit>,
}

#[derive(Clone, Copy)]
struct Edit {
    /// In the track's units.
    start: u64,
    /// In the movie's units; 0 for all that is there.
    length: u64,
    /// Units of `length` in a second.
    timescale: u32,
}

impl AudioTrack {
    pub(super) fn header(&self) -> Header {
        let frames = self.heard(self.sample_rate).1.or_else(|| scale(self.duration, self.sample_rate, self.timescale));
        Header { format: FORMAT, sample_rate: self.sample_rate, channels: self.channels, frames }
    }

    /// Samples to leave out at the start, and samples to keep, at the rate that the decoder found.
    pub(super) fn heard(&self, sample_rate: u32) -> (u64, Option<u64>) {
        let Some(edit) = self.edit else { return (0, None) };
        let start = scale(edit.start, sample_rate, self.timescale).unwrap_or(u64::MAX);
        (start, Some(edit.length).filter(|&n| n > 0).and_then(|n| scale(n, sample_rate, edit.timescale)))
    }
}

/// `time` in `timescale`ths of a second, as samples, rounded to nearest.
fn scale(time: u64, sample_rate: u32, timescale: u32) -> Option<u64> {
    let samples = u128::from(time) * u128::from(sample_rate) + u128::from(timescale / 2);
    samples.checked_div(u128::from(timescale)).and_then(|n| u64::try_from(n).ok())
}

pub(super) fn read(bytes: &[u8]) -> Result<AudioTrack, AudioError> {
    let cut = || AudioError::Truncated { format: FORMAT, found: bytes.len() };
    let mut movie = None;
    let mut boxes = Boxes { rest: bytes };
    for (kind, body) in &mut boxes {
        if kind == *b"moov" {
            movie = Some(body);
        }
    }
    if !boxes.rest.is_empty() {
        return Err(cut());
    }
    let movie = movie.ok_or_else(cut)?;
    if child(movie, b"mvex").is_some() {
        return Err(unsupported("a file in fragments"));
    }
    let movie_timescale = child(movie, b"mvhd").and_then(timescale).unwrap_or(0);
    let mut sounds = Vec::new();
    for (kind, track) in (Boxes { rest: movie }) {
        let media = child(track, b"mdia").unwrap_or(&[]);
        match child(media, b"hdlr").and_then(|body| body.get(8..12)) {
            Some(b"vide") if kind == *b"trak" => return Err(AudioError::UnknownFormat { found: "a video" }),
            Some(b"soun") if kind == *b"trak" => sounds.push((track, media)),
            _ => {}
        }
    }
    match sounds[..] {
        [] => Err(wrong("no track of sound")),
        [(track, media)] => read_track(track, media, movie_timescale),
        _ => Err(unsupported(&format!("a file of {} tracks of sound", sounds.len()))),
    }
}

fn read_track(track: &[u8], media: &[u8], movie_timescale: u32) -> Result<AudioTrack, AudioError> {
    let short = || wrong("a track's description is cut or missing");
    let id = child(track, b"tkhd").and_then(|body| versioned(body, 12, 20)).ok_or_else(short)?;
    let media_header = child(media, b"mdhd").ok_or_else(short)?;
    let timescale = timescale(media_header).filter(|&n| n > 0).ok_or_else(|| wrong("a track without time"))?;
    let duration = if is_long(media_header) { be64(media_header, 24) } else { be32(media_header, 16).map(u64::from) };
    let table = child(media, b"minf").and_then(|body| child(body, b"stbl")).ok_or_else(short)?;
    let runs = child(table, b"stts").and_then(|body| be32(body, 4)).ok_or_else(short)?;
    if runs > RUNS {
        return Err(unsupported(&format!("a track of {runs} runs of sample durations, more than {RUNS},")));
    }
    let descriptions = child(table, b"stsd").and_then(|body| body.get(8..)).ok_or_else(short)?;
    let (codec, entry) = Boxes { rest: descriptions }.next().ok_or_else(short)?;
    if codec != *b"mp4a" {
        let name = if codec.iter().all(u8::is_ascii_graphic) { String::from_utf8_lossy(&codec) } else { "?".into() };
        return Err(unsupported(&format!("codec `{name}`")));
    }
    let (Some(channels), Some(rate)) = (be16(entry, 16), be32(entry, 24)) else { return Err(short()) };
    // The field holds 16 bits; a higher rate is in the track's units.
    let sample_rate = if rate >> 16 == 0 { timescale } else { rate >> 16 };
    let edit = edit(track, movie_timescale)?;
    Ok(AudioTrack { id, sample_rate, channels, timescale, duration: duration.ok_or_else(short)?, edit })
}

fn edit(track: &[u8], movie_timescale: u32) -> Result<Option<Edit>, AudioError> {
    let Some(list) = child(track, b"edts").and_then(|body| child(body, b"elst")) else { return Ok(None) };
    let short = || wrong("an edit list that is cut");
    match be32(list, 4).ok_or_else(short)? {
        0 => return Ok(None),
        1 => {}
        n => return Err(unsupported(&format!("a track of {n} edits"))),
    }
    let (length, start) = if is_long(list) {
        (be64(list, 8), be64(list, 16).map(u64::cast_signed))
    } else {
        (be32(list, 8).map(u64::from), be32(list, 12).map(|v| i64::from(v.cast_signed())))
    };
    let start = u64::try_from(start.ok_or_else(short)?).map_err(|_| unsupported("a track that begins with a pause"))?;
    if movie_timescale == 0 {
        return Err(wrong("a movie without time"));
    }
    Ok(Some(Edit { start, length: length.ok_or_else(short)?, timescale: movie_timescale }))
}

fn wrong(reason: &str) -> AudioError {
    AudioError::Decode { format: FORMAT, reason: reason.to_owned() }
}

fn unsupported(feature: &str) -> AudioError {
    AudioError::Unsupported { format: FORMAT, feature: feature.to_owned() }
}

/// Whether a full box has 64-bit times.
fn is_long(body: &[u8]) -> bool {
    body.first() == Some(&1)
}

fn versioned(body: &[u8], short: usize, long: usize) -> Option<u32> {
    be32(body, if is_long(body) { long } else { short })
}

/// Of a movie's or a track's header.
fn timescale(body: &[u8]) -> Option<u32> {
    versioned(body, 12, 20)
}

fn child<'a>(body: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    Boxes { rest: body }.find(|(found, _)| found == kind).map(|(_, body)| body)
}

/// Kind and body of one box after the other; ends before one that does not fit.
struct Boxes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Boxes<'a> {
    type Item = ([u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let kind = *self.rest.get(4..)?.first_chunk()?;
        let (head, size) = match be32(self.rest, 0)? {
            0 => (8, self.rest.len()),
            1 => (16, usize::try_from(be64(self.rest, 8)?).ok()?),
            size => (8, size as usize),
        };
        let body = self.rest.get(head..size)?;
        self.rest = &self.rest[size..];
        Some((kind, body))
    }
}
