//! A benchmark's pictures stay in its file, and a file that changes is noticed. Alone in its program, whose memory it measures.

use std::fs::File;
use std::io::{BufWriter, Cursor, Write};
use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mquant::Explain;
use mquant::evaluate::benchmark::Benchmark;
use mquant::measure::peak_rss_bytes;

/// Bytes of each picture, and how many there are.
const PICTURE: usize = 8 << 20;
const PICTURES: usize = 30;
/// What reading one at a time may take: a record, its copies while it is decoded, and the program.
const MEMORY: u64 = 100 << 20;

#[test]
fn pictures_stay_in_the_file_and_changes_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("Large.tsv");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    writeln!(file, "index\timage\tquestion\tanswer").unwrap();
    let mut picture = Cursor::new(Vec::new());
    image::RgbImage::new(4, 3).write_to(&mut picture, image::ImageFormat::Png).unwrap();
    // Bytes after the end of a picture are part of no picture: a cheap way to large ones.
    let mut picture = picture.into_inner();
    picture.resize(PICTURE, 0);
    let encoded = STANDARD.encode(picture);
    for i in 0..PICTURES {
        writeln!(file, "{i}\t{encoded}\tq\ta").unwrap();
    }
    file.into_inner().unwrap();

    let mut told = Vec::new();
    let mut watch = |bytes, total| {
        told.push((bytes, total));
        ControlFlow::Continue(())
    };
    let read = Benchmark::open_watched(&path, &mut watch).unwrap();
    for i in 0..PICTURES {
        assert_eq!(read.pictures(i).unwrap()[0].len(), PICTURE);
    }
    let total = std::fs::metadata(&path).unwrap().len();
    assert!(told.len() >= PICTURES && told.windows(2).all(|pair| pair[0].0 < pair[1].0), "{told:?}");
    assert_eq!(told.last(), Some(&(total, total)));
    if let Some(peak) = peak_rss_bytes() {
        println!("{total} bytes read in {peak} of memory");
        assert!(total > 3 * MEMORY && peak < MEMORY, "{total} bytes read in {peak} of memory");
    }

    let stopped = Benchmark::open_watched(&path, &mut |_, _| ControlFlow::Break(())).unwrap_err();
    assert_eq!(stopped.code(), "BENCHMARK_STOPPED");
    File::options().write(true).open(&path).unwrap().set_len(total / 2).unwrap();
    let Err(error) = read.pictures(PICTURES - 3) else { panic!("a picture of a file that ended before") };
    assert_eq!(error.code(), "BENCHMARK_CHANGED");
    assert!(error.to_string().starts_with("Large.tsv: row 28: "), "{error}");
    assert_eq!(read.pictures(2).unwrap()[0].len(), PICTURE);
}
