//! The definition.

use super::{Start, Sums, Tile, TileKernel};
use crate::features::{Features, Kernel};
use crate::int_weight::{Bits, PANEL, STEP, step_len};

pub(super) const KERNEL: Kernel<TileKernel> =
    Kernel { name: "scalar", needs: Features::NONE, run: TileKernel { rows: 4, run: tile } };

fn tile(tile: Tile<'_>, sums: &mut Sums) {
    if tile.sums == Start::New {
        sums[..tile.rows].fill([0; PANEL]);
    }
    for (k, step) in tile.panel.chunks_exact(step_len(tile.bits)).enumerate() {
        for (r, sums) in sums.iter_mut().enumerate().take(tile.rows) {
            let codes = &tile.codes[r * tile.stride + k * STEP..][..STEP];
            for (j, sum) in sums.iter_mut().enumerate().take(PANEL) {
                for (i, a) in codes.iter().enumerate() {
                    let byte = match tile.bits {
                        Bits::Eight => step[j * STEP + i],
                        Bits::Four => step[j / 32 * 64 + j % 16 * STEP + i] >> (j / 16 % 2 * 4) & 15,
                    };
                    *sum = sum.wrapping_add(i32::from(*a) * i32::from(byte));
                }
            }
        }
    }
}
