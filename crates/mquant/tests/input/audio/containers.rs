//! Every container holds the same sound.

use super::{file, fixtures, floats, largest_difference, table};
use mquant::Explain;
use mquant::input::audio::{AudioLimits, Format, decode, open, probe};

#[test]
fn every_container_is_decoded_like_ffmpeg() {
    let expected = floats("files.f32");
    let mut at = 0;
    let mut wrong = Vec::new();
    for [name, rate, channels, count, tolerance] in table("files.tsv") {
        let count: usize = count.parse().unwrap();
        let expected = &expected[at..at + count];
        at += count;
        let bytes = file(&name);
        let header = probe(&bytes).unwrap();
        assert_eq!(header.sample_rate.to_string(), rate, "{name}");
        assert_eq!(header.channels.to_string(), channels, "{name}");
        match decode(&bytes, &AudioLimits::default()) {
            Err(e) => wrong.push(format!("{name}: {} {e}", e.code())),
            Ok(sound) => {
                let found = largest_difference(sound.samples(), expected);
                let lengths = (sound.samples().len(), count);
                println!("{name}\t{found:e}\t{lengths:?}\tdeclared {:?}", header.frames);
                if found > tolerance.parse().unwrap()
                    || lengths.0 != lengths.1
                    || sound.sample_rate().to_string() != rate
                {
                    wrong.push(format!("{name}: off by {found:e}, allowed {tolerance}; lengths {lengths:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn format_is_told_by_content() {
    for (name, expected) in [
        ("stereo.wav", Format::Wav),
        ("mono.flac", Format::Flac),
        ("stereo.mp3", Format::Mp3),
        ("untagged.mp3", Format::Mp3),
        ("mono.ogg", Format::Ogg),
        ("mono.m4a", Format::M4a),
        ("mono.aac", Format::Adts),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let disguised = folder.path().join("sound.txt");
        std::fs::copy(fixtures().join("files").join(name), &disguised).unwrap();
        assert_eq!(probe(&file(name)).unwrap().format, expected, "{name}");
        assert!(open(&disguised, &AudioLimits::default()).is_ok(), "{name}");
    }
}
