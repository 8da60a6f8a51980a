//! Products of two tensors, one for each index of a leading dimension.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::product::{Factor, product_into};
use crate::tensor::slice;

/// a·b: `a` batch × m × k, `b` batch × k × n.
pub(crate) fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op2(&b.contiguous()?, Matmul { a: false, b: false })
}

/// a·bᵀ: `a` batch × m × k, `b` batch × n × k.
pub(crate) fn matmul_t(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op2(&b.contiguous()?, Matmul { a: false, b: true })
}

/// Which factor is read transposed.
struct Matmul {
    a: bool,
    b: bool,
}

impl CustomOp2 for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((batch, a_rows, a_cols), (b_batch, b_rows, b_cols)) = (l1.shape().dims3()?, l2.shape().dims3()?);
        let (a, b) = (slice(s1, l1)?, slice(s2, l2)?);
        let factors = |i: usize| {
            let (a_len, b_len) = (a_rows * a_cols, b_rows * b_cols);
            let a = Factor::new(&a[i * a_len..(i + 1) * a_len], a_rows, a_cols).t_if(self.a);
            let b = Factor::new(&b[i * b_len..(i + 1) * b_len], b_rows, b_cols).t_if(self.b);
            (a, b)
        };
        let m = if self.a { a_cols } else { a_rows };
        let n = if self.b { b_rows } else { b_cols };
        let inner = if self.a { a_rows } else { a_cols };
        if batch != b_batch || inner != if self.b { b_cols } else { b_rows } {
            bail!("factors {:?} and {:?} do not fit", l1.shape(), l2.shape());
        }
        let mut out = vec![0f32; batch * m * n];
        for (i, out) in out.chunks_mut((m * n).max(1)).enumerate() {
            let (a, b) = factors(i);
            product_into(a, b, out);
        }
        Ok((CpuStorage::F32(out), (batch, m, n).into()))
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, g: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        if self.a {
            bail!("gradient of a transposed first factor");
        }
        let g = g.contiguous()?;
        let times = |x: &Tensor, y: &Tensor, op: Matmul| x.apply_op2_no_bwd(y, &op);
        let da = a.track_op().then(|| times(&g, b, Matmul { a: false, b: !self.b })).transpose()?;
        // (a·b)ᵀ needs aᵀ·g; (a·bᵀ)ᵀ = b·aᵀ needs gᵀ·a.
        let db = match (b.track_op(), self.b) {
            (false, _) => None,
            (true, false) => Some(times(a, &g, Matmul { a: true, b: false })?),
            (true, true) => Some(times(&g, a, Matmul { a: true, b: false })?),
        };
        Ok((da, db))
    }
}
