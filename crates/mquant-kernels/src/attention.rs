//! Softmax attention over rows of heads: y = softmax(q·kᵀ·scale + mask)·v, with grouped keys and values.
//!
//! The mask follows positions, not row numbers, so rows may come in any order and in several pieces.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use crate::data::Rows;
use crate::exp::exp;
use crate::features::{Cpu, per_level};
use crate::float_gemm::dot;

/// Heads of an attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Features of a head.
    pub head_dim: usize,
}

/// Which keys a query sees.
#[derive(Clone, Copy, Debug)]
pub enum Mask<'a> {
    /// All of them.
    Full,
    /// Those at its own position and before: one original position for each query row; key `i` has position `i`.
    Causal(&'a [u32]),
}

/// Keys and values of one sequence.
#[derive(Clone, Copy, Debug)]
pub enum KeyValues<'a> {
    /// In f32.
    Float {
        /// Length × (kv_heads · head_dim), row-major.
        keys: &'a [f32],
        /// Like `keys`.
        values: &'a [f32],
    },
}

/// How query-key and probability-value products are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Products {
    /// In f32: the float model.
    F32,
    /// Factors rounded to bf16, sums in f32: the integer model.
    Bf16,
}

/// One sequence's queries and the keys and values they look at.
#[derive(Clone, Copy, Debug)]
pub struct AttendJob<'a> {
    /// First query row.
    pub first_row: usize,
    /// Number of query rows.
    pub rows: usize,
    /// What they look at.
    pub kv: KeyValues<'a>,
    /// Which keys each query sees.
    pub mask: Mask<'a>,
}

// Query rows that share one product with the keys: enough to amortise packing them.
const BLOCK: usize = 128;
// Below this many query rows plain dot products win.
const FEW_ROWS: usize = 4;

/// Attention of every job into rows × (heads · head_dim). Rows no job names stay 0.
///
/// # Panics
/// If shapes disagree or a mask names a key that is not there.
pub(crate) fn attend(cpu: Cpu, q: &Rows, shape: HeadShape, products: Products, jobs: &[AttendJob<'_>]) -> Rows {
    let (Products::F32 | Products::Bf16) = products;
    let features = shape.heads * shape.head_dim;
    assert_eq!(q.features(), features, "query features");
    let mut y = Rows::zeros(q.rows(), features);
    let mut blocks = Vec::new();
    let mut rest = y.as_mut_slice();
    let mut at = 0;
    for job in jobs {
        assert!(job.first_row >= at && job.first_row + job.rows <= q.rows(), "jobs in row order");
        rest = &mut rest[(job.first_row - at) * features..];
        let block = BLOCK.min(job.rows.div_ceil(rayon::current_num_threads())).max(FEW_ROWS);
        for from in (0..job.rows).step_by(block) {
            let rows = from..(from + block).min(job.rows);
            let (out, tail) = rest.split_at_mut(rows.len() * features);
            rest = tail;
            blocks.push((job, rows, out));
        }
        at = job.first_row + job.rows;
    }
    blocks.into_par_iter().with_max_len(1).for_each(|(job, rows, out)| attend_block(cpu, q, shape, job, rows, out));
    y
}

fn attend_block(cpu: Cpu, q: &Rows, shape: HeadShape, job: &AttendJob<'_>, rows: Range<usize>, out: &mut [f32]) {
    let kv_features = shape.kv_heads * shape.head_dim;
    let KeyValues::Float { keys: k, values: v } = job.kv;
    let keys = k.len() / kv_features;
    assert_eq!(k.len(), v.len(), "keys and values");
    let seen = |row: usize| match job.mask {
        Mask::Full => keys,
        Mask::Causal(positions) => positions[row] as usize + 1,
    };
    let longest = rows.clone().map(seen).max().unwrap_or(0);
    assert!(longest <= keys, "a query sees {longest} keys of {keys}");
    let block = Block { cpu, q, shape, job, k, v, rows, longest };
    if block.rows.len() <= FEW_ROWS { block.by_dots(&seen, out) } else { block.by_products(&seen, out) }
}

struct Block<'a> {
    cpu: Cpu,
    q: &'a Rows,
    shape: HeadShape,
    job: &'a AttendJob<'a>,
    k: &'a [f32],
    v: &'a [f32],
    rows: Range<usize>,
    longest: usize,
}

impl Block<'_> {
    fn scale(&self) -> f32 {
        1.0 / (self.shape.head_dim as f32).sqrt()
    }

    fn query(&self, row: usize, head: usize) -> &[f32] {
        let d = self.shape.head_dim;
        &self.q.row(self.job.first_row + row)[head * d..(head + 1) * d]
    }

    /// Offset of a key-value head in a row of keys, for a query head.
    fn kv_at(&self, head: usize) -> usize {
        head / (self.shape.heads / self.shape.kv_heads) * self.shape.head_dim
    }

    fn by_dots(&self, seen: &(dyn Fn(usize) -> usize + Sync), out: &mut [f32]) {
        let HeadShape { heads, kv_heads, head_dim: d } = self.shape;
        let stride = kv_heads * d;
        for (row, out) in self.rows.clone().zip(out.chunks_exact_mut(heads * d)) {
            let keys = seen(row);
            out.par_chunks_mut(d).enumerate().for_each(|(head, out)| {
                let (query, at) = (self.query(row, head), self.kv_at(head));
                let lane = |all: &'_ [f32], i: usize| -> Range<usize> {
                    debug_assert!((i + 1) * stride <= all.len());
                    i * stride + at..i * stride + at + d
                };
                let mut p: Vec<f32> = (0..keys).map(|i| dot(self.cpu, query, &self.k[lane(self.k, i)])).collect();
                softmax(self.cpu, &mut p, self.scale());
                for (i, p) in p.iter().enumerate() {
                    add_scaled(self.cpu, out, &self.v[lane(self.v, i)], *p);
                }
            });
        }
    }

    fn by_products(&self, seen: &(dyn Fn(usize) -> usize + Sync), out: &mut [f32]) {
        let HeadShape { heads, kv_heads, head_dim: d } = self.shape;
        let (m, n, stride) = (self.rows.len(), self.longest, kv_heads * d);
        let features = heads * d;
        let first = (self.job.first_row + self.rows.start) * features;
        let queries = &self.q.as_slice()[first..first + m * features];
        let mut scores = vec![0f32; m * n];
        for head in 0..heads {
            let at = self.kv_at(head);
            let q = MatRef::from_row_major_slice_with_stride(&queries[head * d..], m, d, features);
            let k = MatRef::from_row_major_slice_with_stride(&self.k[at..], n, d, stride);
            let v = MatRef::from_row_major_slice_with_stride(&self.v[at..], n, d, stride);
            let s = MatMut::from_row_major_slice_mut(&mut scores, m, n);
            matmul(s, Accum::Replace, q, k.transpose(), 1.0, Par::Seq);
            for (row, s) in self.rows.clone().zip(scores.chunks_exact_mut(n)) {
                let (visible, hidden) = s.split_at_mut(seen(row));
                softmax(self.cpu, visible, self.scale());
                hidden.fill(0.0);
            }
            let s = MatRef::from_row_major_slice(&scores, m, n);
            // faer 0.24's strided row-major constructor for `MatMut` swaps its strides, so the transpose is built.
            let y = MatMut::from_column_major_slice_with_stride_mut(&mut out[head * d..], d, m, features);
            matmul(y.transpose_mut(), Accum::Replace, s, v, 1.0, Par::Seq);
        }
    }
}

#[inline(always)]
fn softmax_body<const FMA: bool>(x: &mut [f32], scale: f32) {
    let max = x.iter().fold(f32::NEG_INFINITY, |m, v| m.max(*v));
    let mut lanes = [0f32; 16];
    let (chunks, tail) = x.as_chunks_mut::<16>();
    for c in chunks {
        for (v, l) in c.iter_mut().zip(&mut lanes) {
            *v = exp::<FMA>((*v - max) * scale);
            *l += *v;
        }
    }
    for (v, l) in tail.iter_mut().zip(&mut lanes) {
        *v = exp::<FMA>((*v - max) * scale);
        *l += *v;
    }
    let inverse = 1.0 / lanes.iter().sum::<f32>();
    x.iter_mut().for_each(|v| *v *= inverse);
}

#[inline(always)]
fn add_scaled_body<const FMA: bool>(y: &mut [f32], x: &[f32], by: f32) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = crate::features::fma::<FMA>(*x, by, *y));
}

per_level! {
    /// x ← softmax(x · scale).
    fn softmax(x: &mut [f32], scale: f32) = fused softmax_body
}
per_level! { fn add_scaled(y: &mut [f32], x: &[f32], by: f32) = fused add_scaled_body }

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1013) as f32 / 500.0 - 1.0).collect()
    }

    fn exact(q: &Rows, shape: HeadShape, job: &AttendJob<'_>, row: usize) -> Vec<f64> {
        let KeyValues::Float { keys: k, values: v } = job.kv;
        let (d, stride) = (shape.head_dim, shape.kv_heads * shape.head_dim);
        let keys = match job.mask {
            Mask::Full => k.len() / stride,
            Mask::Causal(p) => p[row] as usize + 1,
        };
        (0..shape.heads)
            .flat_map(|h| {
                let at = h / (shape.heads / shape.kv_heads) * d;
                let query = &q.row(job.first_row + row)[h * d..(h + 1) * d];
                let value = |v: &[f32], i: usize, c: usize| f64::from(v[i * stride + at + c]);
                let s: Vec<f64> = (0..keys)
                    .map(|i| (0..d).map(|c| f64::from(query[c]) * value(k, i, c)).sum::<f64>() / (d as f64).sqrt())
                    .collect();
                let total: f64 = s.iter().map(|s| s.exp()).sum();
                (0..d)
                    .map(move |c| (0..keys).map(|i| s[i].exp() / total * value(v, i, c)).sum::<f64>())
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn attention_equals_its_equation_in_any_row_order_and_any_split() {
        let shape = HeadShape { heads: 6, kv_heads: 2, head_dim: 20 };
        let (keys, values) = (noise(300 * 40, 1), noise(300 * 40, 2));
        let few = KeyValues::Float { keys: &keys[..80], values: &values[..80] };
        let all = KeyValues::Float { keys: &keys, values: &values };
        for rows in [1usize, 3, 5, 150, 290] {
            // A scrambled order, beginning after ten cached keys.
            let order: Vec<u32> = (0..rows as u32).map(|i| 10 + (i * 7 + 3) % rows as u32).collect();
            for mask in [Mask::Full, Mask::Causal(&order)] {
                let q = Rows::from_vec(noise((rows + 4) * 120, rows), 120);
                let short = AttendJob { first_row: 0, rows: 3, kv: few, mask: Mask::Full };
                let long = AttendJob { first_row: 4, rows, kv: all, mask };
                let y = attend(Cpu::detect(), &q, shape, Products::F32, &[short, long]);
                assert!(y.row(3).iter().all(|v| *v == 0.0), "a row of no job");
                for (job, row) in [(&short, 0), (&short, 2), (&long, 0), (&long, rows / 2), (&long, rows - 1)] {
                    for (got, want) in y.row(job.first_row + row).iter().zip(exact(&q, shape, job, row)) {
                        assert!(
                            (f64::from(*got) - want).abs() < 2e-5,
                            "{got} against {want}: row {row} of {}, {mask:?}",
                            job.rows
                        );
                    }
                }
            }
        }
    }
}
