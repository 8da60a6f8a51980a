//! Integer products: 8-bit activations times 4- or 8-bit weights, i32 sums, one epilogue.
//!
//! y[i][j] = acc[i][j] · row_scale[i] · col_scale[j] + bias[j] with acc = Σ_k a[i][k]·w[j][k] exact in i32, then f32
//! products and sums in this order, nothing fused. With groups of inputs: y[i][j] = (Σ_g acc_g[i][j] · col_scale[g][j]) ·
//! row_scale[i] + bias[j], g ascending. Where the rows have outlier columns, y[i][j] += outlier_acc[i][j] · outlier_row_scale[i] ·
//! outlier_col_scale[j] follows; then, for each branch that the row is of, y[i][j] += branch_acc[i][j] · branch_row_scale[i] ·
//! branch_col_scale[j]; both before anything else is done with a result. Every kernel gives the bits of the scalar one, whatever the threads and the rows.
//!
//! Kernels sum unsigned bytes (code + offset) times signed codes, wrapping; taking `offset · Σ_k a[i][k]` back, wrapping
//! too, leaves the exact sum, since that fits an i32 (checked when a weight is packed).

mod branch;
mod epilogue;
mod product;
mod task;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;

pub use branch::RowBranch;
pub(crate) use branch::attach;
pub(crate) use product::multiply;

use crate::activation::Activation;
use crate::data::Rows;
use crate::features::{Cpu, Kernel, pick};
use crate::int_weight::{Bits, PANEL, PackedWeight};
use crate::quant_rows::QuantRows;

/// Some rows times one weight, and what becomes of the result.
#[derive(Debug)]
pub struct Product<'a> {
    /// The weight.
    pub weight: &'a PackedWeight,
    /// One value an output, added at the end.
    pub bias: Option<&'a [f32]>,
    /// 8-bit codes for the outlier columns of the rows, one scale an output: there exactly where the rows have such.
    pub outliers: Option<&'a PackedWeight>,
    /// Outputs × rank, for each branch of the rows; not looked at where the rows have none.
    pub branches: &'a [PackedWeight],
    /// What is done with each result, f32 in and out.
    pub epilogue: Epilogue<'a>,
    /// Where results go.
    pub output: Output<'a>,
}

/// What is done with the results of a product.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    /// Nothing.
    Nothing,
    /// y ← f(y).
    Activate(Activation),
    /// y ← f(g) · y, where g is the same rows times another weight of the same shape; not for rows with outlier columns.
    Gate(Activation, Gate<'a>),
}

/// The second weight of a gated product.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// The weight.
    pub weight: &'a PackedWeight,
    /// One value an output, added at the end.
    pub bias: Option<&'a [f32]>,
    /// As those of the [`Product`].
    pub branches: &'a [PackedWeight],
}

/// Where the results of a product go; rows × outputs.
#[derive(Debug)]
pub enum Output<'a> {
    /// They replace what is there.
    Write(&'a mut Rows),
    /// They are added to it: a residual stream.
    Add(&'a mut Rows),
    /// They become codes of the given scales, one a row, for the next product.
    Quantize(&'a [f32], &'a mut QuantRows),
}

/// Rows of a tile at most.
pub(crate) const MAX_ROWS: usize = 6;

/// Sums of a tile: up to [`MAX_ROWS`] rows × the outputs of a panel.
pub(crate) type Sums = [[i32; PANEL]; MAX_ROWS];

/// What a kernel multiplies: some rows of codes with some steps of a panel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile<'a> {
    /// Codes of the first row, from the first input on.
    pub(crate) codes: &'a [i8],
    /// Codes from one row to the next.
    pub(crate) stride: usize,
    /// Number of rows, at most the kernel's.
    pub(crate) rows: usize,
    /// Whole steps of a panel.
    pub(crate) panel: &'a [u8],
    /// Bits of a weight code.
    pub(crate) bits: Bits,
    /// Whether the sums begin here or go on.
    pub(crate) sums: Start,
}

/// Whether sums begin or go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// What is there counts for nothing.
    New,
    /// They are added to what is there.
    Continued,
}

/// One way to compute a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TileKernel {
    /// Rows it takes at once.
    rows: usize,
    /// sums[r][j] += Σ_k codes[r][k] · byte[j][k], wrapping, or = where the sums are new; rows beyond the tile's stay.
    run: unsafe fn(Tile<'_>, &mut Sums),
}

/// Every kernel, best first where weights come from the caches; the last is the definition.
const MANY_ROWS: &[Kernel<TileKernel>] = &[
    #[cfg(target_arch = "x86_64")]
    avx512_vnni::KERNEL,
    #[cfg(target_arch = "x86_64")]
    avx_vnni::KERNEL,
    #[cfg(target_arch = "x86_64")]
    avx2::KERNEL,
    scalar::KERNEL,
];

/// Every kernel, best first where weights come from memory. It is the order of many rows: of the shapes recorded on Zen 4
/// (`benches/record`), AVX2 is level with AVX-512 VNNI or a little ahead at one row of 4 bits, and half as fast at four rows
/// and at 8 bits.
const FEW_ROWS: &[Kernel<TileKernel>] = MANY_ROWS;

/// Rows of activations up to which weights come from memory: a decoding step.
const MAX_FEW_ROWS: usize = 4;

/// The list of kernels for so many rows.
pub(crate) fn kernels(rows: usize) -> &'static [Kernel<TileKernel>] {
    if rows <= MAX_FEW_ROWS { FEW_ROWS } else { MANY_ROWS }
}

/// A kernel that this CPU can run.
#[derive(Clone, Copy)]
pub(crate) struct Checked(TileKernel);

/// The best kernel for so many rows that the CPU can run.
pub(crate) fn select(cpu: Cpu, rows: usize) -> Checked {
    Checked(pick(kernels(rows), cpu).run)
}

impl Checked {
    pub(crate) fn rows(self) -> usize {
        self.0.rows
    }

    /// Computes a tile's sums.
    #[inline]
    pub(crate) fn run(self, tile: Tile<'_>, sums: &mut Sums) {
        let steps = tile.panel.len() / crate::int_weight::step_len(tile.bits);
        assert!(tile.rows <= self.0.rows && tile.codes.len() >= (tile.rows - 1) * tile.stride + steps * 4);
        // SAFETY: `select` gives only kernels whose features the CPU has, and the codes reach as far as the panel asks.
        unsafe { (self.0.run)(tile, sums) }
    }
}

#[cfg(test)]
mod tests;
