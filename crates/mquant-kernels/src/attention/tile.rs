//! Some query rows of one sequence, all heads that share a key-value head, against keys span by span.
//!
//! A span is a fixed range of keys. Rows begin each span anew and their spans are merged in order, so the same sums arise
//! whether one task or several went through the spans.

use std::ops::Range;

use super::kv_tile::{KEYS, Layout};
use super::lanes::{Group, ROWS, Space};
use super::softmax::{NOTHING, power};
use super::space::TileSpace;
use super::{AttendJob, Checked, HeadShape, SharedRows};
use crate::data::Rows;
use crate::features::{Cpu, per_level};

/// Keys of a span.
pub(super) const SPAN: usize = 512;
/// Rows of a tile, all heads counted, if they are not more for a single query row.
const TILE: usize = 96;

/// What all tiles of a call have in common.
pub(super) struct Call<'a> {
    pub(super) cpu: Cpu,
    pub(super) kernel: Checked,
    pub(super) layout: Layout,
    pub(super) shape: HeadShape,
    pub(super) q: &'a Rows,
    pub(super) output: SharedRows,
}

impl Call<'_> {
    /// Query heads of a key-value head.
    pub(super) fn group(&self) -> usize {
        self.shape.heads / self.shape.kv_heads
    }

    /// Query rows of a tile.
    pub(super) fn tile_rows(&self) -> usize {
        (TILE / self.group()).max(1)
    }
}

/// KV tiles of one head of a job, made before.
#[derive(Clone, Copy)]
pub(super) struct KvTiles<'a> {
    /// The block they begin with.
    pub(super) first: usize,
    pub(super) words: &'a [u32],
}

/// Some query rows of a job and one key-value head.
#[derive(Clone)]
pub(super) struct Tile<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) job: &'a AttendJob<'a>,
    pub(super) head: usize,
    /// Rows of the job.
    pub(super) rows: Range<usize>,
    /// KV tiles of the blocks these rows see; made here if there are none.
    pub(super) kv_tiles: Option<KvTiles<'a>>,
}

/// Sums of the rows of a tile over some keys.
pub(super) struct Sums<'a> {
    highest: &'a mut [f32],
    total: &'a mut [f32],
    values: &'a mut [f32],
}

impl<'a> Sums<'a> {
    /// Sums in `words`, as many as [`Tile::sum_words`].
    fn of(words: &'a mut [u32], width: usize) -> Self {
        // A row has one word of each kind and `width` values.
        let rows = words.len() / (width + 2);
        let (highest, rest) = bytemuck::cast_slice_mut::<u32, f32>(words).split_at_mut(rows);
        let (total, values) = rest.split_at_mut(rows);
        Self { highest, total, values }
    }

    fn clear(&mut self) {
        self.highest.fill(NOTHING);
        self.total.fill(0.0);
        self.values.fill(0.0);
    }

    fn add(&mut self, cpu: Cpu, other: &Sums<'_>) {
        let width = self.values.len() / self.highest.len();
        let rows = self.values.chunks_exact_mut(width).zip(other.values.chunks_exact(width));
        for (row, (values, others)) in rows.enumerate() {
            let highest = self.highest[row].max(other.highest[row]);
            let fades = [power(self.highest[row] - highest), power(other.highest[row] - highest)];
            self.highest[row] = highest;
            self.total[row] = self.total[row] * fades[0] + other.total[row] * fades[1];
            blend(cpu, values, others, fades);
        }
    }
}

#[inline(always)]
fn blend_body(to: &mut [f32], from: &[f32], fades: [f32; 2]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *to * fades[0] + *from * fades[1]);
}

#[inline(always)]
fn scaled_body(from: &[f32], by: f32, to: &mut [f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from * by);
}

per_level! { fn blend(to: &mut [f32], from: &[f32], fades: [f32; 2]) = blend_body }
per_level! { fn scaled(from: &[f32], by: f32, to: &mut [f32]) = scaled_body }

impl Tile<'_> {
    /// Words that the sums of this tile's rows take.
    pub(super) fn sum_words(&self) -> usize {
        // Whole groups, and whole lines of each kind.
        (self.rows.len() * self.call.group()).next_multiple_of(ROWS).next_multiple_of(16)
            * (self.call.layout.width() + 2)
    }

    /// Spans that rows of this tile see.
    pub(super) fn spans(&self) -> Range<usize> {
        let keys = self.job.seen_by(self.rows.clone(), self.call.shape);
        keys.start / SPAN..keys.end.div_ceil(SPAN)
    }

    /// All spans, into the output.
    pub(super) fn run(&self, space: &mut TileSpace) {
        self.begin(space);
        let width = self.call.layout.width();
        let mut total = std::mem::take(&mut space.total);
        let mut span = std::mem::take(&mut space.span);
        let mut sums = Sums::of(total.take(self.sum_words()), width);
        let mut one = Sums::of(span.take(self.sum_words()), width);
        sums.clear();
        for index in self.spans() {
            self.add_span(index, &mut one, space);
            sums.add(self.call.cpu, &one);
        }
        self.write(&sums);
        (space.total, space.span) = (total, span);
    }

    /// One span, into `words`.
    pub(super) fn run_span(&self, span: usize, words: &mut [u32], space: &mut TileSpace) {
        self.begin(space);
        self.add_span(span, &mut Sums::of(words, self.call.layout.width()), space);
    }

    /// Merges spans that [`run_span`](Self::run_span) left one behind the other, into the output.
    pub(super) fn merge(&self, spans: &mut [u32], space: &mut TileSpace) {
        let width = self.call.layout.width();
        let mut sums = Sums::of(space.total.take(self.sum_words()), width);
        sums.clear();
        for span in spans.chunks_exact_mut(self.sum_words()) {
            sums.add(self.call.cpu, &Sums::of(span, width));
        }
        self.write(&sums);
    }

    /// Lays out the queries, and finds what each row sees.
    fn begin(&self, space: &mut TileSpace) {
        let (group, layout) = (self.call.group(), self.call.layout);
        let steps = layout.steps();
        let rows = (self.rows.len() * group).next_multiple_of(ROWS);
        let words = space.queries.take(rows * steps);
        words[self.rows.len() * group * steps..].fill(0);
        let mut words = words.chunks_exact_mut(steps);
        let heads = self.head * group * layout.head_dim..(self.head + 1) * group * layout.head_dim;
        space.seen.clear();
        for row in self.rows.clone() {
            let queries = &self.call.q.row(self.job.first_row + row)[heads.clone()];
            let seen = self.job.seen(row, self.call.shape);
            for query in queries.chunks_exact(layout.head_dim) {
                if let Some(words) = words.next() {
                    layout.query(self.call.cpu, query, words);
                }
                space.seen.push((seen.start, seen.end));
            }
        }
    }

    fn add_span(&self, span: usize, sums: &mut Sums<'_>, space: &mut TileSpace) {
        let (layout, shape) = (self.call.layout, self.call.shape);
        sums.clear();
        let keys = self.job.seen_by(self.rows.clone(), shape);
        let keys = keys.start.max(span * SPAN)..keys.end.min((span + 1) * SPAN);
        for block in keys.start / KEYS..keys.end.div_ceil(KEYS) {
            let kv_tiles = match self.kv_tiles {
                Some(all) => &all.words[(block - all.first) * layout.words()..][..layout.words()],
                None => {
                    let words = space.kv_tile.take(layout.words());
                    self.job.pack(self.call, self.head, block, words);
                    words
                }
            };
            let groups = Groups {
                call: self.call,
                kv_tiles,
                queries: space.queries.take(space.seen.len().next_multiple_of(ROWS) * layout.steps()),
                seen: &space.seen,
                first_key: block * KEYS,
            };
            groups.run(sums, space.group.take(size_of::<Space>() / size_of::<u32>()));
        }
    }

    fn write(&self, sums: &Sums<'_>) {
        let (group, d) = (self.call.group(), self.call.layout.head_dim);
        let width = self.call.layout.width();
        let rows = self.rows.clone().flat_map(|row| (0..group).map(move |head| (row, self.head * group + head)));
        for (((row, head), values), total) in rows.zip(sums.values.chunks_exact(width)).zip(&*sums.total) {
            // A row that sees nothing stays 0.
            let by = if *total == 0.0 { 0.0 } else { 1.0 / total };
            // SAFETY: jobs, tiles and key-value heads do not overlap, so no one else has this part of the output.
            let out = unsafe { self.call.output.part(self.job.first_row + row, head * d..(head + 1) * d) };
            scaled(self.call.cpu, &values[..d], by, out);
        }
    }
}

/// A block and the rows of a tile.
struct Groups<'a> {
    call: &'a Call<'a>,
    kv_tiles: &'a [u32],
    queries: &'a [u32],
    seen: &'a [(usize, usize)],
    first_key: usize,
}

impl Groups<'_> {
    fn run(&self, sums: &mut Sums<'_>, space: &mut [u32]) {
        let layout = self.call.layout;
        let (steps, width) = (layout.steps(), layout.width());
        let (keys, values) = self.kv_tiles.split_at(layout.key_words());
        for (at, seen) in (0..).step_by(ROWS).zip(self.seen.chunks(ROWS)) {
            let mut here = [(0, 0); ROWS];
            for (here, seen) in here.iter_mut().zip(seen) {
                let within = |key: usize| key.saturating_sub(self.first_key).min(KEYS);
                *here = (within(seen.0), within(seen.1));
            }
            if here.iter().all(|(from, to)| from >= to) {
                continue;
            }
            let mut group = Group {
                rows: seen.len(),
                queries: &self.queries[at * steps..(at + ROWS) * steps],
                keys,
                values,
                width,
                seen: here,
                scale: std::f32::consts::LOG2_E / (layout.head_dim as f32).sqrt(),
                highest: &mut sums.highest[at..],
                total: &mut sums.total[at..],
                sums: &mut sums.values[at * width..(at + ROWS) * width],
                space: bytemuck::from_bytes_mut(bytemuck::cast_slice_mut(space)),
            };
            self.call.kernel.run(&mut group);
        }
    }
}
