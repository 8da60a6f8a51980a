//! Seeded mutation of every container: nothing may panic, hang, or take memory that no limit allows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{file, table};
use mquant::Explain;
use mquant::input::audio::{AudioLimits, decode};
use mquant::measure::peak_rss_bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Mutants of one run; MQUANT_FUZZ_RUNS multiplies them.
const MUTANTS: usize = 40_000;

fn mutate(bytes: &mut Vec<u8>, other: &[u8], rng: &mut ChaCha8Rng) {
    for _ in 0..rng.random_range(1..=4) {
        if bytes.is_empty() {
            return;
        }
        // Headers are short; half of the changes go there.
        let end = if rng.random() { bytes.len().min(160) } else { bytes.len() };
        let at = rng.random_range(0..end);
        match rng.random_range(0..8) {
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
            6 => {
                let number = [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0xffff_0000][rng.random_range(0..6)];
                let part: [u8; 4] = if rng.random() { u32::to_le_bytes(number) } else { u32::to_be_bytes(number) };
                let upto = (at + 4).min(bytes.len());
                bytes[at..upto].copy_from_slice(&part[..upto - at]);
            }
            _ => {
                let from = rng.random_range(0..other.len());
                let part = &other[from..(from + rng.random_range(1..=64)).min(other.len())];
                let upto = (at + part.len()).min(bytes.len());
                bytes[at..upto].copy_from_slice(&part[..upto - at]);
            }
        }
    }
}

/// Without this, nearly every mutant of an Ogg file would end at a page's checksum.
pub(super) fn repair_pages(bytes: &mut [u8]) {
    let mut at = 0;
    while bytes.get(at..at + 4) == Some(b"OggS") {
        let Some(&segments) = bytes.get(at + 26) else { return };
        let Some(lacing) = bytes.get(at + 27..at + 27 + usize::from(segments)) else { return };
        let end = at + 27 + lacing.len() + lacing.iter().map(|&n| usize::from(n)).sum::<usize>();
        let Some(page) = bytes.get_mut(at..end) else { return };
        page[22..26].fill(0);
        let step = |crc: u32, &b: &u8| {
            (0..8).fold(crc ^ u32::from(b) << 24, |c, _| if c >> 31 == 1 { (c << 1) ^ 0x04c1_1db7 } else { c << 1 })
        };
        let sum = page.iter().fold(0, step);
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
}

/// Set in the process that does nothing but one test, whose memory is measured.
const ALONE: &str = "MQUANT_TEST_ALONE";

/// Whether this process runs that test alone; if not, one that does has passed.
pub(super) fn is_alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let program = std::env::current_exe().expect("the path of this program");
    let child = std::process::Command::new(program).args(["--exact", test, "--nocapture"]).env(ALONE, "1").output();
    let child = child.expect("a process");
    let told = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{told}{}", String::from_utf8_lossy(&child.stderr));
    assert!(told.contains("1 passed"), "{told}");
    false
}

#[test]
fn mutants_are_answered() {
    if !is_alone("audio::fuzz::mutants_are_answered") {
        return;
    }
    // Contained panics are counted below; their messages would drown the report.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.location().is_some_and(|l| l.file().contains("symphonia")) {
            hook(info);
        }
    }));
    let runs: usize = std::env::var("MQUANT_FUZZ_RUNS").map_or(1, |n| n.parse().expect("a number"));
    let limits = AudioLimits { seconds: 20, decoded_bytes: 16 << 20, ..Default::default() };
    let seeds: Vec<_> = table::<5>("files.tsv").into_iter().map(|[name, ..]| (file(&name), name)).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut outcomes = BTreeMap::<&str, usize>::new();
    let mut slowest = (Duration::ZERO, String::new());
    let peak = peak_rss_bytes();
    let start = Instant::now();
    for i in 0..MUTANTS * runs {
        let (seed, name) = &seeds[i % seeds.len()];
        let mut bytes = seed.clone();
        let (other, _) = &seeds[rng.random_range(0..seeds.len())];
        mutate(&mut bytes, other, &mut rng);
        if name.ends_with(".ogg") && rng.random_ratio(3, 4) {
            repair_pages(&mut bytes);
        }
        let begun = Instant::now();
        let outcome = match decode(&bytes, &limits) {
            Ok(sound) => {
                assert!(sound.samples().iter().all(|v| v.is_finite()) && sound.seconds() <= 20.0);
                "decoded"
            }
            Err(e) => {
                assert!(e.to_string().len() < 400, "{e}");
                e.code()
            }
        };
        *outcomes.entry(outcome).or_default() += 1;
        let time = begun.elapsed();
        if time > slowest.0 {
            slowest = (time, name.clone());
        }
        assert!(time < Duration::from_secs(2), "mutant {i} of {name}: {time:?}");
    }
    let grown = peak_rss_bytes().zip(peak).map_or(0, |(now, before)| (now - before) >> 20);
    println!("{} mutants in {:?}, slowest {slowest:?}, {grown} MiB: {outcomes:?}", MUTANTS * runs, start.elapsed());
    assert!(grown < 256, "{grown} MiB");
    assert!(outcomes["decoded"] > MUTANTS / 50 && outcomes["AUDIO_DECODE"] > MUTANTS / 50, "{outcomes:?}");
}
