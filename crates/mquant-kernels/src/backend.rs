//! The operations a model is made of, each defined by its equation. A model asks for them; it does not know who computes.

use std::ops::Range;

use crate::attention::{AttendJob, HeadShape, Products};
use crate::data::{Matrix, Rows};
use crate::int_gemm::{Product, RowBranch};
use crate::int_weight::PackedWeight;
use crate::kv_codes::KvCodes;
use crate::quant_rows::QuantRows;
use crate::quantize_rows::RowScales;
use crate::rope::RopeTable;
use crate::row_prologue::{OutlierColumns, RowPrologue, SiteInput};

/// Somewhere to compute. Panics when shapes disagree: shapes are settled at load.
///
/// `row_prologue`, `quantize`, `multiply`, `rope` and `store` give the same bits at every instruction level and with any threads.
/// Float products and attention give the same bits at one level.
pub trait Backend: Send + Sync {
    /// The rows of a site: the source activated, normed, regrouped, rotated, in f32.
    fn row_prologue(&self, source: SiteInput<'_>, steps: RowPrologue<'_>) -> Rows;

    /// What [`row_prologue`](Self::row_prologue) gives, in 8-bit codes: q = clamp(round-half-even(x · (1/s)), −127, 127). Channels that
    /// are split off are 0 there and come as codes of their own, in [`QuantRows::outliers`].
    fn quantize(
        &self,
        source: SiteInput<'_>,
        steps: RowPrologue<'_>,
        scales: RowScales<'_>,
        columns: Option<OutlierColumns<'_>>,
    ) -> QuantRows;

    /// y = x·Wᵀ + bias in f32. `x`: rows × in; `w`: out × in; result rows × out.
    fn linear(&self, x: &Rows, w: &Matrix, bias: Option<&[f32]>) -> Rows;

    /// `y[i][j] = (Σ_k x[i][k]·w[j][k]) · row_scale[i] · col_scale[j] + bias[j]` for each weight: i32 sums, then f32 in this
    /// order, nothing fused. Where the rows have outlier columns, so has every product: the outlier product, computed like the
    /// main one but without bias, is added to each result before anything else is done with it.
    fn multiply(&self, x: &QuantRows, products: &mut [Product<'_>]);

    /// The first half of low-rank branches, kept beside the rows: h = x·Aᵀ as [`multiply`](Self::multiply) computes it, each row in
    /// 8-bit codes by its own largest magnitude. Every later product of these rows adds h·Bᵀ to the results of the branch's rows,
    /// computed like the outlier product and after it.
    fn branch(&self, x: &mut QuantRows, branches: &[RowBranch<'_>]);

    /// [`linear`](Self::linear) with integer weights and f32 activations: w = code · scale in f32.
    fn linear_weight_only(&self, x: &Rows, w: &PackedWeight, bias: Option<&[f32]>) -> Rows;

    /// Rotates every head of every row by that row's angles.
    fn rope(&self, x: &mut Rows, table: &RopeTable);

    /// Stores rows `rows` of `k` and `v` in codes, each as the token that `tokens` names for it.
    fn store(&self, codes: &mut KvCodes, k: &Rows, v: &Rows, rows: Range<usize>, tokens: &[u32]);

    /// y = softmax(q·kᵀ/√head_dim + mask)·v for each job's rows.
    fn attend(&self, q: &Rows, shape: HeadShape, products: Products, jobs: &[AttendJob<'_>]) -> Rows;

    /// sum ← sum + xᵀ·x, lower triangle of features × features, row-major.
    fn gram(&self, x: &Rows, sum: &mut [f32]);
}
