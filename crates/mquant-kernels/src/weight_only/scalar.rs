//! The definition.

use super::{Row, Run, Tile};
use crate::features::{Features, Kernel};
use crate::int_weight::{PANEL, STEP, code, step_len};

pub(super) const KERNEL: Kernel<Run> = Kernel { name: "scalar", needs: Features::NONE, run: tile };

fn tile(tile: Tile<'_>, y: &mut [Row]) {
    let inputs = tile.steps.len() / step_len(tile.bits) * STEP;
    for (r, y) in y.iter_mut().enumerate() {
        let x = &tile.x[r * tile.stride..][..inputs];
        let mut sums = [0f32; PANEL];
        for (k, x) in x.iter().enumerate() {
            for (j, sum) in sums.iter_mut().enumerate() {
                *sum = x.mul_add(f32::from(code(tile.bits, tile.steps, j, k)), *sum);
            }
        }
        for ((y, sum), scale) in y.iter_mut().zip(sums).zip(tile.scales) {
            *y = sum.mul_add(*scale, *y);
        }
    }
}
