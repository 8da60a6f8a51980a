//! Every stored form of a picture against what Pillow and transformers make of it (tools/fixtures/image_files.py).
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::fs;
use std::path::{Path, PathBuf};

use mquant::Explain;
use mquant::input::image::{Format, ImageLimits, RgbImage, decode, open, probe};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images")
}

struct Case {
    name: String,
    bytes: Vec<u8>,
    expected: RgbImage,
    tolerance: u8,
}

fn cases() -> Vec<Case> {
    let rgb = fs::read(fixtures().join("files.rgb")).unwrap();
    let table = fs::read_to_string(fixtures().join("files.tsv")).unwrap();
    let case = |line: &str| {
        let [name, w, h, offset, tolerance] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let (w, h, offset): (u32, u32, usize) = (w.parse().unwrap(), h.parse().unwrap(), offset.parse().unwrap());
        Case {
            name: name.to_owned(),
            bytes: fs::read(fixtures().join("files").join(name)).unwrap(),
            expected: RgbImage::new(w, h, rgb[offset..offset + (w * h * 3) as usize].to_vec()).unwrap(),
            tolerance: tolerance.parse().unwrap(),
        }
    };
    table.lines().map(case).collect()
}

fn largest_difference(a: &RgbImage, b: &RgbImage) -> u8 {
    a.pixels().iter().zip(b.pixels()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn every_stored_form_is_converted_like_the_reference() {
    let cases = cases();
    assert!(cases.len() >= 48, "{} files", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        match decode(&case.bytes, &ImageLimits::default()) {
            Err(e) => wrong.push(format!("{}: {} {e}", case.name, e.code())),
            Ok(image) if (image.width(), image.height()) != (case.expected.width(), case.expected.height()) => {
                wrong.push(format!("{}: {image:?} for {:?}", case.name, case.expected));
            }
            Ok(image) => {
                let found = largest_difference(&image, &case.expected);
                println!("{}\t{found}", case.name);
                if found > case.tolerance {
                    wrong.push(format!("{}: off by {found}, allowed {}", case.name, case.tolerance));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn orientations_differ_as_stored() {
    let files = fixtures().join("files");
    for extension in ["png", "jpeg", "webp"] {
        let stored: Vec<_> = (1..=8).map(|n| fs::read(files.join(format!("exif{n}.{extension}"))).unwrap()).collect();
        let sizes: Vec<_> = stored.iter().map(|b| probe(b).unwrap()).map(|h| (h.width, h.height)).collect();
        assert_eq!(sizes[..4], [(23, 17); 4], "{extension}");
        assert_eq!(sizes[4..], [(17, 23); 4], "{extension}");
    }
}

#[test]
fn format_is_told_by_content() {
    for (name, expected) in [
        ("rgb8.png", Format::Png),
        ("cmyk.jpg", Format::Jpeg),
        ("lossy-alpha.webp", Format::WebP),
        ("lossless.webp", Format::WebP),
        ("lossy.webp", Format::WebP),
        ("palette.gif", Format::Gif),
        ("bits4.bmp", Format::Bmp),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let disguised = folder.path().join("picture.txt");
        fs::copy(fixtures().join("files").join(name), &disguised).unwrap();
        assert_eq!(probe(&fs::read(&disguised).unwrap()).unwrap().format, expected, "{name}");
        assert!(open(&disguised, &ImageLimits::default()).is_ok(), "{name}");
    }
}
