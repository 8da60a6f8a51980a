//! Placeholders, positions and attention windows.

use super::super::merged_patches::frame_positions;
use super::super::{EncoderBatch, MediaLayout, MediaPiece, Piece, qwen2};
use super::config::Config;
use crate::input::vision_processor::Grid;
use crate::input::{MediaKind, Modality, ModalitySpans};
use crate::nn::{ForwardBatch, Position, Rope, Tower};

/// What arranging media needs of the configuration.
#[derive(Debug)]
pub(super) struct Qwen25VlLayout {
    merge: usize,
    /// Tokens on the side of an attention window.
    window: usize,
    tokens_per_second: f32,
    media: qwen2::MediaTokens,
    rope: Rope,
}

impl Qwen25VlLayout {
    pub(super) fn new(config: &Config) -> Self {
        let v = &config.vision;
        Self {
            merge: v.spatial_merge_size,
            window: v.window_tokens(),
            tokens_per_second: v.tokens_per_second,
            media: config.media,
            rope: Rope::planar(v.head_dim(), v.rope_theta),
        }
    }

    /// The tokens of a frame window by window, and how many each window has: windows in reading order from the upper left,
    /// cut off at the right and lower edge; inside a window in reading order.
    fn windows(&self, height: usize, width: usize) -> (Vec<u32>, Vec<usize>) {
        let (mut order, mut lengths) = (Vec::with_capacity(height * width), Vec::new());
        for top in (0..height).step_by(self.window) {
            for left in (0..width).step_by(self.window) {
                let (bottom, right) = ((top + self.window).min(height), (left + self.window).min(width));
                lengths.push((bottom - top) * (right - left));
                order.extend((top..bottom).flat_map(|y| (left..right).map(move |x| (y * width + x) as u32)));
            }
        }
        (order, lengths)
    }
}

impl MediaLayout for Qwen25VlLayout {
    fn placeholder(&self, kind: MediaKind) -> Option<u32> {
        self.media.placeholder(kind)
    }

    fn tokens(&self, _: MediaKind, grid: Grid) -> usize {
        grid.patches() / (self.merge * self.merge)
    }

    /// M-RoPE with absolute time (Qwen2.5-VL, section 2.1.3): a grid step of a video lies `tokens_per_second` positions a second
    /// after the first, rounded down.
    fn positions(&self, pieces: &[Piece]) -> (Vec<Position>, u32) {
        let time =
            |media: &MediaPiece, step: usize| (step as f32 * (self.tokens_per_second * media.seconds_per_step)) as u32;
        qwen2::positions(pieces, self.merge, time)
    }

    fn encoder_batch(&self, _: Tower, grids: &[Grid]) -> EncoderBatch {
        let patches = self.merge * self.merge;
        let (mut positions, mut order): (Vec<Position>, Vec<u32>) = (Vec::new(), Vec::new());
        let (mut sequences, mut windows) = (Vec::new(), Vec::new());
        for grid in grids {
            let frame = frame_positions(*grid, self.merge);
            let (tokens, lengths) = self.windows(grid.h / self.merge, grid.w / self.merge);
            for _ in 0..grid.t {
                let (start, first) = (positions.len(), order.len() as u32);
                for token in &tokens {
                    let at = *token as usize * patches;
                    positions.extend_from_slice(&frame[at..at + patches]);
                }
                order.extend(tokens.iter().map(|token| first + token));
                let mut at = start;
                for length in &lengths {
                    windows.push(at..at + length * patches);
                    at += length * patches;
                }
                sequences.push(start..at);
            }
        }
        let pass = ForwardBatch {
            order: sequences.iter().flat_map(|s| 0..s.len() as u32).collect(),
            spans: ModalitySpans::uniform(Modality::Vision, positions.len()),
            rope: self.rope.table(&positions),
            sequences,
            windows,
            ..ForwardBatch::default()
        };
        EncoderBatch { pass, sequences: grids.iter().map(|grid| grid.t).collect(), order }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_cut_off_at_the_edges() {
        let layout = Qwen25VlLayout {
            merge: 2,
            window: 2,
            tokens_per_second: 2.0,
            media: qwen2::MediaTokens { image: 6, video: 7 },
            rope: Rope::planar(8, 1e4),
        };
        let (order, lengths) = layout.windows(3, 3);
        assert_eq!(order, [0, 1, 3, 4, 2, 5, 6, 7, 8]);
        assert_eq!(lengths, [4, 2, 2, 1]);
        let batch = layout.encoder_batch(Tower::Vision, &[Grid { t: 2, h: 6, w: 6 }]);
        assert_eq!(batch.pass.sequences, [0..36, 36..72]);
        assert_eq!(batch.pass.windows[..5], [0..16, 16..24, 24..32, 32..36, 36..52]);
        assert_eq!(batch.order[9..13], [9, 10, 12, 13]);
    }

    #[test]
    fn time_of_a_video_is_that_of_its_seconds() {
        let layout = Qwen25VlLayout {
            merge: 2,
            window: 4,
            tokens_per_second: 4.0,
            media: qwen2::MediaTokens { image: 6, video: 7 },
            rope: Rope::planar(8, 1e4),
        };
        let grid = Grid { t: 4, h: 2, w: 2 };
        let media = MediaPiece { kind: MediaKind::Video, grid, seconds_per_step: 0.4 };
        let (positions, after) = layout.positions(&[Piece::Text(2), Piece::Media(media), Piece::Text(1)]);
        let time: Vec<u32> = positions.iter().map(|p| p[0]).collect();
        assert_eq!(time, [0, 1, 2, 3, 5, 6, 3]);
        assert_eq!(after, 4);
    }
}
