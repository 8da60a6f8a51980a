//! Placeholders and time-aligned positions (TMRoPE: Qwen2.5-Omni, section 2.2), windows of patches and chunks of sound.

use super::super::qwen2_5_vl::VisionWindows;
use super::super::{EncoderBatch, MediaLayout, MediaPiece, Piece};
use super::config::{Config, OmniTokens};
use crate::input::vision_processor::Grid;
use crate::input::{MediaKind, Modality, ModalitySpans};
use crate::nn::{ForwardBatch, Position, Tower};

/// What arranging media needs of the configuration.
#[derive(Debug)]
pub(super) struct OmniLayout {
    vision: VisionWindows,
    tokens: OmniTokens,
    positions_per_second: f32,
    /// Frames of a chunk of sound: twice its rows.
    chunk: usize,
}

impl OmniLayout {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            vision: VisionWindows::new(&config.vision),
            tokens: config.tokens,
            positions_per_second: config.position_id_per_seconds,
            chunk: 2 * config.audio.n_window,
        }
    }

    /// Positions of a medium from `start`, and the one that follows the last.
    fn place(&self, media: &MediaPiece, start: u32, positions: &mut Vec<Position>) -> u32 {
        let Grid { t, h, w } = media.grid;
        if media.kind == MediaKind::Audio {
            let rows = self.tokens(media.kind, media.grid) as u32;
            positions.extend((start..start + rows).map(|p| [p; 3]));
            return start + rows;
        }
        let (h, w) = ((h / self.vision.merge) as u32, (w / self.vision.merge) as u32);
        let time = |step: usize| (step as f32 * media.seconds_per_step * self.positions_per_second) as u32;
        for step in 0..t {
            let at = start + time(step);
            positions.extend((0..h).flat_map(|y| (0..w).map(move |x| [at, start + y, start + x])));
        }
        start + (time(t.saturating_sub(1)) + 1).max(h).max(w)
    }

    /// Chunks of sound, each in its window; a sound is a sequence.
    fn audio_batch(&self, grids: &[Grid]) -> EncoderBatch {
        let (mut sequences, mut windows, mut frames) = (Vec::new(), Vec::new(), Vec::new());
        let (mut row, mut frame) = (0, 0);
        for grid in grids {
            let first = row;
            for from in (0..grid.t).step_by(self.chunk) {
                let length = self.chunk.min(grid.t - from);
                frames.push(frame..frame + length);
                windows.push(row..row + length.div_ceil(2));
                (frame, row) = (frame + length, row + length.div_ceil(2));
            }
            sequences.push(first..row);
        }
        let pass = ForwardBatch {
            order: sequences.iter().flat_map(|s| 0..s.len() as u32).collect(),
            spans: ModalitySpans::uniform(Modality::Audio, row),
            sequences,
            windows,
            frames,
            ..ForwardBatch::default()
        };
        EncoderBatch { pass, sequences: vec![1; grids.len()], order: Vec::new() }
    }
}

impl MediaLayout for OmniLayout {
    fn placeholder(&self, kind: MediaKind) -> Option<u32> {
        Some(match kind {
            MediaKind::Image => self.tokens.image,
            MediaKind::Video => self.tokens.video,
            MediaKind::Audio => self.tokens.audio,
        })
    }

    /// Of sound, half the rows of every chunk, two at a time; of pictures, merged patches.
    fn tokens(&self, kind: MediaKind, grid: Grid) -> usize {
        match kind {
            MediaKind::Image | MediaKind::Video => self.vision.tokens(grid),
            MediaKind::Audio => {
                let whole = grid.t / self.chunk * self.chunk.div_ceil(2);
                (whole + (grid.t % self.chunk).div_ceil(2)) / 2
            }
        }
    }

    fn positions(&self, pieces: &[Piece]) -> (Vec<Position>, u32) {
        let (mut positions, mut next) = (Vec::new(), 0);
        for piece in pieces {
            match piece {
                Piece::Text(tokens) => {
                    positions.extend((next..next + *tokens as u32).map(|p| [p; 3]));
                    next += *tokens as u32;
                }
                Piece::Media(media) => next = self.place(media, next, &mut positions),
            }
        }
        (positions, next)
    }

    fn encoder_batch(&self, tower: Tower, grids: &[Grid]) -> EncoderBatch {
        match tower {
            Tower::Audio => self.audio_batch(grids),
            Tower::Vision | Tower::Language => self.vision.encoder_batch(grids),
        }
    }

    fn frames_per_second(&self) -> f32 {
        2.0
    }

    /// Between frames of a video, and between chunks of sound whose rows are pooled by themselves.
    fn cut_every(&self, tower: Tower) -> Option<usize> {
        match tower {
            Tower::Audio => self.chunk.is_multiple_of(4).then_some(self.chunk),
            Tower::Vision | Tower::Language => Some(1),
        }
    }
}
