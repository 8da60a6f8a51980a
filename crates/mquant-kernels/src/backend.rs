//! The operations a model is made of, each defined by its equation. A model asks for them; it does not know who computes.

use crate::activation::Activation;
use crate::attention::{AttendJob, HeadShape};
use crate::data::{Matrix, Rows};
use crate::rope::RopeTable;

/// Somewhere to compute. All operations are in f32 and panic when shapes disagree: shapes are settled at load.
pub trait Backend: Send + Sync {
    /// y = x·Wᵀ + bias. `x`: rows × in; `w`: out × in; result rows × out.
    fn linear(&self, x: &Rows, w: &Matrix, bias: Option<&[f32]>) -> Rows;

    /// y = x / √(mean(x²) + eps) · gain, for each row.
    fn rms_norm(&self, x: &Rows, gain: &[f32], eps: f32) -> Rows;

    /// y = (x − mean) / √(var + eps) · gain + bias, for each row.
    fn layer_norm(&self, x: &Rows, gain: &[f32], bias: &[f32], eps: f32) -> Rows;

    /// x ← f(x).
    fn activate(&self, f: Activation, x: &mut Rows);

    /// gate ← f(gate) · up.
    fn activate_gated(&self, f: Activation, gate: &mut Rows, up: &Rows);

    /// Rotates every head of every row by that row's angles.
    fn rope(&self, x: &mut Rows, table: &RopeTable);

    /// y = softmax(q·kᵀ/√head_dim + mask)·v for each job's rows.
    fn attend(&self, q: &Rows, shape: HeadShape, jobs: &[AttendJob<'_>]) -> Rows;

    /// sum ← sum + xᵀ·x, lower triangle of features × features, row-major.
    fn gram(&self, x: &Rows, sum: &mut [f32]);
}
