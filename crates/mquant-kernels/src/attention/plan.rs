//! Which tasks a call is made of. They change who computes what and when, never what is computed.

use std::ops::Range;

use rayon::prelude::*;

use super::AttendJob;
use super::kv_tile::KEYS;
use super::space::{with_tile, with_words};
use super::tile::{Call, KvTiles, Tile};

/// Words of KV tiles that are made before they are used, at most, if not for a single job: 64 MiB.
const WAVE: usize = 1 << 24;
/// Tasks that make a thread's share even.
const TASKS_A_THREAD: usize = 4;
/// About the cycles below which threads are not worth waking.
const SMALL: usize = 1 << 15;

/// Attends to every job.
pub(super) fn run(call: &Call<'_>, jobs: &[AttendJob<'_>]) {
    let mut from = 0;
    let mut words = 0;
    for (at, job) in jobs.iter().enumerate() {
        let needed = panel_words(call, job);
        if words + needed > WAVE && at > from {
            run_wave(call, &jobs[from..at]);
            (from, words) = (at, 0);
        }
        words += needed;
    }
    run_wave(call, &jobs[from..]);
}

/// Blocks that rows of a job see.
fn blocks(call: &Call<'_>, job: &AttendJob<'_>) -> Range<usize> {
    let keys = job.seen_by(0..job.rows, call.shape);
    keys.start / KEYS..keys.end.div_ceil(KEYS)
}

/// Words of the KV tiles that several tiles of a job share; a job of one tile makes its own as it goes.
fn panel_words(call: &Call<'_>, job: &AttendJob<'_>) -> usize {
    if job.rows <= call.tile_rows() {
        return 0;
    }
    blocks(call, job).len() * call.layout.words() * call.shape.kv_heads
}

fn run_wave(call: &Call<'_>, jobs: &[AttendJob<'_>]) {
    let threads = if work(call, jobs) < SMALL { 1 } else { rayon::current_num_threads() };
    let needed = jobs.iter().map(|job| panel_words(call, job)).sum();
    with_words(needed, |words| {
        make_panels(call, jobs, threads, words);
        run_tiles(call, jobs, threads, words);
    });
}

/// About the cycles of some jobs.
fn work(call: &Call<'_>, jobs: &[AttendJob<'_>]) -> usize {
    let work = |job: &AttendJob<'_>| {
        let keys = job.seen_by(0..job.rows, call.shape).len();
        keys * call.shape.head_dim * (call.shape.kv_heads + job.rows * call.shape.heads / 16)
    };
    jobs.iter().map(work).sum()
}

fn make_panels(call: &Call<'_>, jobs: &[AttendJob<'_>], threads: usize, mut words: &mut [u32]) {
    let mut tasks = Vec::new();
    for job in jobs.iter().filter(|job| panel_words(call, job) > 0) {
        for head in 0..call.shape.kv_heads {
            for block in blocks(call, job) {
                let (kv_tiles, rest) = words.split_at_mut(call.layout.words());
                tasks.push((job, head, block, kv_tiles));
                words = rest;
            }
        }
    }
    // Heads inside: they read the same rows.
    tasks.sort_by_key(|(job, head, block, _)| (job.first_row, *block, *head));
    for_each(tasks, threads, |(job, head, block, kv_tiles)| job.pack(call, head, block, kv_tiles));
}

fn run_tiles(call: &Call<'_>, jobs: &[AttendJob<'_>], threads: usize, mut words: &[u32]) {
    let mut tiles = Vec::new();
    for job in jobs {
        let first = blocks(call, job).start;
        let per_head = panel_words(call, job) / call.shape.kv_heads;
        let (own, rest) = words.split_at(per_head * call.shape.kv_heads);
        words = rest;
        // Heads inside: they read the same query rows.
        for from in (0..job.rows).step_by(call.tile_rows()) {
            let rows = from..(from + call.tile_rows()).min(job.rows);
            for head in 0..call.shape.kv_heads {
                let words = &own[head * per_head..(head + 1) * per_head];
                let kv_tiles = (per_head > 0).then_some(KvTiles { first, words });
                tiles.push(Tile { call, job, head, rows: rows.clone(), kv_tiles });
            }
        }
    }
    // With few tiles their spans are what threads share.
    let few = threads > 1 && tiles.len() < threads * TASKS_A_THREAD;
    let (split, whole): (Vec<_>, Vec<_>) = tiles.into_iter().partition(|tile| few && tile.spans().len() > 1);
    for_each(whole, threads, |tile| with_tile(|space| tile.run(space)));
    if !split.is_empty() {
        run_spans(&split, threads);
    }
}

fn run_spans(tiles: &[Tile<'_>], threads: usize) {
    let needed = tiles.iter().map(|tile| tile.spans().len() * tile.sum_words()).sum();
    with_words(needed, |words| {
        let mut tasks = Vec::new();
        let mut rest = &mut *words;
        for tile in tiles {
            for span in tile.spans() {
                let (sums, after) = rest.split_at_mut(tile.sum_words());
                tasks.push((tile, span, sums));
                rest = after;
            }
        }
        for_each(tasks, threads, |(tile, span, sums)| with_tile(|space| tile.run_span(span, sums, space)));
        let mut rest = words;
        for tile in tiles {
            let (spans, after) = rest.split_at_mut(tile.spans().len() * tile.sum_words());
            with_tile(|space| tile.merge(spans, space));
            rest = after;
        }
    });
}

fn for_each<T: Send>(tasks: Vec<T>, threads: usize, f: impl Fn(T) + Send + Sync) {
    if threads == 1 || tasks.len() < 2 {
        tasks.into_iter().for_each(f);
    } else {
        tasks.into_par_iter().with_max_len(1).for_each(f);
    }
}
