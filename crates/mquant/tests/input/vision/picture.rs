//! Pictures that tests and tools/fixtures/image_reference.py draw alike, and the tables it wrote.

use std::fs;
use std::path::{Path, PathBuf};

use mquant::input::image::RgbImage;
use sha2::{Digest, Sha256};

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images")
}

pub(crate) fn fixture(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

pub(crate) fn columns<const N: usize>(line: &str) -> [&str; N] {
    line.split('\t').collect::<Vec<_>>().try_into().unwrap()
}

pub(crate) fn number(text: &str) -> usize {
    text.parse().unwrap()
}

/// Byte `i` is the top byte of splitmix64's finaliser at `seed·2³² + i`.
pub(crate) fn noise(seed: u64, count: usize) -> Vec<u8> {
    let byte = |i: u64| {
        let z = (seed << 32).wrapping_add(i);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 56) as u8
    };
    (0..count as u64).map(byte).collect()
}

pub(crate) fn noise_picture(seed: u64, width: u32, height: u32) -> RgbImage {
    RgbImage::new(width, height, noise(seed, (width * height * 3) as usize)).unwrap()
}

/// The first 16 hexadecimal digits of SHA-256.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|b| format!("{b:02x}")).collect()
}
