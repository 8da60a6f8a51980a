//! Mutants of whole files: each is read or refused in words.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use mquant::Explain;
use mquant::evaluate::benchmark::Benchmark;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Folder, encoded, fixture};

/// Mutants of one run; MQUANT_FUZZ_RUNS multiplies them.
const TABLES: usize = 20_000;
const PARQUETS: usize = 6_000;
/// A mutant may at most take so long, on a machine that others use too.
const LONGEST: Duration = Duration::from_secs(5);

fn runs() -> usize {
    std::env::var("MQUANT_FUZZ_RUNS").map_or(1, |n| n.parse().expect("a number"))
}

/// Opens a file and asks for its first and its last pictures; what came of it.
fn outcome(path: &Path) -> &'static str {
    let begun = Instant::now();
    let outcome = match Benchmark::open(path) {
        Ok(read) => {
            let last = read.questions().len() - 1;
            match read.media(last).and_then(|_| read.media(0)) {
                Ok(_) if read.skipped().is_empty() => "whole",
                Ok(_) => "read",
                Err(e) => panic!("{}: a picture that was there before: {e}", path.display()),
            }
        }
        Err(e) => {
            assert!(e.to_string().len() < 6_000, "{e}");
            e.code()
        }
    };
    assert!(begun.elapsed() < LONGEST, "{outcome}: {:?}", begun.elapsed());
    outcome
}

/// Changes of bytes anywhere, or of those where a format keeps what matters.
fn mutate(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng, inserted: &[&[u8]]) {
    for _ in 0..rng.random_range(1..=3) {
        if bytes.is_empty() {
            return;
        }
        let end = bytes.len();
        let at = match rng.random_range(0..3) {
            0 => rng.random_range(0..end.min(80)),
            1 => end - 1 - rng.random_range(0..end.min(1200)),
            _ => rng.random_range(0..end),
        };
        match rng.random_range(0..8) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
            3 if rng.random_ratio(1, 4) => bytes.truncate(at),
            4 => drop(bytes.drain(at..(at + rng.random_range(1..=16)).min(end))),
            5 => {
                let part = bytes[at..(at + rng.random_range(1..=16)).min(end)].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let part = inserted[rng.random_range(0..inserted.len())];
                let upto = if rng.random() { (at + part.len()).min(end) } else { at };
                bytes.splice(at..upto, part.iter().copied());
            }
        }
    }
}

#[test]
fn mutated_tables_are_answered() {
    let mut text = "index\timage\tquestion\tanswer\tA\tB\thint\toptions\n".to_owned();
    for i in 0..25 {
        let picture = match i % 4 {
            0 | 1 => encoded([i, 1, 2]),
            2 => (i - 1).to_string(),
            _ => format!("['{}', '{}']", encoded([i, 3, 4]), i - 2),
        };
        text += &format!("{i}\t{picture}\t\"What \"\"is\"\" {i}?\"\t['a', 'b']\tone\ttwo\tnan\t['x', \"y\"]\n");
    }
    let inserted: [&[u8]; 10] = [b"\t", b"\n", b"\"", b"\0", b"\xff", b"['", b"\\x", b"12", b"\r\n", b"nan"];
    let folder = Folder::new();
    let path = folder.0.path().join("Mutant.tsv");
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut outcomes = BTreeMap::<&str, usize>::new();
    let start = Instant::now();
    for _ in 0..TABLES * runs() {
        let mut bytes = text.clone().into_bytes();
        mutate(&mut bytes, &mut rng, &inserted);
        std::fs::write(&path, &bytes).unwrap();
        *outcomes.entry(outcome(&path)).or_default() += 1;
    }
    println!("{} tables in {:?}: {outcomes:?}", TABLES * runs(), start.elapsed());
    for expected in ["whole", "read", "BENCHMARK_ROWS", "BENCHMARK_COLUMN"] {
        assert!(outcomes.get(expected).is_some_and(|n| *n > TABLES / 200), "{expected}: {outcomes:?}");
    }
}

#[test]
fn mutated_parquets_are_answered() {
    // Contained panics are errors; their messages would drown the report.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.location().is_none_or(|location| location.file().contains("mquant")) {
            hook(info);
        }
    }));
    let names = ["docvqa", "chartqa", "ocrbench", "mme", "mmmu", "mmbench", "scienceqa", "vqav2", "bytes"];
    let seeds: Vec<Vec<u8>> =
        names.iter().map(|name| std::fs::read(fixture(&format!("{name}.parquet"))).unwrap()).collect();
    // Largest numbers of Thrift, ends of structures, lists and structures.
    let inserted: [&[u8]; 8] = [
        b"\xfe\xff\xff\xff\x0f",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x00",
        b"\x1c",
        b"\xfc\xff\xff\xff\x07",
        b"\x15\x80\x80\x80\x80\x08",
        b"\x19",
        b"\x16\x01",
    ];
    let folder = Folder::new();
    let path = folder.0.path().join("Mutant.parquet");
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    let mut outcomes = BTreeMap::<&str, usize>::new();
    let start = Instant::now();
    for i in 0..PARQUETS * runs() {
        let mut bytes = seeds[i % seeds.len()].clone();
        mutate(&mut bytes, &mut rng, &inserted);
        std::fs::write(&path, &bytes).unwrap();
        *outcomes.entry(outcome(&path)).or_default() += 1;
    }
    println!("{} Parquet files in {:?}: {outcomes:?}", PARQUETS * runs(), start.elapsed());
    let peak = mquant::measure::peak_rss_bytes().unwrap_or(0);
    println!("peak memory {peak}");
    for expected in ["whole", "BENCHMARK_PARQUET", "BENCHMARK_PAGE"] {
        assert!(outcomes.get(expected).is_some_and(|n| *n > PARQUETS / 100), "{expected}: {outcomes:?}");
    }
}
