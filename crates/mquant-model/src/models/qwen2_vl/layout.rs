//! Placeholders and positions.

use super::super::merged_patches::frame_positions;
use super::super::{EncoderBatch, MediaLayout, Piece, qwen2};
use super::config::Config;
use crate::input::vision_processor::Grid;
use crate::input::{MediaKind, Modality, ModalitySpans};
use crate::nn::{ForwardBatch, Position, Rope, Tower};

/// What arranging media needs of the configuration.
#[derive(Debug)]
pub(super) struct Qwen2VlLayout {
    merge: usize,
    media: qwen2::MediaTokens,
    rope: Rope,
}

impl Qwen2VlLayout {
    pub(super) fn new(config: &Config) -> Self {
        let v = &config.vision;
        Self { merge: v.spatial_merge_size, media: config.media, rope: Rope::planar(v.head_dim(), v.rope_theta) }
    }
}

impl MediaLayout for Qwen2VlLayout {
    fn placeholder(&self, kind: MediaKind) -> Option<u32> {
        self.media.placeholder(kind)
    }

    fn tokens(&self, _: MediaKind, grid: Grid) -> usize {
        grid.patches() / (self.merge * self.merge)
    }

    fn positions(&self, pieces: &[Piece]) -> (Vec<Position>, u32) {
        qwen2::positions(pieces, self.merge, |_, step| step as u32)
    }

    /// Patches come in merge×merge groups; attention stays within a frame.
    fn encoder_batch(&self, _: Tower, grids: &[Grid]) -> EncoderBatch {
        let mut positions: Vec<Position> = Vec::new();
        let mut sequences = Vec::new();
        for grid in grids {
            for _ in 0..grid.t {
                let start = positions.len();
                positions.extend(frame_positions(*grid, self.merge));
                sequences.push(start..positions.len());
            }
        }
        let pass = ForwardBatch {
            order: sequences.iter().flat_map(|s| 0..s.len() as u32).collect(),
            spans: ModalitySpans::uniform(Modality::Vision, positions.len()),
            rope: self.rope.table(&positions),
            sequences,
            ..ForwardBatch::default()
        };
        EncoderBatch { pass, sequences: grids.iter().map(|grid| grid.t).collect(), order: Vec::new() }
    }
}
