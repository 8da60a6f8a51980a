//! Rows of several sequences put together for one pass, and taken apart again.

use std::ops::Range;

use mquant_kernels::Rows;

use super::RowOrder;
use crate::input::ModalitySpans;
use crate::nn::{KvCache, Position};

/// Some rows of one sequence, embedded, in original order.
pub(super) struct SequenceChunk<'a> {
    pub(super) cache: &'a mut KvCache,
    /// Rows of the sequence before these.
    pub(super) start: usize,
    pub(super) x: Rows,
    pub(super) positions: &'a [Position],
    pub(super) spans: ModalitySpans,
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
        };
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
        }
        gathered.x = Rows::from_vec(x, features);
        gathered
    }
}

impl RowPermutation {
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
