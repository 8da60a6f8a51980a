//! Softmax of attention scores, with the causal mask.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::tensor::{slice, tensor, with_values};

/// softmax(scale · x) over the last dimension. `order`: original indices of the keys; row r belongs to query r mod keys, which
/// sees keys of its own index and before.
pub(crate) fn softmax(x: &Tensor, scale: f32, order: Option<Arc<Vec<u32>>>) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Softmax { scale, order })
}

struct Softmax {
    scale: f32,
    order: Option<Arc<Vec<u32>>>,
}

impl Softmax {
    fn row(&self, row: usize, x: &mut [f32]) {
        let scores = x.iter_mut();
        match &self.order {
            Some(order) => {
                let query = order[row % order.len()];
                let visible = order.iter().map(|key| *key <= query);
                scores
                    .zip(visible)
                    .for_each(|(x, visible)| *x = if visible { *x * self.scale } else { f32::NEG_INFINITY });
            }
            None => scores.for_each(|x| *x *= self.scale),
        }
        let highest = x.iter().fold(f32::NEG_INFINITY, |most, x| most.max(*x));
        let mut sum = 0f64;
        for x in x.iter_mut() {
            *x = (*x - highest).exp();
            sum += f64::from(*x);
        }
        let inverse = (1.0 / sum) as f32;
        x.iter_mut().for_each(|x| *x *= inverse);
    }
}

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let keys = layout.dims().last().copied().unwrap_or(1);
        let mut y = slice(storage, layout)?.to_vec();
        y.par_chunks_mut(keys).enumerate().for_each(|(row, y)| self.row(row, y));
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, result: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let keys = x.dims().last().copied().unwrap_or(1);
        let dx = with_values(result, |y| {
            with_values(gradient, |g| {
                let mut dx = g.to_vec();
                dx.par_chunks_mut(keys).zip(y.par_chunks(keys)).for_each(|(dx, y)| {
                    let along: f64 = dx.iter().zip(y).map(|(g, y)| f64::from(g * y)).sum();
                    dx.iter_mut().zip(y).for_each(|(dx, y)| *dx = y * (*dx - along as f32) * self.scale);
                });
                Ok(dx)
            })
        })?;
        Ok(Some(tensor(dx, x.shape())?))
    }
}
