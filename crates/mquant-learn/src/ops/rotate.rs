//! The online rotation of rows.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use mquant_kernels::{Cpu, Hadamard};
use rayon::prelude::*;

use crate::tensor::{slice, tensor, with_values};

/// `x`: rows × features, filled up with zeros to the features of the rotation and rotated.
pub(crate) fn rotate(x: &Tensor, rotation: &Arc<Hadamard>) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Rotate(rotation.clone()))
}

struct Rotate(Arc<Hadamard>);

impl CustomOp1 for Rotate {
    fn name(&self) -> &'static str {
        "rotate"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, features) = layout.shape().dims2()?;
        let width = self.0.features();
        let cpu = Cpu::detect();
        let mut y = vec![0f32; rows * width];
        y.par_chunks_mut(width).zip(slice(storage, layout)?.par_chunks(features)).for_each(|(y, x)| {
            y[..features].copy_from_slice(x);
            self.0.rotate_row(cpu, y);
        });
        Ok((CpuStorage::F32(y), (rows, width).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let (rows, features) = x.dims2()?;
        let width = self.0.features();
        let cpu = Cpu::detect();
        let dx = with_values(gradient, |g| {
            let mut dx = vec![0f32; rows * features];
            dx.par_chunks_mut(features).zip(g.par_chunks(width)).for_each(|(dx, g)| {
                let mut row = g.to_vec();
                self.0.inverse_row(cpu, &mut row);
                dx.copy_from_slice(&row[..features]);
            });
            Ok(dx)
        })?;
        Ok(Some(tensor(dx, (rows, features))?))
    }
}
