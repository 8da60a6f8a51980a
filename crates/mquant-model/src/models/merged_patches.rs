//! Patches in the order in which processors of the Qwen2-VL line cut them: merge×merge patches of a token lie together.

use crate::input::vision_processor::Grid;
use crate::nn::Position;

/// Positions (0, row, column) of the patches of one frame.
pub(super) fn frame_positions(grid: Grid, merge: usize) -> Vec<Position> {
    let tokens = (0..grid.h / merge).flat_map(|y| (0..grid.w / merge).map(move |x| (y * merge, x * merge)));
    tokens
        .flat_map(|(y, x)| (0..merge * merge).map(move |i| [0, (y + i / merge) as u32, (x + i % merge) as u32]))
        .collect()
}
