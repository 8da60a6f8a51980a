//! Videos: composed frames against Pillow's, folders, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use mquant::Explain;
use mquant::input::image::RgbImage;
use mquant::input::video::{VideoError, VideoLimits, decode, open};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images")
}

fn code(result: Result<Vec<RgbImage>, VideoError>) -> &'static str {
    let error = result.expect_err("refused");
    assert!(!error.to_string().is_empty());
    error.code()
}

#[test]
fn composed_frames_equal_the_reference() {
    let rgb = fs::read(fixtures().join("files.rgb")).unwrap();
    let table = fs::read_to_string(fixtures().join("videos.tsv")).unwrap();
    for line in table.lines() {
        let [name, w, h, offset, count] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let size = w.parse::<usize>().unwrap() * h.parse::<usize>().unwrap() * 3;
        let offset: usize = offset.parse().unwrap();
        let frames = open(&fixtures().join("videos").join(name), &VideoLimits::default()).unwrap();
        assert_eq!(frames.len().to_string(), count, "{name}");
        for (i, frame) in frames.iter().enumerate() {
            assert!(frame.pixels() == &rgb[offset + i * size..][..size], "{name}: frame {i}");
        }
    }
}

/// A GIF of `frames` pictures of one pixel; the data of each is garbage.
fn gif(frames: usize) -> Vec<u8> {
    let mut bytes = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff".to_vec();
    for _ in 0..frames {
        bytes.extend(b"\x21\xf9\x04\x00\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x01\xff\x00");
    }
    bytes.push(0x3b);
    bytes
}

#[test]
fn too_many_frames_are_refused_before_any_is_decoded() {
    let limits = VideoLimits::default();
    for frames in [0, 257, 300, 100_000] {
        assert_eq!(code(decode(&gif(frames), &limits)), "VIDEO_FRAMES", "{frames}");
    }
    // The same garbage is found as soon as frames are looked at.
    assert_ne!(code(decode(&gif(256), &limits)), "VIDEO_FRAMES");
}

#[test]
fn all_frames_count_towards_the_pixels() {
    let whole = fs::read(fixtures().join("videos/whole.gif")).unwrap();
    let limits = |pixels| VideoLimits { pixels, ..Default::default() };
    assert_eq!(code(decode(&whole, &limits(5 * 23 * 17 - 1))), "VIDEO_TOO_LARGE");
    assert_eq!(decode(&whole, &limits(5 * 23 * 17)).unwrap().len(), 5);
    let few = VideoLimits { frames: 4, ..Default::default() };
    assert_eq!(code(decode(&whole, &few)), "VIDEO_FRAMES");
}

#[test]
fn other_containers_are_refused_in_words() {
    let limits = VideoLimits::default();
    for bytes in [&b"\0\0\0\x20ftypisom\0\0\x02\0"[..], b"\x1a\x45\xdf\xa3", b"RIFF\0\0\0\0AVI ", b""] {
        let error = decode(bytes, &limits).unwrap_err();
        assert_eq!((error.code(), error.class().exit_code()), ("VIDEO_FORMAT", 5));
        assert!(error.hint().unwrap().contains("ffmpeg"));
    }
    let still = fs::read(fixtures().join("files/rgb8.png")).unwrap();
    assert_eq!(code(decode(&still, &limits)), "VIDEO_FORMAT");
    let still = fs::read(fixtures().join("files/lossless.webp")).unwrap();
    assert_eq!(code(decode(&still, &limits)), "VIDEO_FRAMES");
}

#[test]
fn cut_animations_are_refused() {
    for line in fs::read_to_string(fixtures().join("videos.tsv")).unwrap().lines() {
        let name = line.split('\t').next().unwrap();
        let bytes = fs::read(fixtures().join("videos").join(name)).unwrap();
        let full = decode(&bytes, &VideoLimits::default()).unwrap();
        for cut in (0..bytes.len()).step_by(16) {
            if let Ok(frames) = decode(&bytes[..cut], &VideoLimits::default()) {
                assert!(frames.len() <= full.len() && frames == full[..frames.len()], "{name} cut at {cut}");
            }
        }
    }
}

#[test]
fn folders_are_read_in_natural_order() {
    let folder = tempfile::tempdir().unwrap();
    let limits = VideoLimits::default();
    assert_eq!(code(open(folder.path(), &limits)), "VIDEO_FRAMES");
    let files = fixtures().join("files");
    let put = |from: &str, to: &str| fs::copy(files.join(from), folder.path().join(to)).unwrap();
    put("rgb8.png", "frame10.png");
    put("grey8.png", "frame9.png");
    put("exif6.png", "frame009a.png");
    put("bits4.bmp", "frame1.bmp");
    fs::write(folder.path().join(".listing"), "no frame").unwrap();
    let expected: Vec<_> = ["bits4.bmp", "grey8.png", "exif6.png", "rgb8.png"]
        .iter()
        .map(|f| mquant::input::image::open(&files.join(f), &limits.image).unwrap())
        .collect();
    assert!(open(folder.path(), &limits).unwrap() == expected);

    let few = VideoLimits { frames: 3, ..Default::default() };
    assert_eq!(code(open(folder.path(), &few)), "VIDEO_FRAMES");
    let small = VideoLimits { pixels: 1000, ..Default::default() };
    assert_eq!(code(open(folder.path(), &small)), "VIDEO_TOO_LARGE");

    fs::write(folder.path().join("notes.txt"), "24 fps").unwrap();
    let error = open(folder.path(), &limits).unwrap_err();
    assert!(error.code() == "VIDEO_FOLDER" && error.to_string().contains("notes.txt"), "{error}");
    fs::remove_file(folder.path().join("notes.txt")).unwrap();
    fs::create_dir(folder.path().join("more")).unwrap();
    assert_eq!(code(open(folder.path(), &limits)), "VIDEO_FOLDER");
    fs::remove_dir(folder.path().join("more")).unwrap();

    fs::copy(fixtures().join("goldens/wide-0.png"), folder.path().join("frame11.png")).unwrap();
    let error = open(folder.path(), &limits).unwrap_err();
    assert!(error.code() == "VIDEO_SIZE" && error.to_string().contains("frame11.png"), "{error}");
    fs::write(folder.path().join("frame11.png"), &fs::read(files.join("rgb8.png")).unwrap()[..100]).unwrap();
    let error = open(folder.path(), &limits).unwrap_err();
    assert!(error.code().starts_with("IMAGE_") && error.to_string().contains("frame11.png"), "{error}");
    assert_eq!(code(open(&folder.path().join("absent"), &limits)), "VIDEO_OPEN");
}
