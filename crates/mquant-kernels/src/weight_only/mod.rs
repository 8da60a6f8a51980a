//! Products of f32 rows with packed integer weights.
//!
//! Panels are read as they are packed, and codes become floats in registers, again for every few rows. There
//!
//! y[i][j] = Σ_b (Σ_{k∈b} x[i][k] · code[j][k]) · scale[j][b] + bias[j]
//!
//! with a block b for each group of inputs, or for each [`BLOCK`] inputs where an output has one scale. Everything is in
//! f32: both sums start at +0 and run in ascending order, each step one fused multiply-add, rounded once. Inputs are filled
//! up with zeros to whole steps of a panel. An output never meets another, so every kernel gives the bits of the scalar
//! one, whatever the threads and the rows beside it.
//!
//! For many rows it pays to make floats once: blocks of outputs become w[j][k] = code[j][k] · scale, rounded once, and go
//! through the float product.

mod scalar;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use rayon::prelude::*;

use crate::buffers::Buffer;
use crate::data::Rows;
use crate::features::{Cpu, Kernel, pick};
use crate::float_gemm::{self, Scratch};
use crate::int_weight::{Bits, PANEL, PackedWeight, STEP, step_len};

/// Up to this many rows weights are read as they are packed. At 64 rows that takes two thirds of the float product's time,
/// at 128 as much, at 256 a quarter more (AVX2, 1536 × 8960 and 3584 × 18 944, 4 and 8 bits).
const FEW_ROWS: usize = 128;
/// Inputs of a block where an output has one scale.
const BLOCK: usize = 128;
/// Rows of a tile at most.
const MAX_ROWS: usize = 4;

/// Results of one row of a tile.
type Row = [f32; PANEL];

/// What a kernel multiplies: some rows with some steps of a panel, whose outputs have one scale each.
#[derive(Clone, Copy)]
struct Tile<'a> {
    /// Inputs of the first row, from the first step on.
    x: &'a [f32],
    /// Inputs from one row to the next.
    stride: usize,
    /// Number of rows, 1 to [`MAX_ROWS`].
    rows: usize,
    /// Whole steps of a panel.
    steps: &'a [u8],
    bits: Bits,
    scales: &'a Row,
}

/// y[r][j] = fma(Σ_k x[r][k] · code[j][k], scale[j], y[r][j]) for the rows of the tile, of which there are as many.
type Run = unsafe fn(Tile<'_>, &mut [Row]);

/// Every kernel, best first; the last is the definition.
const KERNELS: &[Kernel<Run>] = &[
    #[cfg(target_arch = "x86_64")]
    avx512::KERNEL,
    #[cfg(target_arch = "x86_64")]
    avx2::KERNEL,
    scalar::KERNEL,
];

/// A kernel that this CPU can run.
#[derive(Clone, Copy)]
struct Checked(Run);

impl Checked {
    fn pick(cpu: Cpu) -> Self {
        Self(pick(KERNELS, cpu).run)
    }

    #[inline]
    fn run(self, tile: Tile<'_>, y: &mut [Row]) {
        let inputs = tile.steps.len() / step_len(tile.bits) * STEP;
        assert!((1..=MAX_ROWS).contains(&tile.rows) && y.len() == tile.rows, "rows of a tile");
        assert!(tile.x.len() >= (tile.rows - 1) * tile.stride + inputs, "inputs of a tile");
        // SAFETY: `pick` gives only kernels whose features the CPU has; rows and inputs were just checked.
        unsafe { (self.0)(tile, y) }
    }
}

/// y = x·Wᵀ + bias: `x` is rows × in, `w` out × in, the result rows × out.
///
/// # Panics
/// If the inner dimensions or the bias do not fit.
pub(crate) fn linear(cpu: Cpu, x: &Rows, w: &PackedWeight, bias: Option<&[f32]>, scratch: &Scratch) -> Rows {
    assert_eq!(x.features(), w.cols(), "activation features and weight inputs");
    let mut y =
        if x.rows() <= FEW_ROWS { few_rows(Checked::pick(cpu), x, w) } else { float_gemm::many_rows(x, w, scratch) };
    float_gemm::add_bias(&mut y, bias);
    y
}

fn few_rows(kernel: Checked, x: &Rows, w: &PackedWeight) -> Rows {
    let (rows, outputs) = (x.rows(), w.rows());
    if rows == 0 {
        return Rows::zeros(0, outputs);
    }
    let x = Padded::of(x);
    let block = w.group().unwrap_or(BLOCK);
    let block_bytes = block / STEP * step_len(w.bits());
    // Tiles of about the same height.
    let at_once = rows.div_ceil(rows.div_ceil(MAX_ROWS));
    let mut results = Buffer::<f32>::for_overwrite(outputs.div_ceil(PANEL) * rows * PANEL);
    results.par_chunks_mut(rows * PANEL).enumerate().for_each(|(panel, y)| {
        let y = y.as_chunks_mut::<PANEL>().0;
        y.fill([0.0; PANEL]);
        for (b, steps) in w.panel(panel).chunks(block_bytes).enumerate() {
            let scales = w.panel_scales(panel, w.group().map_or(0, |_| b));
            for (tile, y) in y.chunks_mut(at_once).enumerate() {
                let inputs = &x.values[tile * at_once * x.stride + b * block..];
                let (stride, rows, bits) = (x.stride, y.len(), w.bits());
                kernel.run(Tile { x: inputs, stride, rows, steps, bits, scales }, y);
            }
        }
    });
    let mut y = Rows::for_overwrite(rows, outputs);
    y.as_mut_slice().par_chunks_mut(outputs).enumerate().for_each(|(row, y)| {
        let panels = results.chunks_exact(rows * PANEL).map(|panel| &panel[row * PANEL..][..PANEL]);
        y.chunks_mut(PANEL).zip(panels).for_each(|(y, panel)| y.copy_from_slice(&panel[..y.len()]));
    });
    y
}

/// Rows that are filled up with zeros to whole steps.
struct Padded {
    values: Buffer<f32>,
    stride: usize,
}

impl Padded {
    fn of(x: &Rows) -> Self {
        let stride = x.features().next_multiple_of(STEP);
        let mut values = Buffer::for_overwrite(x.rows() * stride);
        for (row, to) in values.chunks_exact_mut(stride).enumerate() {
            let (inputs, padding) = to.split_at_mut(x.features());
            inputs.copy_from_slice(x.row(row));
            padding.fill(0.0);
        }
        Self { values, stride }
    }
}

#[cfg(test)]
mod tests;
