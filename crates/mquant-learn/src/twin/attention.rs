//! Attention between `qkv` and `out`.

use candle_core::{Result, Tensor};
use mquant_model::nn::Attention;

use super::PassRows;
use super::site::rms;
use crate::ops;
use crate::tensor::tensor;

/// `qkv`: rows × (heads · head_dim), and twice rows × (kv_heads · head_dim); the result like the first.
pub(super) fn attend(attention: &Attention, qkv: &[Tensor], pass: &PassRows) -> Result<Tensor> {
    let [q, k, v] = qkv else { candle_core::bail!("{} results of qkv", qkv.len()) };
    let shape = attention.shape;
    let rows = q.dim(0)?;
    let heads = |x: &Tensor, count: usize| x.reshape((rows, count, shape.head_dim));
    let (mut q, mut k, v) = (heads(q, shape.heads)?, heads(k, shape.kv_heads)?, heads(v, shape.kv_heads)?);
    if let Some(norms) = &attention.head_norms {
        let gain = |gain: &[f32]| tensor(gain.to_vec(), gain.len());
        q = rms(&q, &gain(&norms.q)?, norms.eps)?;
        k = rms(&k, &gain(&norms.k)?, norms.eps)?;
    }
    if let Some((cos, sin)) = &pass.rope {
        q = turn(&q, cos, sin)?;
        k = turn(&k, cos, sin)?;
    }
    let scale = 1.0 / (shape.head_dim as f32).sqrt();
    let group = shape.heads / shape.kv_heads;
    let mut parts = Vec::with_capacity(pass.ranges.len());
    for (range, order) in &pass.ranges {
        let len = range.len();
        let part = |x: &Tensor| x.narrow(0, range.start, len)?.transpose(0, 1)?.contiguous();
        // Query heads that share a key-value head stand one below the other.
        let q = part(&q)?.reshape((shape.kv_heads, group * len, shape.head_dim))?;
        let weights = ops::softmax(&ops::matmul_t(&q, &part(&k)?)?, scale, order.clone())?;
        let a = ops::matmul(&weights, &part(&v)?)?.reshape((shape.heads, len, shape.head_dim))?;
        parts.push(a.transpose(0, 1)?.contiguous()?);
    }
    let all = if parts.len() == 1 { parts.swap_remove(0) } else { Tensor::cat(&parts, 0)? };
    all.reshape((rows, shape.heads * shape.head_dim))
}

/// (x₁, x₂) → (x₁·cos − x₂·sin, x₂·cos + x₁·sin) for the halves of each head.
fn turn(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let half = cos.dim(2)?;
    let (a, b) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
    let first = (a.broadcast_mul(cos)? - b.broadcast_mul(sin)?)?;
    let second = (b.broadcast_mul(cos)? + a.broadcast_mul(sin)?)?;
    Tensor::cat(&[first, second], 2)
}
