//! Benchmark files as published are read with their pictures, and no other file does harm.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod fuzz;
mod parquet;
mod sounds;
mod tables;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mquant::evaluate::benchmark::Benchmark;
use mquant::input::image::{ImageLimits, decode};
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/benchmarks").join(name)
}

/// A PNG of one colour.
fn picture(colour: [u8; 3]) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(4, 3, image::Rgb(colour)).write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}

/// The same in base64.
fn encoded(colour: [u8; 3]) -> String {
    STANDARD.encode(picture(colour))
}

/// The colours of a question's pictures, by their first pixel.
fn colours(benchmark: &Benchmark, question: usize) -> Vec<[u8; 3]> {
    let pictures = benchmark.pictures(question).unwrap();
    let first = |bytes: &[u8]| decode(bytes, &ImageLimits::default()).unwrap().pixels()[..3].try_into().unwrap();
    pictures.iter().map(|bytes| first(bytes)).collect()
}

/// A folder that a test writes into.
#[derive(Debug)]
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}
