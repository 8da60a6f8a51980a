//! Seeded mutation of every stored form: nothing may panic, hang, or yield a picture that is not what it says.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use mquant::Explain;
use mquant::input::image::{ImageLimits, decode, probe};
use mquant::input::video::{self, VideoLimits};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Mutants of one run; MQUANT_FUZZ_RUNS multiplies them.
const MUTANTS: usize = 120_000;

fn seeds() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images");
    let files = ["files", "videos"].map(|part| fs::read_dir(folder.join(part)).unwrap());
    let mut seeds: Vec<_> = files
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    seeds.sort();
    seeds
}

fn mutate(bytes: &mut Vec<u8>, other: &[u8], rng: &mut ChaCha8Rng) {
    for _ in 0..rng.random_range(1..=4) {
        if bytes.is_empty() {
            return;
        }
        // Headers are short; half of the changes go there.
        let end = if rng.random() { bytes.len().min(64) } else { bytes.len() };
        let at = rng.random_range(0..end);
        match rng.random_range(0..7) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
            3 => bytes.truncate(at),
            4 => {
                let upto = (at + rng.random_range(1..=16)).min(bytes.len());
                let part = bytes[at..upto].to_vec();
                bytes.splice(at..at, part);
            }
            5 => drop(bytes.drain(at..(at + rng.random_range(1..=16)).min(bytes.len()))),
            _ => {
                let from = rng.random_range(0..other.len());
                let part = &other[from..(from + rng.random_range(1..=64)).min(other.len())];
                let upto = (at + part.len()).min(bytes.len());
                bytes[at..upto].copy_from_slice(&part[..upto - at]);
            }
        }
    }
}

/// Without this, nearly every PNG mutant would end at a checksum.
fn repair_checksums(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let Some(end) = at.checked_add(8 + length).filter(|end| end + 4 <= bytes.len()) else { return };
        let sum = crc32(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&sum.to_be_bytes());
        at = end + 4;
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, &b: &u8| {
        (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 })
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[test]
fn mutants_are_answered() {
    // Contained panics are counted below; their messages would drown the report.
    std::panic::set_hook(Box::new(|info| {
        if info.location().is_some_and(|l| l.file().contains("tests/")) {
            eprintln!("{info}");
        }
    }));
    let runs: usize = std::env::var("MQUANT_FUZZ_RUNS").map_or(1, |n| n.parse().expect("a number"));
    let limits = ImageLimits { pixels: 1 << 20, decoder_bytes: 32 << 20, ..Default::default() };
    let video_limits = VideoLimits { image: limits.clone(), frames: 8, pixels: 1 << 20 };
    let seeds = seeds();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut outcomes = BTreeMap::<String, usize>::new();
    let start = Instant::now();
    for i in 0..MUTANTS * runs {
        let (name, seed) = &seeds[i % seeds.len()];
        let mut bytes = seed.clone();
        let (_, other) = &seeds[rng.random_range(0..seeds.len())];
        mutate(&mut bytes, other, &mut rng);
        if name.ends_with(".png") && rng.random_ratio(3, 4) {
            repair_checksums(&mut bytes);
        }
        let begun = Instant::now();
        let outcome = match decode(&bytes, &limits) {
            Ok(image) => {
                let header = probe(&bytes).unwrap();
                let sides = (image.width(), image.height());
                assert!(sides == (header.width, header.height) || sides == (header.height, header.width));
                assert_eq!(image.pixels().len(), (sides.0 * sides.1 * 3) as usize);
                "decoded"
            }
            Err(e) => {
                assert!(e.to_string().len() < 400, "{e}");
                e.code()
            }
        };
        *outcomes.entry(outcome.to_owned()).or_default() += 1;
        if (name.ends_with(".gif") || name.ends_with(".webp")) && i % 4 == 0 {
            let outcome = video::decode(&bytes, &video_limits).map_or_else(|e| e.code(), |_| "video");
            *outcomes.entry(outcome.to_owned()).or_default() += 1;
        }
        let time = begun.elapsed();
        assert!(time < Duration::from_secs(2), "mutant {i} of {name}: {time:?}");
    }
    println!("{} mutants in {:?}: {outcomes:?}", MUTANTS * runs, start.elapsed());
    assert!(outcomes["decoded"] > MUTANTS / 50 && outcomes["IMAGE_DECODE"] > MUTANTS / 50, "{outcomes:?}");
}
