//! Bytes read from memory each second: every thread adds up a contiguous part of its own of something that fits no cache.
//!
//! Words are added as floats, whose sums a compiler must take as they are written: integers it would rearrange.

use std::hint::black_box;

use memmap2::{Advice, MmapMut};

use super::{median, together};
use crate::features::{Cpu, per_level};
use crate::threads::Threads;

/// Bytes read; where there is less memory, a half or a quarter of it and so on.
const BYTES: usize = 1 << 30;
/// Runs of each way to read.
const RUNS: usize = 5;
/// What a part is a multiple of: a large page.
const PAGE: usize = 2 << 20;
/// Words that are added at once.
const LANES: usize = 32;
/// How far ahead of the sum memory is fetched, in words.
const AHEAD: usize = 4096 / 8;

/// The best of the medians of reading as it comes, fetching ahead, and from four places at once.
pub(super) fn bytes_per_s(threads: &Threads, cpu: Cpu) -> f64 {
    let Some(mut memory) = allocate() else { return 0.0 };
    let part = (memory.len() / threads.count() / PAGE * PAGE).max(PAGE).min(memory.len());
    let parts = memory.len() / part;
    // Pages that nobody has written would all be the same page of zeros.
    threads.run(|| {
        use rayon::prelude::*;
        memory.par_chunks_mut(part).for_each(|part| part.fill(1));
    });
    let memory: &[f64] = bytemuck::cast_slice(&memory[..parts * part]);
    let bytes = (parts.min(threads.count()) * part) as f64;
    let own = |thread: usize| memory.chunks_exact(part / 8).nth(thread).unwrap_or_default();
    let rate = |sum: fn(Cpu, &[f64]) -> f64| {
        bytes
            / together(threads, |thread| {
                black_box(sum(cpu, own(thread)));
            })
            .as_secs_f64()
    };
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        for (rates, sum) in rates.iter_mut().zip([plain as fn(Cpu, &[f64]) -> f64, fetched, from_four]) {
            rates.push(rate(sum));
        }
    }
    rates.into_iter().map(median).fold(0.0, f64::max)
}

fn allocate() -> Option<MmapMut> {
    let sizes = std::iter::successors(Some(BYTES), |bytes| Some(bytes / 2)).take_while(|bytes| *bytes >= 16 * PAGE);
    let memory = sizes.filter_map(|bytes| MmapMut::map_anon(bytes).ok()).next()?;
    // Small pages are looked up in more places; a system may have no large ones.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(Advice::HugePage);
    Some(memory)
}

#[inline(always)]
fn add(lanes: &mut [f64; LANES], words: &[f64; LANES]) {
    lanes.iter_mut().zip(words).for_each(|(lane, word)| *lane += word);
}

#[inline(always)]
fn total(lanes: [f64; LANES]) -> f64 {
    lanes.into_iter().sum()
}

#[inline(always)]
fn plain_body(words: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    words.as_chunks().0.iter().for_each(|chunk| add(&mut lanes, chunk));
    total(lanes)
}

#[inline(always)]
fn fetched_body(words: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    for chunk in words.as_chunks().0 {
        fetch(chunk, AHEAD);
        add(&mut lanes, chunk);
    }
    total(lanes)
}

#[inline(always)]
fn from_four_body(words: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let quarters = words.as_chunks::<LANES>().0;
    let quarter = quarters.len() / 4;
    for i in 0..quarter {
        for place in 0..4 {
            let chunk = &quarters[place * quarter + i];
            fetch(chunk, AHEAD / 2);
            add(&mut lanes, chunk);
        }
    }
    total(lanes)
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn fetch(chunk: &[f64; LANES], ahead: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    for line in (0..LANES).step_by(8) {
        // SAFETY: every CPU of the target has it. Fetching is no access: it may go beyond the end.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(chunk.as_ptr().wrapping_add(ahead + line).cast()) };
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn fetch(_: &[f64; LANES], _: usize) {}

per_level! {
    /// The sum of all words, read as they come.
    fn plain(words: &[f64]) -> f64 = plain_body
}
per_level! {
    /// The sum of all words, fetched ahead.
    fn fetched(words: &[f64]) -> f64 = fetched_body
}
per_level! {
    /// The sum of all words but some of the last, from four places at once, fetched ahead.
    fn from_four(words: &[f64]) -> f64 = from_four_body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_reading_reads_everything() {
        let words: Vec<f64> = (0..64 * LANES).map(|i| (i * 7919 % 1013) as f64).collect();
        let sum: f64 = words.iter().sum();
        for cpu in Cpu::levels() {
            assert_eq!([plain(cpu, &words), fetched(cpu, &words), from_four(cpu, &words)], [sum; 3], "{}", cpu.level());
        }
    }
}
