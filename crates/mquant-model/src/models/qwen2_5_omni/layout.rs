//! Placeholders and time-aligned positions (TMRoPE: Qwen2.5-Omni, section 2.2), windows of patches and chunks of sound.

use std::ops::Range;

use super::super::qwen2_5_vl::VisionWindows;
use super::super::{EncoderBatch, MediaLayout, MediaPiece, Piece, SoundTrack};
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
    /// Positions that a video and its sound take by turns.
    turn: f64,
    /// The tokens before and after a sound.
    marks: [u32; 2],
    /// Frames of a chunk of sound: twice its rows.
    chunk: usize,
}

/// Rows of a video and of its sound in the order of the prompt: of which, and their range.
type Turns = Vec<(MediaKind, Range<usize>)>;

impl OmniLayout {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            vision: VisionWindows::new(&config.vision),
            tokens: config.tokens,
            positions_per_second: config.position_id_per_seconds,
            turn: (config.position_id_per_seconds * config.seconds_per_chunk).trunc().into(),
            marks: config.marks,
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

    /// A video and its sound by turns, so many seconds of each: first the video's. `time` is when a grid step of the video is,
    /// in positions, and counts up to the turn that a row belongs to.
    fn turns(&self, video: &MediaPiece, sound: &MediaPiece, time: impl Fn(usize) -> f64) -> Turns {
        let step = self.vision.tokens(Grid { t: 1, ..video.grid });
        let of_video = turns(video.grid.t * step, self.turn, |row| time(row / step));
        let of_sound = turns(self.tokens(sound.kind, sound.grid), self.turn, |row| row as f64);
        let mut all = Turns::new();
        for turn in 0..of_video.len().max(of_sound.len()) {
            all.extend(of_video.get(turn).map(|rows| (MediaKind::Video, rows.clone())));
            all.extend(of_sound.get(turn).map(|rows| (MediaKind::Audio, rows.clone())));
        }
        all
    }

    /// Positions of a video with its sound, whose marks share theirs with the marks of the video around them; and the one that
    /// the last mark has, which follows the last turn.
    fn place_sound_track(
        &self,
        video: &MediaPiece,
        sound: &MediaPiece,
        start: u32,
        positions: &mut Vec<Position>,
    ) -> u32 {
        let (mut of_video, mut of_sound) = (Vec::new(), Vec::new());
        self.place(video, start, &mut of_video);
        self.place(sound, start, &mut of_sound);
        positions.push([start.saturating_sub(1); 3]);
        let mut end = start;
        let time = |step: usize| f64::from(step as f32 * video.seconds_per_step * self.positions_per_second).trunc();
        for (kind, rows) in self.turns(video, sound, time) {
            let rows = if kind == MediaKind::Video { &of_video[rows] } else { &of_sound[rows] };
            positions.extend_from_slice(rows);
            end = rows.iter().flatten().max().map_or(end, |last| last + 1);
        }
        positions.push([end; 3]);
        end
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

/// Rows cut where their times reach the next multiple of `turn`; a cut at each row at most.
fn turns(rows: usize, turn: f64, time: impl Fn(usize) -> f64) -> Vec<Range<usize>> {
    let (mut cut, mut from) = (Vec::new(), 0);
    for row in 0..rows {
        if time(row) >= (cut.len() + 1) as f64 * turn {
            cut.push(from..row);
            from = row;
        }
    }
    cut.push(from..rows);
    cut
}

impl MediaLayout for OmniLayout {
    fn placeholder(&self, kind: MediaKind) -> Option<u32> {
        Some(match kind {
            MediaKind::Image => self.tokens.image,
            MediaKind::Video => self.tokens.video,
            MediaKind::Audio => self.tokens.audio,
        })
    }

    fn sound_track(&self, video: &MediaPiece, sound: &MediaPiece) -> Option<SoundTrack> {
        let (seconds, rate) = (f64::from(video.seconds_per_step), f64::from(self.positions_per_second));
        let turns = self.turns(video, sound, |step| step as f64 * seconds * rate);
        let runs = turns.into_iter().map(|(kind, rows)| (kind, rows.len())).collect();
        Some(SoundTrack { marks: self.marks, runs })
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
                Piece::SoundTrack { video, sound } => {
                    next = self.place_sound_track(video, sound, next, &mut positions);
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_where_the_next_turn_begins() {
        assert_eq!(turns(5, 2.0, |row| row as f64), [0..2, 2..4, 4..5]);
        // A step over a whole turn is cut again at its second row.
        let steps = |row: usize| (row / 4) as f64 * 100.0;
        assert_eq!(turns(12, 50.0, steps), [0..4, 4..5, 5..8, 8..9, 9..12]);
        assert!(turns(0, 50.0, steps).into_iter().flatten().next().is_none());
    }
}
