//! M-RoPE positions of a prompt (Qwen2-VL, section 2.1).

use super::super::{MediaPiece, Piece};
use crate::nn::Position;

/// Text counts on all three axes at once; media count on time, height and width from where the text stands, and the text goes
/// on after the longer side. As in transformers 5.23, time does not hold up the text that follows a video, and what is generated
/// goes on as the text of the prompt would. `time` is the position of a grid step of a medium.
pub(in crate::models) fn positions(
    pieces: &[Piece],
    merge: usize,
    time: impl Fn(&MediaPiece, usize) -> u32,
) -> (Vec<Position>, u32) {
    let mut positions = Vec::new();
    let mut next = 0u32;
    for piece in pieces {
        match piece {
            Piece::Text(tokens) => {
                positions.extend((next..next + *tokens as u32).map(|p| [p; 3]));
                next += *tokens as u32;
            }
            Piece::Media(media) => {
                let (h, w) = ((media.grid.h / merge) as u32, (media.grid.w / merge) as u32);
                for step in 0..media.grid.t {
                    let t = next + time(media, step);
                    positions.extend((0..h).flat_map(|y| (0..w).map(move |x| [t, next + y, next + x])));
                }
                next += h.max(w);
            }
            Piece::SoundTrack { .. } => unreachable!("only a layout that places sound inside videos makes such pieces"),
        }
    }
    (positions, next)
}
