//! Kernels read and write nothing but their tile: every buffer touches a forbidden page, at any alignment.

use super::*;
use crate::guard::{Edge, Guarded};
use crate::int_weight::{STEP, step_len};

/// The definition, from bytes.
fn expected(
    kernel_rows: usize,
    codes: &[i8],
    stride: usize,
    panel: &[u8],
    bits: Bits,
    before: i32,
) -> Vec<[i32; PANEL]> {
    let byte = |k: usize, j: usize| {
        let step = &panel[k / STEP * step_len(bits)..];
        i32::from(match bits {
            Bits::Eight => step[j * STEP + k % STEP],
            Bits::Four => (step[j / 32 * 64 + j % 16 * STEP + k % STEP] >> (4 * (j / 16 % 2))) & 15,
        })
    };
    let inputs = panel.len() / step_len(bits) * STEP;
    let sum = |r: usize, j: usize| (0..inputs).map(|k| i32::from(codes[r * stride + k]) * byte(k, j)).sum::<i32>();
    (0..kernel_rows).map(|r| std::array::from_fn(|j| before + sum(r, j))).collect()
}

#[test]
fn kernels_stay_inside_their_buffers() {
    let mut noise = Noise(7);
    let emulated: &[Kernel<TileKernel>] = &[
        #[cfg(target_arch = "x86_64")]
        avx_vnni::EMULATED,
    ];
    for kernel in kernels(MAX_FEW_ROWS + 1).iter().chain(emulated) {
        if crate::features::for_test(kernel.needs).is_none() {
            continue;
        }
        let checked = Checked(kernel.run);
        for bits in [Bits::Four, Bits::Eight] {
            for steps in (1..12).chain([31, 64]) {
                for rows in 1..=checked.rows() {
                    for (edge, shift) in [(Edge::End, 0), (Edge::End, 1), (Edge::Begin, 0), (Edge::Begin, 63)] {
                        // Slack on the far side moves the buffer's start off its alignment; `Edge` says which side is exact.
                        let stride = steps * STEP + shift;
                        let codes: Vec<i8> =
                            noise.bytes((rows - 1) * stride + steps * STEP).iter().map(|b| *b as i8).collect();
                        let codes = Guarded::copy_of(&codes, edge);
                        let mut panel = noise.bytes(steps * step_len(bits));
                        panel.extend(std::iter::repeat_n(0, if edge == Edge::End { shift } else { 0 }));
                        let panel = Guarded::copy_of(&panel, edge);
                        let panel = &panel[..steps * step_len(bits)];
                        for (start, before) in [(Start::New, 0), (Start::Continued, 5)] {
                            let mut sums = Guarded::<Sums>::copy_of(&[[[5; PANEL]; MAX_ROWS]], edge);
                            let tile = Tile { codes: &codes, stride, rows, panel, bits, sums: start };
                            checked.run(tile, &mut sums[0]);
                            let want = expected(rows, &codes, stride, panel, bits, before);
                            assert_eq!(
                                sums[0][..rows],
                                want,
                                "{}: {rows} rows, {steps} steps, {bits} bits",
                                kernel.name
                            );
                            assert_eq!(sums[0][rows..], [[5; PANEL]; MAX_ROWS][rows..], "{}: other rows", kernel.name);
                        }
                    }
                }
            }
        }
    }
}
