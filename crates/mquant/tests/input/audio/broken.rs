//! Sounds that are broken in one way each: every one ends in its own error, or decodes where readers commonly bear the fault.

use std::time::{Duration, Instant};

use super::file;
use super::fuzz::{is_alone, repair_pages};
use super::limits::{flac, patch, wav};
use mquant::Explain;
use mquant::input::audio::{AudioLimits, decode};
use mquant::measure::peak_rss_bytes;

/// What becomes of a broken file: its error's code, or the samples that it has.
type Outcome = Result<usize, &'static str>;

/// A broken file: what is wrong, its bytes, and what becomes of it.
type Case = (&'static str, Vec<u8>, Outcome);

const SILENCE: [u8; 64] = [0; 64];

/// A file of the fixtures after a change.
fn changed(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = file(name);
    change(&mut bytes);
    bytes
}

/// A WAV of 32 samples of 16 bits after a change, with the length it then has unless that was changed.
fn plain(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = wav(1, 1, 16_000, 16, &SILENCE);
    let size = bytes[4..8].to_vec();
    change(&mut bytes);
    if bytes[4..8] == size {
        let found = (bytes.len() as u32 - 8).to_le_bytes();
        bytes[4..8].copy_from_slice(&found);
    }
    bytes
}

/// A WAV with an extensible format: 22 bytes more, of these valid bits, channel mask and kind.
fn extensible(valid: u16, mask: u32, kind: u8, more: u16) -> Vec<u8> {
    plain(|bytes| {
        bytes[20..22].copy_from_slice(&0xfffe_u16.to_le_bytes());
        bytes[16] = 40;
        let mut tail = more.to_le_bytes().to_vec();
        tail.extend(valid.to_le_bytes());
        tail.extend(mask.to_le_bytes());
        tail.extend([kind, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]);
        bytes.splice(36..36, tail);
    })
}

fn waves() -> Vec<Case> {
    let floats = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    vec![
        ("a RIFF of size 0", plain(|b| b[4..8].fill(0)), Err("AUDIO_DECODE")),
        ("a RIFF of 4 GB", plain(|b| b[4..8].fill(0xff)), Ok(32)),
        ("a format of 4 GB", plain(|b| b[16..20].fill(0xff)), Err("AUDIO_TRUNCATED")),
        ("a format of 0 bytes", plain(|b| b[16] = 0), Err("AUDIO_DECODE")),
        (
            "a format of 14 bytes",
            plain(|b| {
                b[16] = 14;
                b.drain(34..36);
            }),
            Err("AUDIO_DECODE"),
        ),
        (
            "no format",
            plain(|b| {
                b.drain(12..36);
            }),
            Err("AUDIO_DECODE"),
        ),
        ("no data", plain(|b| b.truncate(36)), Err("AUDIO_TRUNCATED")),
        (
            "a format twice",
            plain(|b| {
                let fmt = b[12..36].to_vec();
                b.splice(36..36, fmt);
            }),
            Ok(32),
        ),
        (
            "data before the format",
            plain(|b| {
                let fmt: Vec<u8> = b.drain(12..36).collect();
                b.extend(fmt);
            }),
            Err("AUDIO_DECODE"),
        ),
        (
            "half a sample at the end",
            plain(|b| {
                b.pop();
                b[40] -= 1;
            }),
            Ok(31),
        ),
        ("data of size 0 before its samples", plain(|b| b[40] = 0), Err("AUDIO_EMPTY")),
        ("data of 4 GB", plain(|b| b[40..44].copy_from_slice(&0xffff_fffe_u32.to_le_bytes())), Err("AUDIO_TRUNCATED")),
        (
            "a list longer than the file",
            plain(|b| {
                b.splice(36..36, *b"LIST\xff\xff\xff\x7f");
            }),
            Err("AUDIO_TRUNCATED"),
        ),
        (
            "a chunk of a strange name",
            plain(|b| {
                b.splice(36..36, *b"\0\xff\x80\n\x02\0\0\0ab");
            }),
            Ok(32),
        ),
        ("a frame of 0 bytes", plain(|b| b[32] = 0), Err("AUDIO_DECODE")),
        ("a frame of 65535 bytes", plain(|b| b[32..34].fill(0xff)), Err("AUDIO_DECODE")),
        ("a byte rate of 0", plain(|b| b[28..32].fill(0)), Ok(32)),
        ("255 channels", wav(1, 255, 16_000, 16, &[0; 510]), Err("AUDIO_CHANNELS")),
        ("a rate of 4 GHz", wav(1, 1, 4_000_000_000, 16, &SILENCE), Err("AUDIO_RATE")),
        ("samples of 0 bits", wav(1, 1, 16_000, 0, &SILENCE), Err("AUDIO_UNSUPPORTED")),
        ("samples of 1 bit", wav(1, 1, 16_000, 1, &SILENCE), Err("AUDIO_UNSUPPORTED")),
        ("integers of 64 bits", wav(1, 1, 16_000, 64, &SILENCE), Err("AUDIO_UNSUPPORTED")),
        ("samples of 65535 bits", wav(1, 1, 16_000, 65_535, &SILENCE), Err("AUDIO_UNSUPPORTED")),
        ("floats of 16 bits", wav(3, 1, 16_000, 16, &SILENCE), Err("AUDIO_UNSUPPORTED")),
        ("floats of 8 bits", wav(3, 1, 16_000, 8, &SILENCE), Err("AUDIO_UNSUPPORTED")),
        ("A-law of 16 bits", wav(6, 1, 16_000, 16, &SILENCE), Err("AUDIO_UNSUPPORTED")),
        ("a double that is NaN", wav(3, 1, 16_000, 64, &floats(&[0.0, f64::NAN])), Err("AUDIO_SAMPLE")),
        ("a double of 1e300", wav(3, 1, 16_000, 64, &floats(&[0.0, 1e300])), Err("AUDIO_SAMPLE")),
        ("a double that is −∞", wav(3, 1, 16_000, 64, &floats(&[f64::NEG_INFINITY])), Err("AUDIO_SAMPLE")),
        ("an extensible format", extensible(16, 4, 1, 22), Ok(32)),
        ("an extensible format of no kind", extensible(16, 4, 0x99, 22), Err("AUDIO_UNSUPPORTED")),
        ("more valid bits than there are", extensible(32, 4, 1, 22), Err("AUDIO_DECODE")),
        ("no valid bits", extensible(0, 4, 1, 22), Ok(32)),
        ("speakers for 32 channels", extensible(16, u32::MAX, 1, 22), Ok(32)),
        ("an extension of 0 bytes", extensible(16, 4, 1, 0), Err("AUDIO_DECODE")),
        ("an extension of 65535 bytes", extensible(16, 4, 1, 0xffff), Err("AUDIO_DECODE")),
        ("RIFX", plain(|b| b[3] = b'X'), Err("AUDIO_FORMAT")),
        ("RF64", plain(|b| b[..4].copy_from_slice(b"RF64")), Err("AUDIO_FORMAT")),
    ]
}

fn flacs() -> Vec<Case> {
    let mono = |change: fn(&mut Vec<u8>)| changed("mono.flac", change);
    vec![
        ("blocks of 0 samples", mono(|b| b[8..12].fill(0)), Err("AUDIO_DECODE")),
        ("blocks of 65535 samples at least", mono(|b| b[8..12].fill(0xff)), Ok(4800)),
        (
            "a largest block below the least",
            mono(|b| b[8..12].copy_from_slice(&[0x10, 0, 0, 0x10])),
            Err("AUDIO_DECODE"),
        ),
        ("more samples than there are", mono(|b| b[24] = b[24].wrapping_add(1)), Err("AUDIO_TRUNCATED")),
        ("fewer samples than there are", mono(|b| b[22..26].copy_from_slice(&[0, 0, 0, 1])), Ok(4800)),
        ("another checksum of the sound", mono(|b| b[26] ^= 1), Err("AUDIO_DECODE")),
        ("a stream information of 33 bytes", mono(|b| b[7] = 33), Err("AUDIO_DECODE")),
        (
            "a stream information twice",
            mono(|b| {
                b[4] = 0;
                let block = b[4..42].to_vec();
                b.splice(42..42, block);
            }),
            Err("AUDIO_DECODE"),
        ),
        (
            "a block of 16 MB",
            mono(|b| {
                b[4] = 0;
                b.splice(42..42, *b"\x06\xff\xff\xff");
            }),
            Err("AUDIO_TRUNCATED"),
        ),
        (
            "a picture of 4 GB in a block of 8 bytes",
            mono(|b| {
                b[4] = 0;
                b.splice(42..42, *b"\x06\0\0\x08\0\0\0\x03\xff\xff\xff\xff");
            }),
            Err("AUDIO_TRUNCATED"),
        ),
        (
            "comments of 4 GB",
            mono(|b| {
                b[4] = 0;
                b.splice(42..42, *b"\x04\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xff");
            }),
            Err("AUDIO_TRUNCATED"),
        ),
        (
            "a seek table of garbage",
            mono(|b| {
                b[4] = 0;
                b.splice(42..42, *b"\x03\0\0\x05abcde");
            }),
            Ok(4800),
        ),
        ("no last block", mono(|b| b[4] = 0), Ok(4800)),
        (
            "a block of the reserved kind",
            mono(|b| {
                b[4] = 0;
                b.splice(42..42, *b"\x7f\0\0\x01a");
            }),
            Ok(4800),
        ),
        (
            "a damaged frame",
            mono(|b| {
                let at = b.len() - 100;
                b[at] ^= 0x55;
            }),
            Err("AUDIO_TRUNCATED"),
        ),
        ("nothing but its information", flac(16_000, 1, 0), Err("AUDIO_TRUNCATED")),
        ("10 samples of nothing", flac(16_000, 1, 10), Err("AUDIO_TRUNCATED")),
    ]
}

/// Where the pages of an Ogg file begin.
fn pages(bytes: &[u8]) -> Vec<usize> {
    bytes.windows(4).enumerate().filter(|(_, window)| window == b"OggS").map(|(at, _)| at).collect()
}

/// The Ogg file after a change, its pages with right checksums.
fn paged(change: impl FnOnce(&mut Vec<u8>, &[usize])) -> Vec<u8> {
    let mut bytes = file("mono.ogg");
    let places = pages(&bytes);
    change(&mut bytes, &places);
    repair_pages(&mut bytes);
    bytes
}

fn oggs() -> Vec<Case> {
    let packet = |change: fn(&mut [u8])| paged(|b, _| change(&mut b[28..58]));
    vec![
        ("a wrong checksum", changed("mono.ogg", |b| b[22] ^= 1), Err("AUDIO_DECODE")),
        ("a page out of order", paged(|b, p| b[p[2] + 18] = 77), Ok(4800)),
        ("another stream inside", paged(|b, p| b[p[2] + 14] ^= 0x40), Err("AUDIO_DECODE")),
        ("a page of another version", paged(|b, _| b[4] = 1), Err("AUDIO_DECODE")),
        (
            "255 segments of 255 bytes",
            paged(|b, _| {
                b[26] = 255;
                b.splice(27..28, [255; 255]);
            }),
            Err("AUDIO_TRUNCATED"),
        ),
        ("a page of no segments", paged(|b, _| b[26] = 0), Err("AUDIO_DECODE")),
        ("no first page", paged(|b, _| b[5] = 0), Err("AUDIO_UNSUPPORTED")),
        ("a continued first page", paged(|b, _| b[5] |= 1), Ok(4800)),
        ("no last page", paged(|b, p| b[p[p.len() - 1] + 5] = 0), Err("AUDIO_TRUNCATED")),
        (
            "a last page of the greatest time",
            paged(|b, p| {
                let at = p[p.len() - 1] + 6;
                b[at..at + 8].copy_from_slice(&i64::MAX.to_le_bytes());
            }),
            Err("AUDIO_TOO_LONG"),
        ),
        (
            "a last page before the first",
            paged(|b, p| {
                let at = p[p.len() - 1] + 6;
                b[at..at + 8].copy_from_slice(&(-2_i64).to_le_bytes());
            }),
            Err("AUDIO_TOO_LONG"),
        ),
        ("Vorbis of 0 channels", packet(|b| b[11] = 0), Err("AUDIO_CHANNELS")),
        ("Vorbis of 255 channels", packet(|b| b[11] = 255), Err("AUDIO_CHANNELS")),
        ("Vorbis at 0 Hz", packet(|b| b[12..16].fill(0)), Err("AUDIO_RATE")),
        ("Vorbis at 4 GHz", packet(|b| b[12..16].fill(0xff)), Err("AUDIO_RATE")),
        ("Vorbis of another version", packet(|b| b[7] = 9), Err("AUDIO_DECODE")),
        ("Vorbis blocks of 1 and 32768", packet(|b| b[28] = 0xf0), Err("AUDIO_DECODE")),
        ("Vorbis without its framing bit", packet(|b| b[29] = 0), Err("AUDIO_DECODE")),
        (
            "Vorbis comments of 4 GB",
            paged(|b, p| {
                let at = p[1] + 27 + usize::from(b[p[1] + 26]) + 7;
                b[at..at + 4].fill(0xff);
            }),
            Ok(4800),
        ),
        (
            "Vorbis without a setup",
            paged(|b, p| {
                b.drain(p[1]..p[2]);
            }),
            Err("AUDIO_TRUNCATED"),
        ),
    ]
}

fn mpegs() -> Vec<Case> {
    let before = |tag: &[u8]| [tag, &file("untagged.mp3")[..]].concat();
    let whole = decode(&file("untagged.mp3"), &AudioLimits::default()).unwrap().samples().len();
    let frame = |change: fn(&mut Vec<u8>)| changed("untagged.mp3", change);
    let ape = |start: u32| {
        let mut tag = b"APETAGEX\xd0\x07\0\0".to_vec();
        tag.extend([32, 0, 0, 0, 0, 0, 0, 0]);
        tag.extend((start << 29).to_le_bytes());
        tag.extend([0; 8]);
        tag
    };
    vec![
        ("a tag of 256 MB", before(b"ID3\x04\0\0\x7f\x7f\x7f\x7f"), Err("AUDIO_FORMAT")),
        ("a thousand tags", before(&b"ID3\x04\0\0\0\0\0\0".repeat(1000)), Ok(whole)),
        ("a tag inside a tag", before(b"ID3\x04\0\0\0\0\0\x0aID3\x04\0\0\x7f\x7f\x7f\x7f"), Ok(whole)),
        ("a tag without synchronisation", before(b"ID3\x03\0\x80\0\0\0\x04\xff\0\xfb\0"), Ok(whole)),
        ("an extended header of 4 GB", before(b"ID3\x04\0\x40\0\0\0\x06\x7f\x7f\x7f\x7f\0\0"), Ok(whole)),
        ("a tag with a footer that is not there", before(b"ID3\x04\0\x10\0\0\0\0"), Err("AUDIO_FORMAT")),
        ("a tag whose size is no size", before(b"ID3\x04\0\0\xff\xff\xff\xff"), Err("AUDIO_FORMAT")),
        ("a tag of version 2 with a frame of 16 MB", before(b"ID3\x02\0\0\0\0\0\x06PIC\xff\xff\xff"), Ok(whole)),
        ("an APE tag in front", before(&ape(5)), Err("AUDIO_FORMAT")),
        ("an APE tag behind", [file("untagged.mp3"), ape(4)].concat(), Ok(whole)),
        ("an old tag behind", [&file("untagged.mp3")[..], b"TAG", &[0; 125]].concat(), Ok(whole)),
        ("frames of a free rate", frame(|b| b[2] &= 0x0f), Ok(8064)),
        ("frames of the reserved rate of bits", frame(|b| b[2] |= 0xf0), Ok(8064)),
        ("frames at the reserved rate", frame(|b| b[2] |= 0x0c), Err("AUDIO_DECODE")),
        ("frames of the reserved version", frame(|b| b[1] = b[1] & 0xe7 | 0x08), Err("AUDIO_DECODE")),
        (
            "four billion frames",
            changed("mono.mp3", |b| {
                let at = b.windows(4).position(|w| w == b"Xing" || w == b"Info").unwrap();
                b[at + 8..at + 12].fill(0xff);
            }),
            Err("AUDIO_TOO_LONG"),
        ),
        (
            "a delay longer than the sound",
            changed("mono.mp3", |b| {
                let at = b.windows(4).position(|w| w == b"Lavc" || w == b"LAME").unwrap();
                b[at + 21..at + 24].fill(0xff);
            }),
            Ok(4800),
        ),
        ("one header", file("untagged.mp3")[..4].to_vec(), Err("AUDIO_TRUNCATED")),
        (
            "text between its frames",
            changed("untagged.mp3", |b| {
                let at = b.len() / 2;
                b.splice(at..at, b"not a frame ".repeat(50));
            }),
            Err("AUDIO_DECODE"),
        ),
    ]
}

fn streams() -> Vec<Case> {
    let frame = |change: fn(&mut Vec<u8>)| changed("mono.aac", change);
    vec![
        (
            "AAC frames of 0 bytes",
            frame(|b| {
                b[3] &= 0xfc;
                b[4] = 0;
                b[5] &= 0x1f;
            }),
            Err("AUDIO_DECODE"),
        ),
        (
            "AAC frames of 6 bytes",
            frame(|b| {
                b[3] &= 0xfc;
                b[4] = 0;
                b[5] = b[5] & 0x1f | 0xc0;
            }),
            Err("AUDIO_DECODE"),
        ),
        (
            "AAC frames of 8191 bytes",
            frame(|b| {
                b[3] |= 3;
                b[4] = 0xff;
                b[5] |= 0xe0;
            }),
            Err("AUDIO_TRUNCATED"),
        ),
        ("AAC at the reserved rate", frame(|b| b[2] |= 0x3c), Err("AUDIO_DECODE")),
        (
            "AAC of no layout",
            frame(|b| {
                b[2] &= 0xfe;
                b[3] &= 0x3f;
            }),
            Err("AUDIO_UNSUPPORTED"),
        ),
        (
            "AAC of 8 channels that has 1",
            frame(|b| {
                b[2] |= 1;
                b[3] |= 0xc0;
            }),
            Err("AUDIO_UNSUPPORTED"),
        ),
        ("AAC with a checksum that is not there", frame(|b| b[1] &= 0xfe), Err("AUDIO_UNSUPPORTED")),
        ("AAC of another profile", frame(|b| b[2] |= 0xc0), Ok(6144)),
        ("an AAC header alone", file("mono.aac")[..7].to_vec(), Err("AUDIO_TRUNCATED")),
    ]
}

fn boxes() -> Vec<Case> {
    let made = |name: &'static [u8; 4], offset: usize, with: &'static [u8]| {
        changed("mono.m4a", |bytes| patch(bytes, name, offset, with))
    };
    let renamed = |name: &[u8; 4]| {
        changed("mono.m4a", |bytes| {
            let at = bytes.windows(4).position(|window| window == name).unwrap();
            bytes[at..at + 4].copy_from_slice(b"free");
        })
    };
    let sized = |name: &[u8; 4], size: [u8; 4]| {
        changed("mono.m4a", |bytes| {
            let at = bytes.windows(4).position(|window| window == name).unwrap();
            bytes[at - 4..at].copy_from_slice(&size);
        })
    };
    vec![
        ("no moov", renamed(b"moov"), Err("AUDIO_TRUNCATED")),
        ("no mdat", renamed(b"mdat"), Err("AUDIO_DECODE")),
        ("no track", renamed(b"trak"), Err("AUDIO_DECODE")),
        ("no sample description", renamed(b"stsd"), Err("AUDIO_DECODE")),
        ("no sample sizes", renamed(b"stsz"), Err("AUDIO_DECODE")),
        ("no chunk offsets", renamed(b"stco"), Err("AUDIO_DECODE")),
        ("no times", renamed(b"stts"), Err("AUDIO_DECODE")),
        ("no decoder's information", renamed(b"esds"), Err("AUDIO_UNSUPPORTED")),
        ("nothing but its type", file("mono.m4a")[..28].to_vec(), Err("AUDIO_TRUNCATED")),
        ("a box of 7 bytes", sized(b"moov", [0, 0, 0, 7]), Err("AUDIO_TRUNCATED")),
        ("a box of 4 GB", sized(b"moov", [0xff; 4]), Err("AUDIO_TRUNCATED")),
        ("a box of unknown 64 bits", sized(b"mdat", [0, 0, 0, 1]), Err("AUDIO_TRUNCATED")),
        ("a media of 0 ticks a second", made(b"mdhd", 12, &[0; 4]), Err("AUDIO_DECODE")),
        ("a media of four billion ticks a second", made(b"mdhd", 12, &[0xff; 4]), Ok(4800)),
        ("a media as long as can be", made(b"mdhd", 16, &[0xff; 4]), Ok(4800)),
        ("no description in the table", made(b"stsd", 4, &[0; 4]), Err("AUDIO_DECODE")),
        ("four billion descriptions", made(b"stsd", 4, &[0xff; 4]), Err("AUDIO_UNSUPPORTED")),
        ("four billion sizes", made(b"stsz", 8, &[0xff; 4]), Err("AUDIO_DECODE")),
        ("samples of 4 GB each", made(b"stsz", 4, &[0xff; 4]), Err("AUDIO_TRUNCATED")),
        ("chunks beyond the file", made(b"stco", 8, &[0xff; 4]), Err("AUDIO_TRUNCATED")),
        ("four billion chunks", made(b"stco", 4, &[0xff; 4]), Err("AUDIO_DECODE")),
        ("a first chunk of number 0", made(b"stsc", 8, &[0; 4]), Err("AUDIO_DECODE")),
        ("chunks of no samples", made(b"stsc", 12, &[0; 4]), Err("AUDIO_DECODE")),
        ("no run of times", made(b"stts", 4, &[0; 4]), Err("AUDIO_EMPTY")),
        ("an edit as late as can be", made(b"elst", 12, &[0x7f, 0xff, 0xff, 0xff]), Err("AUDIO_EMPTY")),
        ("an edit before the beginning", made(b"elst", 12, &[0x80, 0, 0, 0]), Err("AUDIO_UNSUPPORTED")),
        ("four billion edits", made(b"elst", 4, &[0xff; 4]), Err("AUDIO_UNSUPPORTED")),
        ("0 channels in the table", made(b"mp4a", 16, &[0; 2]), Err("AUDIO_CHANNELS")),
        ("65535 channels in the table", made(b"mp4a", 16, &[0xff; 2]), Err("AUDIO_CHANNELS")),
        ("a decoder's information of 4 GB", made(b"esds", 5, &[0xff; 4]), Err("AUDIO_TRUNCATED")),
    ]
}

#[test]
fn every_fault_has_its_end() {
    if !is_alone("audio::broken::every_fault_has_its_end") {
        return;
    }
    let before = peak_rss_bytes();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (what, bytes, expected) in [waves(), flacs(), oggs(), mpegs(), streams(), boxes()].into_iter().flatten() {
        let begun = Instant::now();
        let outcome = decode(&bytes, &AudioLimits::default());
        let time = begun.elapsed();
        assert!(time < Duration::from_secs(1), "{what}: {time:?}");
        let told = outcome.as_ref().err().map_or_else(String::new, ToString::to_string);
        assert!(told.len() < 400, "{what}: {told}");
        let outcome = outcome.map(|sound| sound.samples().len()).map_err(|e| e.code());
        assert_ne!(outcome, Err("AUDIO_DECODER"), "{what}");
        if outcome != expected {
            wrong.push(format!("{what} | {outcome:?} | {told}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{} of {count}\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 100, "{count}");
    let grown = peak_rss_bytes().zip(before).map_or(0, |(now, before)| (now - before) >> 20);
    assert!(grown < 64, "{grown} MiB");
}

#[test]
fn a_file_that_ends_in_its_header_is_refused() {
    for (name, header) in [
        ("pcm_s16le.wav", 44),
        ("mono.flac", 60),
        ("mono.ogg", 120),
        ("mono.mp3", 60),
        ("mono.aac", 8),
        ("mono.m4a", 1200),
    ] {
        let whole = file(name);
        for length in 0..header.min(whole.len()) {
            let error = decode(&whole[..length], &AudioLimits::default()).expect_err(name);
            let codes = ["AUDIO_FORMAT", "AUDIO_TRUNCATED", "AUDIO_DECODE", "AUDIO_UNSUPPORTED", "AUDIO_EMPTY"];
            assert!(codes.contains(&error.code()), "{name} of {length} bytes: {} {error}", error.code());
        }
    }
}
