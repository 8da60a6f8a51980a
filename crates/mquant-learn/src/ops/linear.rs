//! x·Wᵀ with a constant weight.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::product::{Factor, product};
use crate::tensor::{slice, tensor, with_values};

/// `x`: rows × inputs, `weight`: outputs × inputs; the result rows × outputs.
pub(crate) fn linear(x: &Tensor, weight: &Arc<Vec<f32>>, outputs: usize) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Linear { weight: weight.clone(), outputs })
}

struct Linear {
    weight: Arc<Vec<f32>>,
    outputs: usize,
}

impl CustomOp1 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, inputs) = layout.shape().dims2()?;
        let w = Factor::new(&self.weight, self.outputs, inputs);
        let y = product(Factor::new(slice(storage, layout)?, rows, inputs), w.t());
        Ok((CpuStorage::F32(y), (rows, self.outputs).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let (rows, inputs) = x.dims2()?;
        let w = Factor::new(&self.weight, self.outputs, inputs);
        let dx = with_values(gradient, |g| Ok(product(Factor::new(g, rows, self.outputs), w)))?;
        Ok(Some(tensor(dx, (rows, inputs))?))
    }
}
