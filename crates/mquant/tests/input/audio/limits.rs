//! What is refused: before memory is taken, with one clear error each.

use std::time::{Duration, Instant};

use super::{file, fixtures, table};
use mquant::input::audio::{AudioError, AudioLimits, Sound, decode, open, probe};
use mquant::{Class, Explain};

fn code(result: Result<Sound, AudioError>) -> &'static str {
    let error = result.expect_err("refused");
    let message = error.to_string();
    assert!(!message.is_empty() && message.len() < 400, "{message}");
    error.code()
}

fn refused(bytes: &[u8]) -> &'static str {
    let begun = Instant::now();
    let code = code(decode(bytes, &AudioLimits::default()));
    assert!(begun.elapsed() < Duration::from_millis(500), "{code}: {:?}", begun.elapsed());
    code
}

/// A WAV file of `kind` 1 (integers) or 3 (floats).
pub(super) fn wav(kind: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let frame = channels.wrapping_mul(bits / 8);
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0");
    for field in [kind, channels] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate.wrapping_mul(u32::from(frame))).to_le_bytes());
    for field in [frame, bits] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(b"data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

/// The stream information of a FLAC file, and nothing else.
pub(super) fn flac(rate: u32, channels: u8, frames: u64) -> Vec<u8> {
    let mut bytes = b"fLaC\x80\0\0\x22\x10\0\x10\0\0\0\0\0\0\0".to_vec();
    let packed = u64::from(rate) << 44 | u64::from(channels - 1) << 41 | 15 << 36 | frames;
    bytes.extend(packed.to_be_bytes());
    bytes.extend([0; 16]);
    bytes
}

#[test]
fn declared_lengths_rates_and_channels_are_checked_first() {
    for (bytes, expected) in [
        (flac(16_000, 1, (1 << 36) - 1), "AUDIO_TOO_LONG"),
        (flac(16_000, 1, 600 * 16_000 + 1), "AUDIO_TOO_LONG"),
        (flac(192_000, 8, 600 * 192_000), "AUDIO_TOO_LARGE"),
        (flac(0, 1, 1), "AUDIO_RATE"),
        (flac(1_048_575, 1, 1), "AUDIO_RATE"),
        (flac(16_000, 1, 600 * 16_000), "AUDIO_TRUNCATED"),
        (wav(1, 0, 16_000, 16, &[0; 8]), "AUDIO_CHANNELS"),
        (wav(1, 9, 16_000, 16, &[0; 36]), "AUDIO_CHANNELS"),
        (wav(1, 0xffff, 16_000, 8, &[0; 36]), "AUDIO_CHANNELS"),
        (wav(1, 1, 0, 16, &[0; 8]), "AUDIO_RATE"),
        (wav(1, 1, 1, 16, &[0; 8]), "AUDIO_RATE"),
        (wav(1, 1, u32::MAX, 16, &[0; 8]), "AUDIO_RATE"),
        (wav(1, 1, 16_000, 16, &[]), "AUDIO_EMPTY"),
        (wav(1, 1, 16_000, 12, &[0; 8]), "AUDIO_UNSUPPORTED"),
        (wav(0x55, 1, 16_000, 16, &[0; 8]), "AUDIO_UNSUPPORTED"),
    ] {
        assert_eq!(refused(&bytes), expected);
    }
    let mut long = wav(1, 1, 16_000, 16, &[0; 8]);
    long[40..44].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    assert_eq!(refused(&long), "AUDIO_TRUNCATED");
    // A writer that does not know the length yet.
    long[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(decode(&long, &AudioLimits::default()).unwrap().samples().len(), 4);
}

#[test]
fn every_limit_holds() {
    let stereo = file("stereo.wav");
    let limits = AudioLimits::default;
    assert_eq!(
        code(decode(&stereo, &AudioLimits { encoded_bytes: stereo.len() as u64 - 1, ..limits() })),
        "AUDIO_BYTES"
    );
    assert_eq!(code(decode(&stereo, &AudioLimits { channels: 1, ..limits() })), "AUDIO_CHANNELS");
    assert_eq!(code(decode(&stereo, &AudioLimits { sample_rate: 44_099, ..limits() })), "AUDIO_RATE");
    assert_eq!(code(decode(&stereo, &AudioLimits { seconds: 0, ..limits() })), "AUDIO_TOO_LONG");
    let bytes = 4 * probe(&stereo).unwrap().frames.unwrap();
    assert_eq!(code(decode(&stereo, &AudioLimits { decoded_bytes: bytes - 1, ..limits() })), "AUDIO_TOO_LARGE");
    assert!(decode(&stereo, &AudioLimits { decoded_bytes: bytes, ..limits() }).is_ok());
    let path = fixtures().join("files/stereo.wav");
    let error = open(&path, &AudioLimits { encoded_bytes: 100, ..limits() }).unwrap_err();
    assert_eq!(error.code(), "AUDIO_BYTES");
    assert!(error.to_string().contains("stereo.wav") && error.hint().is_some(), "{error}");
}

#[test]
fn a_length_that_no_header_declares_is_counted() {
    for name in ["untagged.mp3", "mono.aac"] {
        let long = file(name).repeat(8);
        let limits = AudioLimits { seconds: 1, ..Default::default() };
        let error = decode(&long, &limits).unwrap_err();
        assert!(matches!(error, AudioError::TooLong { declared: None, limit: 1 }), "{name}: {error}");
        assert!(decode(&long, &AudioLimits::default()).unwrap().seconds() > 2.0, "{name}");
    }
}

#[test]
fn samples_that_are_no_numbers_are_refused() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30] {
        let data: Vec<u8> = [0.0, value, 0.5].iter().flat_map(|v: &f32| v.to_le_bytes()).collect();
        let error = decode(&wav(3, 1, 16_000, 32, &data), &AudioLimits::default()).unwrap_err();
        assert!(matches!(error, AudioError::Sample { index: 1, .. }), "{error}");
        assert_eq!(code(Sound::new(vec![value], 16_000)), "AUDIO_SAMPLE");
    }
    assert_eq!(code(Sound::new(Vec::new(), 16_000)), "AUDIO_EMPTY");
    assert_eq!(code(Sound::new(vec![0.0], 0)), "AUDIO_RATE");
}

#[test]
fn what_is_no_sound_is_named() {
    for (name, expected, word) in [
        ("opus.ogg", "AUDIO_UNSUPPORTED", "Opus"),
        ("adpcm.wav", "AUDIO_UNSUPPORTED", "codec"),
        ("layer2.mp2", "AUDIO_FORMAT", "layer 1 or 2"),
        ("alac.m4a", "AUDIO_UNSUPPORTED", "alac"),
        ("fragments.m4a", "AUDIO_UNSUPPORTED", "fragments"),
        ("sound.aiff", "AUDIO_FORMAT", "AIFF"),
        ("sound.mkv", "AUDIO_FORMAT", "Matroska"),
        ("video.mp4", "AUDIO_FORMAT", "a video"),
    ] {
        let error = open(&fixtures().join("refused").join(name), &AudioLimits::default()).expect_err(name);
        assert_eq!(error.code(), expected, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.hint().unwrap().contains("ffmpeg"), "{error}");
    }
    for (bytes, word) in [
        (&b""[..], "an empty file"),
        (b"What is said here?", "text"),
        (b"<!doctype html>", "HTML"),
        (b"\x89PNG\r\n\x1a\n", "a picture"),
        (b"RIFF\0\0\0\0AVI ", "AVI"),
        (&[0; 64], "other bytes"),
    ] {
        let error = decode(bytes, &AudioLimits::default()).unwrap_err();
        assert_eq!(error.code(), "AUDIO_FORMAT");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn paths_that_hold_no_file_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(folder.path(), &AudioLimits::default()).unwrap_err();
    assert_eq!((error.code(), error.class()), ("AUDIO_OPEN", Class::Input));
    let error = open(&folder.path().join("none.wav"), &AudioLimits::default()).unwrap_err();
    assert_eq!((error.code(), error.class()), ("AUDIO_OPEN", Class::Input));
}

/// Nothing tells that an MP3 without a count of frames, or ADTS, is cut.
#[test]
fn a_cut_file_is_refused() {
    for [name, ..] in table::<5>("files.tsv") {
        let whole = file(&name);
        for length in (0..whole.len()).step_by(61) {
            match decode(&whole[..length], &AudioLimits::default()) {
                Err(e) => assert_ne!(e.code(), "AUDIO_DECODER", "{name} of {length} bytes: {e}"),
                Ok(_) => {
                    let frames = 2 * whole.len() / 10;
                    let untold = name == "untagged.mp3" || name.ends_with(".aac");
                    let tail = name.ends_with(".mp3") && whole.len() - length < frames.max(1000);
                    assert!(untold || tail, "{name} of {length} bytes");
                }
            }
        }
    }
}

/// The bytes after the name of the first box or chunk `name`, which are replaced.
pub(super) fn patch(bytes: &mut [u8], name: &[u8; 4], offset: usize, with: &[u8]) {
    let at = bytes.windows(4).position(|window| window == name).unwrap() + 4 + offset;
    bytes[at..at + with.len()].copy_from_slice(with);
}

#[test]
fn long_hostile_files_end_in_time() {
    let noise: Vec<u8> = (0..4_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
    let sync = |pattern: &[u8]| pattern.repeat((4 << 20) / pattern.len());
    let after = |name: &str, keep: usize, tail: &[u8]| [&file(name)[..keep], tail].concat();
    let mut counted = file("mono.m4a");
    patch(&mut counted, b"stsz", 4, &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
    patch(&mut counted, b"stts", 4, &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
    let mut many_runs = file("mono.m4a");
    patch(&mut many_runs, b"stts", 4, &[0x7f, 0, 0, 0]);
    for (what, bytes) in [
        ("FLAC, then noise", after("mono.flac", 9000, &noise)),
        ("FLAC, then frame marks", after("mono.flac", 9000, &sync(&[0xff, 0xf8, 0x69, 0x08]))),
        ("MP3, then noise", after("mono.mp3", 1500, &noise)),
        ("MP3, then frame marks", after("mono.mp3", 1500, &sync(&[0xff, 0xf3]))),
        ("AAC, then noise", after("mono.aac", 1000, &noise)),
        ("AAC, then frame marks", after("mono.aac", 1000, &sync(&[0xff, 0xf1]))),
        ("OGG, then pages", after("mono.ogg", 3000, &sync(b"OggS\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"))),
        ("WAV of small chunks", after("pcm_s16le.wav", 12, &sync(b"JUNK\0\0\0\0"))),
        ("M4A of four billion samples", counted),
        ("M4A of two billion runs", many_runs),
        ("M4A of nested boxes", after("mono.m4a", 28, &sync(b"\0\0\0\x08moov"))),
        ("ID3, then nothing", b"ID3\x04\0\0\0\0\0\x17\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
        ("many tags", sync(b"ID3\x04\0\0\0\0\0\0")),
    ] {
        let begun = Instant::now();
        let outcome = decode(&bytes, &AudioLimits::default()).map_err(|e| e.code());
        let time = begun.elapsed();
        println!("{what}: {outcome:?} in {time:?}");
        assert!(time < Duration::from_secs(2), "{what}: {time:?}");
        assert_ne!(outcome, Err("AUDIO_DECODER"), "{what}");
    }
}
