//! Placeholders and positions.

use super::super::merged_patches::frame_positions;
use super::super::{EncoderBatch, Layout, MediaKind, Piece, qwen2};
use super::config::Config;
use crate::input::vision_processor::Grid;
use crate::input::{Modality, ModalitySpans};
use crate::nn::{Pass, Position, Rope};

/// What arranging media needs of the configuration.
#[derive(Debug)]
pub(super) struct Qwen2VlLayout {
    merge: usize,
    image: u32,
    video: u32,
    rope: Rope,
}

impl Qwen2VlLayout {
    pub(super) fn new(config: &Config) -> Self {
        let v = &config.vision;
        Self {
            merge: v.spatial_merge_size,
            image: config.media.image,
            video: config.media.video,
            rope: Rope::planar(v.head_dim(), v.rope_theta),
        }
    }
}

impl Layout for Qwen2VlLayout {
    fn placeholder(&self, kind: MediaKind) -> u32 {
        match kind {
            MediaKind::Image => self.image,
            MediaKind::Video => self.video,
        }
    }

    fn tokens(&self, grid: Grid) -> usize {
        grid.patches() / (self.merge * self.merge)
    }

    fn positions(&self, pieces: &[Piece]) -> (Vec<Position>, u32) {
        qwen2::positions(pieces, self.merge, |_, step| step as u32)
    }

    /// Patches come in merge×merge groups; attention stays within a frame.
    fn encoder_batch(&self, grids: &[Grid]) -> EncoderBatch {
        let mut positions: Vec<Position> = Vec::new();
        let mut sequences = Vec::new();
        for grid in grids {
            for _ in 0..grid.t {
                let start = positions.len();
                positions.extend(frame_positions(*grid, self.merge));
                sequences.push(start..positions.len());
            }
        }
        let pass = Pass {
            order: sequences.iter().flat_map(|s| 0..s.len() as u32).collect(),
            spans: ModalitySpans::uniform(Modality::Vision, positions.len()),
            rope: self.rope.table(&positions),
            sequences,
            windows: Vec::new(),
        };
        EncoderBatch { pass, order: Vec::new() }
    }
}
