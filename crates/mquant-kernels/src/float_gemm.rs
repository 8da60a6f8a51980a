//! Float products: a thin layer over an existing crate's matmul, and a dot-product path for a few rows.
//!
//! Many rows are bound by arithmetic: stored weights are widened to f32 a block of outputs at a time and multiplied by the
//! library. A few rows are bound by memory: weights are read once, in their stored type.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use faer::linalg::matmul::{matmul, triangular};
use faer::prelude::ReborrowMut;
use faer::{Accum, MatMut, MatRef, Par};
use half::{bf16, f16};
use rayon::prelude::*;

use crate::data::{Matrix, Rows, Values};
use crate::features::{Cpu, fma, per_level};
use crate::int_weight::PackedWeight;

/// Up to this many rows the weights are streamed once through dot products.
const FEW_ROWS: usize = 8;
/// Values of a widened weight block: it should stay in the last-level cache between being written and read.
const BLOCK_VALUES: usize = 4 << 20;

/// Widened weights, kept between calls so that their pages are touched once. The lock is never held across parallel work: a
/// worker that waits for its part may take up another product, which asks for the lock on the same thread.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Mutex<Vec<f32>>);

impl Scratch {
    /// The buffer, or an empty one where another product is using it.
    fn take(&self) -> Vec<f32> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the larger buffer for the next product.
    fn give_back(&self, buffer: Vec<f32>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < buffer.len() {
            *kept = buffer;
        }
    }
}

/// A weight that float products read: stored floats, or codes that stand for floats.
pub(crate) trait Factor: Sync {
    /// Outputs, inputs.
    fn shape(&self) -> (usize, usize);
    /// All values, row-major, if they lie there in f32.
    fn in_f32(&self) -> Option<&[f32]>;
    /// Rows `range` in f32, row-major.
    fn read(&self, range: Range<usize>, out: &mut [f32]);
}

impl Factor for Matrix {
    fn shape(&self) -> (usize, usize) {
        (self.rows(), self.cols())
    }

    fn in_f32(&self) -> Option<&[f32]> {
        match self.values() {
            Values::F32(values) => Some(values),
            Values::F16(_) | Values::Bf16(_) => None,
        }
    }

    fn read(&self, range: Range<usize>, out: &mut [f32]) {
        self.read_rows(range, out);
    }
}

impl Factor for PackedWeight {
    fn shape(&self) -> (usize, usize) {
        (self.rows(), self.cols())
    }

    fn in_f32(&self) -> Option<&[f32]> {
        None
    }

    fn read(&self, range: Range<usize>, out: &mut [f32]) {
        range.zip(out.chunks_exact_mut(self.cols())).for_each(|(row, out)| self.read_row(row, 0, out));
    }
}

/// y = x·Wᵀ + bias: `x` is rows × in, `w` out × in, the result rows × out.
///
/// # Panics
/// If the inner dimensions or the bias do not fit.
pub(crate) fn linear(cpu: Cpu, x: &Rows, w: &Matrix, bias: Option<&[f32]>, scratch: &Scratch) -> Rows {
    assert_eq!(x.features(), w.cols(), "activation features and weight inputs");
    let mut y = if x.rows() <= FEW_ROWS { few_rows(cpu, x, w) } else { many_rows(x, w, scratch) };
    add_bias(&mut y, bias);
    y
}

/// Adds a bias to every row.
///
/// # Panics
/// If it has not one value for each feature.
pub(crate) fn add_bias(y: &mut Rows, bias: Option<&[f32]>) {
    let Some(bias) = bias else { return };
    let features = y.features();
    assert_eq!(bias.len(), features, "values of the bias and outputs of the weight");
    y.as_mut_slice().par_chunks_mut(features).with_min_len(16).for_each(|row| {
        row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
    });
}

/// x·Wᵀ by the library: blocks of outputs are widened to f32 where they are not stored so.
pub(crate) fn many_rows(x: &Rows, w: &impl Factor, scratch: &Scratch) -> Rows {
    let (m, (n, k)) = (x.rows(), w.shape());
    let mut y = Rows::zeros(m, n);
    let x = MatRef::from_row_major_slice(x.as_slice(), m, k);
    let mut out = MatMut::from_row_major_slice_mut(y.as_mut_slice(), m, n);
    let mut product = |from: usize, to: usize, w: &[f32]| {
        let w = MatRef::from_row_major_slice(w, to - from, k);
        matmul(out.rb_mut().subcols_mut(from, to - from), Accum::Replace, x, w.transpose(), 1.0, threads());
    };
    if let Some(values) = w.in_f32() {
        product(0, n, values);
        return y;
    }
    let mut buffer = scratch.take();
    let step = (BLOCK_VALUES / k).clamp(64, n.max(64));
    for from in (0..n).step_by(step) {
        let to = (from + step).min(n);
        let held = buffer.len().max((to - from) * k);
        buffer.resize(held, 0.0);
        let block = &mut buffer[..(to - from) * k];
        block.par_chunks_mut(16 * k).enumerate().for_each(|(i, part)| {
            let first = from + 16 * i;
            w.read(first..first + part.len() / k, part);
        });
        product(from, to, block);
    }
    scratch.give_back(buffer);
    y
}

/// What the library is told: a constant, since its results may follow from how it divides the work. It takes the threads of
/// the pool it is called in, and no more.
fn threads() -> Par {
    Par::rayon(16)
}

fn few_rows(cpu: Cpu, x: &Rows, w: &Matrix) -> Rows {
    let (m, n) = (x.rows(), w.rows());
    // Weight rows are the outer loop, so results come out transposed: out × rows.
    let mut columns = vec![0f32; n * m];
    const TASK: usize = 32;
    columns.par_chunks_mut(TASK * m).enumerate().for_each(|(task, out)| {
        for (i, out) in out.chunks_exact_mut(m).enumerate() {
            dots_of_row(cpu, w, task * TASK + i, x.as_slice(), out);
        }
    });
    if m == 1 {
        return Rows::from_vec(columns, n);
    }
    let mut y = Rows::zeros(m, n);
    for (j, column) in columns.chunks_exact(m).enumerate() {
        column.iter().enumerate().for_each(|(r, v)| y.row_mut(r)[j] = *v);
    }
    y
}

/// Dot products of a row of a stored weight with each row of `x`.
fn dots_of_row(cpu: Cpu, w: &Matrix, row: usize, x: &[f32], out: &mut [f32]) {
    let span = row * w.cols()..(row + 1) * w.cols();
    match w.values() {
        Values::F32(v) => dots(cpu, &v[span], x, out, dots_f32),
        Values::F16(v) => dots(cpu, &v[span], x, out, dots_f16),
        Values::Bf16(v) => dots(cpu, &v[span], x, out, dots_bf16),
    }
}

/// Dot products of one weight row with each row of `x`, two rows sharing the widened weights: the sums of more would not
/// stay in registers.
fn dots<T>(cpu: Cpu, w: &[T], x: &[f32], out: &mut [f32], some: fn(Cpu, &[T], &[f32], &mut [f32])) {
    for (out, x) in out.chunks_mut(2).zip(x.chunks(2 * w.len())) {
        some(cpu, w, x, out);
    }
}

#[inline(always)]
fn dots_of<const FMA: bool, T: Copy>(w: &[T], x: &[f32], out: &mut [f32], widen: impl Fn(T) -> f32 + Copy) {
    match out.len() {
        1 => dots_of_rows::<FMA, 1, 64, T>(w, x, out, widen),
        2 => dots_of_rows::<FMA, 2, 32, T>(w, x, out, widen),
        n => unreachable!("{n} rows at once"),
    }
}

/// `M` dot products over `LANES` independent sums each, added up in halves.
#[inline(always)]
fn dots_of_rows<const FMA: bool, const M: usize, const LANES: usize, T: Copy>(
    w: &[T],
    x: &[f32],
    out: &mut [f32],
    widen: impl Fn(T) -> f32,
) {
    let k = w.len();
    let (chunks, tail) = w.as_chunks::<LANES>();
    let rows: [&[f32]; M] = std::array::from_fn(|r| &x[r * k..(r + 1) * k]);
    let full: [&[[f32; LANES]]; M] = rows.map(|row| &row.as_chunks::<LANES>().0[..chunks.len()]);
    let mut lanes = [[0f32; LANES]; M];
    for c in 0..chunks.len() {
        let mut wide = [0f32; LANES];
        for i in 0..LANES {
            wide[i] = widen(chunks[c][i]);
        }
        for r in 0..M {
            for i in 0..LANES {
                lanes[r][i] = fma::<FMA>(wide[i], full[r][c][i], lanes[r][i]);
            }
        }
    }
    for ((lanes, row), out) in lanes.iter_mut().zip(&rows).zip(out) {
        for ((l, w), x) in lanes.iter_mut().zip(tail).zip(&row[k - tail.len()..]) {
            *l = fma::<FMA>(widen(*w), *x, *l);
        }
        let mut half = LANES / 2;
        while half > 0 {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
            half /= 2;
        }
        *out = lanes[0];
    }
}

#[inline(always)]
fn dots_f32_body<const FMA: bool>(w: &[f32], x: &[f32], out: &mut [f32]) {
    dots_of::<FMA, f32>(w, x, out, |v| v);
}

#[inline(always)]
fn dots_bf16_body<const FMA: bool>(w: &[bf16], x: &[f32], out: &mut [f32]) {
    dots_of::<FMA, bf16>(w, x, out, |v| f32::from_bits(u32::from(v.to_bits()) << 16));
}

fn dots_f16(_: Cpu, w: &[f16], x: &[f32], out: &mut [f32]) {
    dots_of::<false, f16>(w, x, out, f16::to_f32);
}

per_level! { fn dots_f32(w: &[f32], x: &[f32], out: &mut [f32]) = fused dots_f32_body }
per_level! { fn dots_bf16(w: &[bf16], x: &[f32], out: &mut [f32]) = fused dots_bf16_body }

/// sum ← sum + xᵀ·x, `features × features` row-major, lower triangle only: the rank-k update that second moments are
/// gathered with.
///
/// # Panics
/// If `sum` is not `features²` values.
pub(crate) fn gram(x: &Rows, sum: &mut [f32]) {
    let n = x.features();
    let x = MatRef::from_row_major_slice(x.as_slice(), x.rows(), n);
    let sum = MatMut::from_row_major_slice_mut(sum, n, n);
    use triangular::BlockStructure::{Rectangular, TriangularLower};
    let (lower, whole) = (TriangularLower, Rectangular);
    triangular::matmul(sum, lower, Accum::Add, x.transpose(), whole, x, whole, 1.0, threads());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Bytes, Dtype};
    use std::sync::Arc;

    fn noise(n: usize, seed: u32) -> Vec<f32> {
        let mut s = seed | 1;
        let next = move || {
            s = s.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (s >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(next).take(n).collect()
    }

    fn stored(values: &[f32], dtype: Dtype, rows: usize, cols: usize) -> Matrix {
        let bytes: Vec<u8> = match dtype {
            Dtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Dtype::F16 => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
            Dtype::Bf16 => values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
        };
        Matrix::from_bytes(Bytes::new(Arc::new(bytes)), dtype, rows, cols)
    }

    #[test]
    fn linear_equals_the_definition_for_every_shape_and_type() {
        let scratch = Scratch::default();
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            for (m, k, n) in [
                (1, 1, 1),
                (1, 63, 5),
                (2, 64, 33),
                (3, 31, 7),
                (4, 97, 34),
                (7, 128, 9),
                (8, 65, 40),
                (9, 130, 67),
                (33, 96, 129),
                (70, 200, 31),
            ] {
                let x = Rows::from_vec(noise(m * k, 3), k);
                let w = stored(&noise(n * k, 7), dtype, n, k);
                let bias = noise(n, 11);
                let y = linear(Cpu::detect(), &x, &w, Some(&bias), &scratch);
                let wide = w.to_f32();
                for i in 0..m {
                    for j in 0..n {
                        let exact: f64 =
                            (0..k).map(|t| f64::from(x.row(i)[t]) * f64::from(wide[j * k + t])).sum::<f64>()
                                + f64::from(bias[j]);
                        let got = f64::from(y.row(i)[j]);
                        assert!(
                            (got - exact).abs() < 1e-5 * (k as f64).sqrt().max(1.0),
                            "{dtype} {m}x{k}x{n} [{i},{j}]"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn blocks_of_outputs_join_up() {
        // More values than one widened block holds.
        let (m, k, n) = (9, 5000, 1800);
        let x = Rows::from_vec(noise(m * k, 5), k);
        let w = stored(&noise(n * k, 9), Dtype::Bf16, n, k);
        let y = linear(Cpu::detect(), &x, &w, None, &Scratch::default());
        for j in [0, 1, 837, 838, 839, 1676, 1799] {
            let row = w.row_range(j..j + 1).to_f32();
            let exact: f64 = row.iter().zip(x.row(8)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            assert!((f64::from(y.row(8)[j]) - exact).abs() < 1e-2, "output {j}");
        }
    }

    #[test]
    fn gram_adds_the_lower_triangle() {
        let (m, n) = (37, 50);
        let x = Rows::from_vec(noise(m * n, 21), n);
        let mut sum = vec![1.0; n * n];
        gram(&x, &mut sum);
        for i in 0..n {
            for j in 0..=i {
                let exact: f64 = (0..m).map(|r| f64::from(x.row(r)[i]) * f64::from(x.row(r)[j])).sum::<f64>() + 1.0;
                assert!((f64::from(sum[i * n + j]) - exact).abs() < 1e-4, "[{i},{j}]");
            }
        }
    }

    #[test]
    fn gram_of_a_hundred_thousand_rows_is_close() {
        let n = 24;
        let values: Vec<f32> =
            noise(100_000 * n, 17).iter().enumerate().map(|(i, v)| v + (i % n) as f32 * 0.1).collect();
        let mut exact = vec![0f64; n * n];
        for row in values.chunks_exact(n) {
            for (i, v) in row.iter().enumerate() {
                row.iter().zip(&mut exact[i * n..]).for_each(|(w, sum)| *sum += f64::from(*v) * f64::from(*w));
            }
        }
        for rows in [1, 300, 5000] {
            let mut sum = vec![0.0; n * n];
            let all = || values.chunks(rows * n).for_each(|part| gram(&Rows::from_vec(part.to_vec(), n), &mut sum));
            crate::Threads::new(1).unwrap().run(all);
            let mut worst = 0f64;
            for (i, j) in (0..n).flat_map(|i| (0..=i).map(move |j| (i, j))) {
                let size = (exact[i * n + i] * exact[j * n + j]).sqrt();
                worst = worst.max((f64::from(sum[i * n + j]) - exact[i * n + j]).abs() / size);
            }
            println!("{rows} rows at once: {worst:e} of the diagonal");
            assert!(worst < 1e-4, "{rows} rows at once: off by {worst:e}");
        }
    }

    /// Calls `f` in pools of one to four threads; all must give the same bits.
    fn same_bits(what: &str, f: impl Fn() -> Vec<f32> + Sync) {
        let on = |threads| crate::Threads::new(threads).unwrap().run(&f);
        let expected = on(1);
        for threads in 2..=4 {
            let found = on(threads);
            let differ = expected.iter().zip(&found).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
            assert_eq!(differ, 0, "{what}: values that differ between 1 and {threads} threads, of {}", found.len());
        }
    }

    #[test]
    fn products_have_the_same_bits_with_any_threads() {
        let scratch = Scratch::default();
        for (m, k, n) in
            [(9, 70, 130), (17, 513, 64), (300, 1536, 8960), (64, 1280, 320), (700, 600, 40), (2048, 96, 96)]
        {
            let x = Rows::from_vec(noise(m * k, 3), k);
            for dtype in [Dtype::Bf16, Dtype::F32] {
                let w = stored(&noise(n * k, 7), dtype, n, k);
                same_bits(&format!("linear {dtype} {m} x {k} x {n}"), || {
                    linear(Cpu::detect(), &x, &w, None, &scratch).into_vec()
                });
            }
        }
        for (m, n) in [(1, 70), (37, 50), (513, 300), (9000, 1536), (300, 2049)] {
            let x = Rows::from_vec(noise(m * n, 21), n);
            same_bits(&format!("gram {m} x {n}"), || {
                let mut sum = vec![0.25; n * n];
                gram(&x, &mut sum);
                gram(&x, &mut sum);
                sum
            });
        }
    }
}
