//! One weight and its bias.

use mquant_kernels::{Backend, Matrix, Rows};

/// y = x·Wᵀ + b.
#[derive(Clone, Debug)]
pub struct Linear {
    /// out × in.
    pub weight: Matrix,
    /// One value an output.
    pub bias: Option<Vec<f32>>,
}

impl Linear {
    /// `x`: rows × in; result rows × out.
    pub fn on_rows(&self, x: &Rows, backend: &dyn Backend) -> Rows {
        backend.linear(x, &self.weight, self.bias.as_deref())
    }
}
