//! Hostile pictures: bombs, cuts, and one code for each class of fault. One process of its own, for it measures memory.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mquant::Explain;
use mquant::input::image::{ImageError, ImageLimits, RgbImage, decode, open, probe};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images")
}

fn file(name: &str) -> Vec<u8> {
    fs::read(fixtures().join("files").join(name)).unwrap()
}

fn code(bytes: &[u8]) -> &'static str {
    decode(bytes, &ImageLimits::default()).map(|image| panic!("accepted as {image:?}")).unwrap_err().code()
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = file("rgb8.png");
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    bytes
}

fn jpeg(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = file("busy-444.jpg");
    let frame = bytes.windows(2).position(|w| w == b"\xff\xc0").unwrap();
    bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    bytes
}

fn gif(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = file("palette.gif");
    bytes[6..8].copy_from_slice(&width.to_le_bytes());
    bytes[8..10].copy_from_slice(&height.to_le_bytes());
    bytes
}

fn bmp(width: i32, height: i32) -> Vec<u8> {
    let mut bytes = file("bits24.bmp");
    bytes[18..22].copy_from_slice(&width.to_le_bytes());
    bytes[22..26].copy_from_slice(&height.to_le_bytes());
    bytes
}

fn core_bmp(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = b"BM\0\0\0\0\0\0\0\0\x1a\0\0\0\x0c\0\0\0".to_vec();
    bytes.extend(width.to_le_bytes().into_iter().chain(height.to_le_bytes()).chain([1, 0, 24, 0]));
    bytes
}

fn riff(chunk: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((body.len() as u32 + 12).to_le_bytes());
    bytes.extend(b"WEBP".iter().chain(chunk));
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(body);
    bytes
}

fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("png 30000²", png(30_000, 30_000)),
        ("png 2³¹−1", png(i32::MAX as u32, i32::MAX as u32)),
        ("png 2³²−1", png(u32::MAX, u32::MAX)),
        ("png side", png(16_385, 1)),
        ("png side", png(1, 16_385)),
        ("png area", png(8_000, 8_000)),
        ("jpeg 65535²", jpeg(65_535, 65_535)),
        ("jpeg side", jpeg(16_385, 8)),
        ("jpeg area", jpeg(16_000, 16_000)),
        ("gif 65535²", gif(65_535, 65_535)),
        ("gif area", gif(6_000, 6_000)),
        ("bmp 2³¹−1", bmp(i32::MAX, i32::MAX)),
        ("bmp −2³¹", bmp(1, i32::MIN)),
        ("bmp top-down", bmp(10_000, -10_000)),
        ("bmp core", core_bmp(65_535, 65_535)),
        ("webp lossy", riff(b"VP8 ", b"\x10\x00\x00\x9d\x01\x2a\xff\x3f\xff\x3f\0\0\0\0")),
        ("webp lossless", riff(b"VP8L", b"\x2f\xff\xff\xff\x0f\0\0\0\0\0")),
        ("webp canvas", riff(b"VP8X", b"\x02\0\0\0\xff\xff\xff\xff\xff\xff\0\0")),
    ]
}

/// Most memory this process has had, in KiB.
#[cfg(target_os = "linux")]
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[cfg(not(target_os = "linux"))]
fn peak_kib() -> u64 {
    0
}

/// First in name and alone in what it does before the others grow the process: tests share one peak.
#[test]
fn bombs_are_refused_from_the_header() {
    let bombs = bombs();
    let hidden = ["text.png", "profile.png"].map(|name| fs::read(fixtures().join("bombs").join(name)).unwrap());
    let before = peak_kib();
    for (name, bytes) in &bombs {
        let start = Instant::now();
        let error = decode(bytes, &ImageLimits::default()).expect_err(name);
        let time = start.elapsed();
        assert_eq!(error.code(), "IMAGE_TOO_LARGE", "{name}: {error}");
        assert!(time < Duration::from_millis(50), "{name}: {time:?}");
    }
    std::thread::scope(|scope| {
        for i in 0..64 {
            let (name, bytes) = &bombs[i % bombs.len()];
            scope.spawn(move || assert!(decode(bytes, &ImageLimits::default()).is_err(), "{name}"));
        }
    });
    for bytes in &hidden {
        let start = Instant::now();
        let _ = decode(bytes, &ImageLimits::default());
        assert!(start.elapsed() < Duration::from_secs(1));
    }
    let grown = peak_kib() - before;
    assert!(grown < 32 << 10, "{grown} KiB");

    frames_outside_their_canvas();
    declared_sizes_without_data();
    every_cut_is_refused();
}

fn frames_outside_their_canvas() {
    let mut bytes = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff\x2c\0\0\0\0".to_vec();
    bytes.extend(b"\xff\xff\xff\xff\0\x02\x02\x4c\x01\0\x3b");
    assert!(["IMAGE_DECODE", "IMAGE_TOO_LARGE"].contains(&code(&bytes)));
    let mut lossless = b"\0\0\0\0\0\0\0\0\0\0VP8L\x0a\0\0\0\x2f\xff\xff\xff\x0f\0\0\0\0\0".to_vec();
    lossless[0] = 0;
    assert!(["IMAGE_DECODE", "IMAGE_TRUNCATED"].contains(&code(&riff(b"VP8X", &lossless))));
}

/// Sizes that the limits allow and the file does not hold.
fn declared_sizes_without_data() {
    for bytes in [png(5_000, 5_000), jpeg(4_000, 4_000), gif(3_000, 3_000), bmp(3_000, 3_000), core_bmp(100, 100)] {
        let start = Instant::now();
        let result = decode(&bytes, &ImageLimits::default());
        assert!(start.elapsed() < Duration::from_secs(5), "{result:?}");
    }
}

fn every_cut_is_refused() {
    let mut cuts = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(fixtures().join("files")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let whole = decode(&bytes, &ImageLimits::default()).unwrap();
        let step = if bytes.len() > 640 { 64 } else { 16 };
        for cut in (0..bytes.len()).step_by(step) {
            cuts += 1;
            // Nothing may be missing from what is accepted.
            match decode(&bytes[..cut], &ImageLimits::default()) {
                Ok(image) if image != whole => wrong.push(format!("{} at {cut} of {}", path.display(), bytes.len())),
                _ => {}
            }
        }
    }
    assert!(cuts > 1000, "{cuts}");
    assert!(wrong.is_empty(), "{} of {cuts}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn each_class_has_its_code() {
    for (bytes, expected) in [
        (&b""[..], "IMAGE_FORMAT"),
        (b"<html><body>404</body></html>", "IMAGE_FORMAT"),
        (b"not a picture", "IMAGE_FORMAT"),
        (b"II*\0\x08\0\0\0", "IMAGE_FORMAT"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "IMAGE_FORMAT"),
        (b"\x89PNG\r\n\x1a\n", "IMAGE_TRUNCATED"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIDAT", "IMAGE_DECODE"),
        (b"GIF89a\x01", "IMAGE_TRUNCATED"),
        (b"BM", "IMAGE_TRUNCATED"),
        (b"\xff\xd8\xff\xe0", "IMAGE_TRUNCATED"),
        (b"RIFF\x04\0\0\0WEBP", "IMAGE_TRUNCATED"),
        (&png(0, 5), "IMAGE_EMPTY"),
        (&gif(5, 0), "IMAGE_EMPTY"),
        (&bmp(0, 0), "IMAGE_EMPTY"),
        (&bmp(-3, 3), "IMAGE_DECODE"),
        (&jpeg(0, 9), "IMAGE_EMPTY"),
        (&riff(b"VP8 ", b"\0\0\0\0\0\0\x01\0\x01\0"), "IMAGE_DECODE"),
        (&riff(b"JUNK", b"12345678"), "IMAGE_DECODE"),
    ] {
        assert_eq!(code(bytes), expected, "{:?}", &bytes[..bytes.len().min(20)]);
    }
    let mut flipped = file("rgb8.png");
    flipped[60] ^= 0x40;
    assert_eq!(code(&flipped), "IMAGE_DECODE");

    let mut anonymous = file("cmyk.jpg");
    let adobe = anonymous.windows(5).position(|w| w == b"Adobe").unwrap();
    anonymous[adobe] = b'X';
    assert_eq!(code(&anonymous), "IMAGE_UNSUPPORTED");

    let mut scans = file("grey.jpg");
    let at = scans.len() - 2;
    scans.splice(at..at, b"\xff\xda\0\x08\x01\x01\0\0\x3f\0".repeat(101));
    assert_eq!(code(&scans), "IMAGE_UNSUPPORTED");

    let limits = ImageLimits { encoded_bytes: 100, ..Default::default() };
    assert_eq!(decode(&file("rgb8.png"), &limits).unwrap_err().code(), "IMAGE_BYTES");
    let limits = ImageLimits { decoder_bytes: 1000, ..Default::default() };
    assert_eq!(decode(&file("bits24.bmp"), &limits).unwrap_err().code(), "IMAGE_TOO_LARGE");
    let limits = ImageLimits { pixels: 23 * 17, side: 23, ..Default::default() };
    assert!(decode(&file("rgb8.png"), &limits).is_ok());
    assert_eq!(RgbImage::new(2, 2, vec![0; 11]).unwrap_err().code(), "IMAGE_SHAPE");
    assert_eq!(RgbImage::new(0, 2, vec![]).unwrap_err().code(), "IMAGE_SHAPE");
}

#[test]
fn files_are_checked_before_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let limits = ImageLimits::default();
    let open = |name: &str| open(&folder.path().join(name), &limits).unwrap_err();
    let absent = open("absent.png");
    assert_eq!((absent.code(), absent.class().exit_code()), ("IMAGE_OPEN", 4));
    assert!(matches!(open(""), ImageError::NotAFile { .. }));
    let large = fs::File::create(folder.path().join("large.png")).unwrap();
    large.set_len(1 << 40).unwrap();
    let error = open("large.png");
    assert!(error.code() == "IMAGE_BYTES" && error.to_string().contains("large.png"), "{error}");
    fs::write(folder.path().join("page.png"), "<html>").unwrap();
    let error = open("page.png");
    assert!(error.code() == "IMAGE_FORMAT" && error.to_string().contains("HTML"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_pipe_does_not_hang() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.png");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let start = Instant::now();
    assert_eq!(open(&pipe, &ImageLimits::default()).unwrap_err().code(), "IMAGE_OPEN");
    assert!(start.elapsed() < Duration::from_millis(100));
}

#[test]
fn probing_reads_the_stored_size() {
    for (name, size) in [("exif6.jpeg", (17, 23)), ("palette.gif", (23, 17)), ("bits24-top-down.bmp", (23, 17))] {
        let header = probe(&file(name)).unwrap();
        assert_eq!((header.width, header.height), size, "{name}");
    }
}
