//! Placeholders and positions.

use super::super::{EncoderBatch, Layout, MediaKind, Piece};
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

    /// M-RoPE (section 2.1): text counts on all three axes at once; media count on time, height and width from where the
    /// text stands, and the text goes on after the longer side. As in transformers 5.23, time does not hold up the text
    /// that follows a video, but what follows the whole prompt comes after every position in it.
    fn positions(&self, pieces: &[Piece]) -> (Vec<Position>, u32) {
        let mut positions = Vec::new();
        let mut next = 0u32;
        for piece in pieces {
            match *piece {
                Piece::Text(tokens) => {
                    positions.extend((next..next + tokens as u32).map(|p| [p; 3]));
                    next += tokens as u32;
                }
                Piece::Media(grid) => {
                    let (h, w) = ((grid.h / self.merge) as u32, (grid.w / self.merge) as u32);
                    for t in 0..grid.t as u32 {
                        positions.extend((0..h).flat_map(|y| (0..w).map(move |x| [next + t, next + y, next + x])));
                    }
                    next += h.max(w);
                }
            }
        }
        let after = positions.iter().flatten().max().map_or(0, |p| p + 1);
        (positions, after)
    }

    /// Patches come in merge×merge groups; attention stays within a frame.
    fn encoder_batch(&self, grids: &[Grid]) -> EncoderBatch {
        let m = self.merge;
        let mut positions: Vec<Position> = Vec::new();
        let mut sequences = Vec::new();
        for grid in grids {
            for _ in 0..grid.t {
                let start = positions.len();
                for (y, x) in (0..grid.h / m).flat_map(|y| (0..grid.w / m).map(move |x| (y * m, x * m))) {
                    positions.extend((0..m * m).map(|i| [0, (y + i / m) as u32, (x + i % m) as u32]));
                }
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
