//! Media on their way through an encoder: small ones share a pass, long videos are cut between frames.

use std::ops::Range;

use mquant_kernels::Rows;

use crate::input::MediaKind;
use crate::input::vision_processor::{Grid, Patches};
use crate::models::{EncoderBatch, MediaLayout};
use crate::nn::{ForwardBatch, Tower};

/// What may share one pass.
#[derive(Clone, Copy, Debug)]
pub struct MediaLimits {
    /// Rows in a pass, unless one medium (or the least piece of it) has more.
    pub rows: usize,
    /// Whether a medium with more rows is cut. What leaves the encoder does not depend on it.
    pub cut: bool,
    /// Whether several media may share a pass.
    pub share: bool,
}

/// The rows of some media in one pass of their encoder.
#[derive(Debug)]
pub struct MediaBatch {
    /// Rows × values, in the order they are computed.
    pub x: Rows,
    /// What the rows are.
    pub pass: ForwardBatch,
    /// What the batch is made of, in the order of [`restore`](Self::restore)'s rows.
    pub pieces: Vec<MediaPiece>,
    /// Computed token i is token `order[i]`; empty where they are computed in their order.
    order: Vec<u32>,
}

/// A medium, or some grid steps of it, in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaPiece {
    /// Index among the media that were given.
    pub medium: usize,
    /// The sequences of the pass that are its.
    pub sequences: usize,
    /// Rows of the batch's restored tokens.
    pub tokens: Range<usize>,
}

impl MediaBatch {
    /// Batches of all `media`, which one tower reads, in their order.
    pub fn of(
        layout: &dyn MediaLayout,
        tower: Tower,
        media: &[(MediaKind, &Patches)],
        limits: MediaLimits,
    ) -> Vec<Self> {
        let mut batches = Vec::new();
        let mut group: Vec<(usize, Range<usize>)> = Vec::new();
        let mut rows_in_group = 0;
        let cut_every = layout.cut_every(tower).filter(|_| limits.cut);
        for (medium, (_, Patches { grid: Grid { t, h, w }, .. })) in media.iter().enumerate() {
            let at_once = cut_every.map_or(*t, |steps| (limits.rows / (h * w * steps)).max(1) * steps);
            for from in (0..*t).step_by(at_once) {
                let steps = from..(from + at_once).min(*t);
                let rows = steps.len() * h * w;
                if !group.is_empty() && (!limits.share || rows_in_group + rows > limits.rows) {
                    batches.push(Self::one(layout, tower, media, &std::mem::take(&mut group)));
                    rows_in_group = 0;
                }
                rows_in_group += rows;
                group.push((medium, steps));
            }
        }
        if !group.is_empty() {
            batches.push(Self::one(layout, tower, media, &group));
        }
        batches
    }

    fn one(
        layout: &dyn MediaLayout,
        tower: Tower,
        media: &[(MediaKind, &Patches)],
        group: &[(usize, Range<usize>)],
    ) -> Self {
        let features = media[group[0].0].1.rows.features();
        let (mut values, mut grids, mut pieces) = (Vec::new(), Vec::new(), Vec::new());
        let mut at = 0;
        for (medium, steps) in group {
            let (kind, Patches { grid: Grid { h, w, .. }, rows, .. }) = media[*medium];
            values.extend_from_slice(rows.range(steps.start * h * w..steps.end * h * w));
            let grid = Grid { t: steps.len(), h: *h, w: *w };
            let tokens = layout.tokens(kind, grid);
            pieces.push(MediaPiece { medium: *medium, sequences: 0, tokens: at..at + tokens });
            grids.push(grid);
            at += tokens;
        }
        let EncoderBatch { pass, sequences, order } = layout.encoder_batch(tower, &grids);
        pieces.iter_mut().zip(sequences).for_each(|(piece, sequences)| piece.sequences = sequences);
        let x = gather(Rows::from_vec(values, features), &order);
        Self { x, pass, pieces, order }
    }

    /// Rows that left the encoder, in the order of the media.
    pub fn restore(&self, computed: Rows) -> Rows {
        if self.order.is_empty() {
            return computed;
        }
        let mut restored = Rows::zeros(computed.rows(), computed.features());
        for (row, to) in self.order.iter().enumerate() {
            restored.row_mut(*to as usize).copy_from_slice(computed.row(row));
        }
        restored
    }
}

/// Rows in groups, one group a token: group i of the result is group `order[i]`.
fn gather(rows: Rows, order: &[u32]) -> Rows {
    if order.is_empty() {
        return rows;
    }
    let group = rows.rows() / order.len();
    let mut values = Vec::with_capacity(rows.rows() * rows.features());
    for from in order {
        let from = *from as usize * group;
        values.extend_from_slice(rows.range(from..from + group));
    }
    Rows::from_vec(values, rows.features())
}
