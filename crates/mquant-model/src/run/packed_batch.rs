//! Rows of several sequences put together for one pass, and taken apart again.

use std::ops::Range;

use mquant_kernels::Rows;

use super::RowOrder;
use crate::input::ModalitySpans;
use crate::nn::{Deepstack, KvCache, Position};

/// Some rows of one sequence, embedded, in original order.
pub(super) struct SequenceChunk<'a> {
    pub(super) cache: &'a mut KvCache,
    /// Rows of the sequence before these.
    pub(super) start: usize,
    pub(super) x: Rows,
    pub(super) positions: &'a [Position],
    pub(super) spans: ModalitySpans,
    pub(super) media: MediaRows,
}

/// What media add to the stream behind its beginning.
#[derive(Debug, Default)]
pub struct MediaRows {
    /// Rows of the chunk.
    rows: Vec<usize>,
    /// Of each what the decoder's blocks add, level by level; all of one length.
    levels: Vec<f32>,
}

impl MediaRows {
    /// Puts what a tower made of a row of media, `features`, in its place: the beginning of the stream, and levels behind it.
    pub fn embed(&mut self, x: &mut Rows, row: usize, features: &[f32]) {
        let (first, levels) = features.split_at(x.features());
        x.row_mut(row).copy_from_slice(first);
        if !levels.is_empty() {
            self.rows.push(row);
            self.levels.extend_from_slice(levels);
        }
    }

    /// As a pass of other rows needs it: `place` tells where a row of the chunk is computed.
    pub fn deepstack(self, place: impl Fn(usize) -> usize) -> Deepstack {
        if self.rows.is_empty() {
            return Deepstack::default();
        }
        let width = self.levels.len() / self.rows.len();
        let rows = self.rows.iter().map(|row| place(*row) as u32).collect();
        Deepstack { rows, features: Some(Rows::from_vec(self.levels, width)) }
    }

    /// Adds those of other rows, `first` rows further on.
    pub fn append(&mut self, other: Self, first: usize) {
        self.rows.extend(other.rows.iter().map(|row| first + row));
        self.levels.extend(other.levels);
    }
}

/// The rows of a pass in the order they are computed.
pub(super) struct PackedBatch<'a> {
    pub(super) x: Rows,
    pub(super) positions: Vec<Position>,
    pub(super) spans: ModalitySpans,
    /// Original index of each row in its sequence.
    pub(super) order: Vec<u32>,
    /// The rows of each sequence.
    pub(super) sequences: Vec<Range<usize>>,
    /// One for each sequence.
    pub(super) caches: Vec<&'a mut KvCache>,
    pub(super) places: RowPermutation,
    pub(super) deepstack: Deepstack,
}

/// Where the rows of a pass would be in original order: runs of rows, in the order they are computed.
pub(super) struct RowPermutation(Vec<Range<usize>>);

impl<'a> PackedBatch<'a> {
    /// Rows are `features` wide.
    pub(super) fn of(works: Vec<SequenceChunk<'a>>, row_order: RowOrder, features: usize) -> Self {
        let rows: usize = works.iter().map(|work| work.x.rows()).sum();
        let mut x = Vec::with_capacity(rows * features);
        let mut gathered = Self {
            x: Rows::zeros(0, features),
            positions: Vec::with_capacity(rows),
            spans: ModalitySpans::default(),
            order: Vec::with_capacity(rows),
            sequences: Vec::new(),
            caches: Vec::new(),
            places: RowPermutation(Vec::new()),
            deepstack: Deepstack::default(),
        };
        let mut media = MediaRows::default();
        for work in works {
            let at = gathered.order.len();
            gathered.sequences.push(at..at + work.x.rows());
            for (modality, run) in row_order.runs(&work.spans) {
                gathered.spans.push(modality, run.len());
                gathered.order.extend(run.clone().map(|row| (work.start + row) as u32));
                gathered.positions.extend_from_slice(&work.positions[run.clone()]);
                x.extend_from_slice(work.x.range(run.clone()));
                gathered.places.0.push(at + run.start..at + run.end);
            }
            gathered.caches.push(work.cache);
            media.append(work.media, at);
        }
        gathered.x = Rows::from_vec(x, features);
        let computed = gathered.places.computed();
        gathered.deepstack = media.deepstack(|row| computed[row]);
        gathered
    }
}

impl RowPermutation {
    /// Where each row of the original order is computed.
    fn computed(&self) -> Vec<usize> {
        let mut computed = vec![0; self.0.iter().map(ExactSizeIterator::len).sum()];
        self.0.iter().flat_map(Clone::clone).enumerate().for_each(|(at, row)| computed[row] = at);
        computed
    }

    /// Rows as they were computed, in original order.
    pub(super) fn restore(&self, computed: Rows) -> Rows {
        if self.0.is_sorted_by_key(|run| run.start) {
            return computed;
        }
        let features = computed.features();
        let mut restored = Rows::zeros(computed.rows(), features);
        let mut at = 0;
        for run in &self.0 {
            let to = run.start * features..run.end * features;
            restored.as_mut_slice()[to].copy_from_slice(computed.range(at..at + run.len()));
            at += run.len();
        }
        restored
    }
}
