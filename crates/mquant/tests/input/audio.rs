//! Sounds: every container against FFmpeg, features against the reference (tools/fixtures/audio.py), and what is refused.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::fs;
use std::path::{Path, PathBuf};

use mquant::input::audio::Sound;

mod broken;
mod containers;
mod extractor;
mod fuzz;
mod limits;
mod processor;
mod resampling;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audio")
}

/// Little-endian floats.
fn floats(name: &str) -> Vec<f32> {
    let bytes = fs::read(fixtures().join(name)).unwrap();
    let (values, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    values.iter().map(|&v| f32::from_le_bytes(v)).collect()
}

fn table<const N: usize>(name: &str) -> Vec<[String; N]> {
    let text = fs::read_to_string(fixtures().join(name)).unwrap();
    let row = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
    text.lines().map(row).collect()
}

fn file(name: &str) -> Vec<u8> {
    fs::read(fixtures().join("files").join(name)).unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// `count` samples of a sine.
fn sine(frequency: f64, rate: u32, count: usize) -> Sound {
    let at = |i: usize| (0.5 * (std::f64::consts::TAU * frequency * i as f64 / f64::from(rate)).sin()) as f32;
    Sound::new((0..count).map(at).collect(), rate).unwrap()
}
