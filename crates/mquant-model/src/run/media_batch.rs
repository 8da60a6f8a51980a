//! Media on their way through an encoder: small ones share a pass, long videos are cut between frames.

use std::ops::Range;

use mquant_kernels::Rows;

use crate::input::vision_processor::{Grid, Patches};
use crate::models::{EncoderBatch, MediaLayout};
use crate::nn::ForwardBatch;

/// What may share one pass.
#[derive(Clone, Copy, Debug)]
pub struct MediaLimits {
    /// Patches in a pass, unless one medium (or one frame of it) has more.
    pub patches: usize,
    /// Whether a medium with more patches is cut between its frames. What leaves the encoder does not depend on it.
    pub cut_frames: bool,
    /// Whether several media may share a pass.
    pub share: bool,
}

/// The patches of some media in one pass of their encoder.
#[derive(Debug)]
pub struct MediaBatch {
    /// Rows × pixel values, in the order they are computed.
    pub x: Rows,
    /// What the rows are.
    pub pass: ForwardBatch,
    /// What the batch is made of, in the order of [`restore`](Self::restore)'s rows.
    pub pieces: Vec<MediaPiece>,
    /// Computed token i is token `order[i]`; empty where they are computed in their order.
    order: Vec<u32>,
}

/// A medium, or some frames of it, in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaPiece {
    /// Index among the media that were given.
    pub medium: usize,
    /// Frames, counted in grid steps.
    pub frames: usize,
    /// Rows of the batch's restored tokens.
    pub tokens: Range<usize>,
}

impl MediaBatch {
    /// Batches of all `media`, in their order.
    pub fn of(layout: &dyn MediaLayout, media: &[&Patches], limits: MediaLimits) -> Vec<Self> {
        let mut batches = Vec::new();
        let mut group: Vec<(usize, Range<usize>)> = Vec::new();
        let mut patches = 0;
        for (medium, Patches { grid: Grid { t, h, w }, .. }) in media.iter().enumerate() {
            let at_once = if limits.cut_frames { (limits.patches / (h * w)).max(1) } else { *t };
            for from in (0..*t).step_by(at_once) {
                let frames = from..(from + at_once).min(*t);
                let rows = frames.len() * h * w;
                if !group.is_empty() && (!limits.share || patches + rows > limits.patches) {
                    batches.push(Self::one(layout, media, &std::mem::take(&mut group)));
                    patches = 0;
                }
                patches += rows;
                group.push((medium, frames));
            }
        }
        if !group.is_empty() {
            batches.push(Self::one(layout, media, &group));
        }
        batches
    }

    fn one(layout: &dyn MediaLayout, media: &[&Patches], group: &[(usize, Range<usize>)]) -> Self {
        let features = media[group[0].0].rows.features();
        let (mut values, mut grids, mut pieces) = (Vec::new(), Vec::new(), Vec::new());
        let mut at = 0;
        for (medium, frames) in group {
            let Patches { grid: Grid { h, w, .. }, rows, .. } = media[*medium];
            values.extend_from_slice(rows.range(frames.start * h * w..frames.end * h * w));
            let grid = Grid { t: frames.len(), h: *h, w: *w };
            let tokens = layout.tokens(grid);
            pieces.push(MediaPiece { medium: *medium, frames: frames.len(), tokens: at..at + tokens });
            grids.push(grid);
            at += tokens;
        }
        let EncoderBatch { pass, order } = layout.encoder_batch(&grids);
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
