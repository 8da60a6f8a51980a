//! A backend that lets another one compute, and adds up what its operations take.

use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use mquant_kernels::{
    AttendJob, Backend, Epilogue, HeadShape, KeyValues, KvCodes, Mask, Matrix, OutlierColumns, PackedWeight, Product,
    Products, QuantRows, RopeTable, RowBranch, RowPrologue, RowScales, Rows, SiteInput,
};

use super::phase::{Kind, Phase, Spent};
use super::timed;

/// Computes as the backend it was made of. Operations follow one another in a pass, so their wall times add up.
pub struct Clocked {
    inner: Arc<dyn Backend>,
    spent: Mutex<[Spent; Kind::ALL.len()]>,
}

impl std::fmt::Debug for Clocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clocked").field("spent", &self.spent).finish_non_exhaustive()
    }
}

/// What an operation computes and reads.
struct Work {
    kind: Kind,
    ops: usize,
    bytes: usize,
}

impl Clocked {
    /// A clock around `inner` at zero.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, spent: Mutex::default() }
    }

    /// Runs `f`, in which nobody else may use this backend, and says what its time went to.
    pub fn phase<R>(&self, f: impl FnOnce() -> R) -> (R, Phase) {
        self.take();
        let (result, seconds) = timed(f);
        (result, Phase::new(seconds, self.take()))
    }

    fn take(&self) -> [Spent; Kind::ALL.len()] {
        mem::take(&mut *self.spent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn count<R>(&self, work: Work, f: impl FnOnce(&dyn Backend) -> R) -> R {
        let (result, seconds) = timed(|| f(&*self.inner));
        let spent = Spent { seconds, ops: work.ops as f64, bytes: work.bytes as f64 };
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)[work.kind as usize].add(spent);
        result
    }
}

impl Work {
    fn rows(kind: Kind) -> Self {
        Self { kind, ops: 0, bytes: 0 }
    }

    fn product(kind: Kind, rows: usize, (outputs, inputs): (usize, usize), bytes: usize) -> Self {
        Self { kind, ops: 2 * rows * outputs * inputs, bytes }
    }

    fn attention(shape: HeadShape, jobs: &[AttendJob<'_>]) -> Self {
        let kv_features = shape.kv_heads * shape.head_dim;
        let (mut seen, mut bytes) = (0, 0);
        for job in jobs {
            let keys = match job.kv {
                KeyValues::Float { keys, values } => {
                    bytes += size_of_val(keys) + size_of_val(values);
                    keys.len() / kv_features
                }
                KeyValues::Codes(codes) => {
                    bytes += codes.byte_len();
                    codes.len()
                }
            };
            seen += match job.mask {
                Mask::Full => job.rows * keys,
                Mask::Causal(positions) => positions.iter().map(|position| *position as usize + 1).sum(),
                Mask::Window { positions, width } => {
                    positions.iter().map(|position| (*position as usize + 1).min(width)).sum()
                }
            };
        }
        // A product with each key and one with each value.
        Self { kind: Kind::Attention, ops: 4 * seen * shape.heads * shape.head_dim, bytes }
    }
}

impl Backend for Clocked {
    fn row_prologue(&self, source: SiteInput<'_>, steps: RowPrologue<'_>) -> Rows {
        self.count(Work::rows(Kind::Prepare), |inner| inner.row_prologue(source, steps))
    }

    fn quantize(
        &self,
        source: SiteInput<'_>,
        steps: RowPrologue<'_>,
        scales: RowScales<'_>,
        columns: Option<OutlierColumns<'_>>,
    ) -> QuantRows {
        self.count(Work::rows(Kind::Prepare), |inner| inner.quantize(source, steps, scales, columns))
    }

    fn linear(&self, x: &Rows, w: &Matrix, bias: Option<&[f32]>) -> Rows {
        let work = Work::product(Kind::FloatProducts, x.rows(), (w.rows(), w.cols()), w.byte_len());
        self.count(work, |inner| inner.linear(x, w, bias))
    }

    fn multiply(&self, x: &QuantRows, products: &mut [Product<'_>]) {
        let (mut ops, mut bytes) = (0, 0);
        for Product { weight, outliers, epilogue, .. } in &*products {
            let gate = match epilogue {
                Epilogue::Gate(_, gate) => Some(gate.weight),
                Epilogue::Nothing | Epilogue::Activate(_) => None,
            };
            for weight in std::iter::once(*weight).chain(*outliers).chain(gate) {
                ops += 2 * x.rows() * weight.rows() * weight.cols();
                bytes += weight.byte_len();
            }
        }
        self.count(Work { kind: Kind::IntegerProducts, ops, bytes }, |inner| inner.multiply(x, products));
    }

    fn branch(&self, x: &mut QuantRows, branches: &[RowBranch<'_>]) {
        let (mut ops, mut bytes) = (0, 0);
        for RowBranch { weight, rows } in branches {
            ops += 2 * rows.iter().map(ExactSizeIterator::len).sum::<usize>() * weight.rows() * weight.cols();
            bytes += weight.byte_len();
        }
        self.count(Work { kind: Kind::IntegerProducts, ops, bytes }, |inner| inner.branch(x, branches));
    }

    fn linear_weight_only(&self, x: &Rows, w: &PackedWeight, bias: Option<&[f32]>) -> Rows {
        let work = Work::product(Kind::FloatProducts, x.rows(), (w.rows(), w.cols()), w.byte_len());
        self.count(work, |inner| inner.linear_weight_only(x, w, bias))
    }

    fn rope(&self, x: &mut Rows, table: &RopeTable) {
        self.count(Work::rows(Kind::Rope), |inner| inner.rope(x, table));
    }

    fn store(&self, codes: &mut KvCodes, k: &Rows, v: &Rows, rows: Range<usize>, tokens: &[u32]) {
        self.inner.store(codes, k, v, rows, tokens);
    }

    fn attend(&self, q: &Rows, shape: HeadShape, products: Products, jobs: &[AttendJob<'_>]) -> Rows {
        self.count(Work::attention(shape, jobs), |inner| inner.attend(q, shape, products, jobs))
    }

    fn gram(&self, x: &Rows, sum: &mut [f32]) {
        let work = Work { kind: Kind::FloatProducts, ops: x.rows() * x.features() * x.features(), bytes: 0 };
        self.count(work, |inner| inner.gram(x, sum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mquant_kernels::{Cpu, CpuBackend};

    #[test]
    fn results_are_the_inner_ones_and_work_is_counted() {
        let inner = Arc::new(CpuBackend::new(Cpu::detect()));
        let clock = Clocked::new(inner.clone());
        let x = Rows::from_vec((0..15).map(|i| i as f32).collect(), 5);
        let w = Matrix::from_f32((0..35).map(|i| i as f32 * 0.5).collect(), 7, 5);
        clock.linear(&x, &w, None);
        let (y, phase) = clock.phase(|| clock.linear(&x, &w, None));
        assert_eq!(y, inner.linear(&x, &w, None));
        let spent = phase.spent(Kind::FloatProducts);
        // Once: what was counted before the phase is not in it.
        assert_eq!((spent.ops, spent.bytes), (2.0 * 3.0 * 7.0 * 5.0, 35.0 * 4.0));
        assert!(spent.seconds > 0.0 && spent.seconds <= phase.seconds);

        // Two rows at positions 2 and 0 of three keys see 3 + 1 of them, in 2 heads of 4 features; 2 · 3 · 4 values are read.
        let shape = HeadShape { heads: 2, kv_heads: 1, head_dim: 4 };
        let (q, keys) = (Rows::zeros(2, 8), vec![0.0; 12]);
        let kv = KeyValues::Float { keys: &keys, values: &keys };
        let job = AttendJob { first_row: 0, rows: 2, kv, mask: Mask::Causal(&[2, 0]) };
        let (_, phase) = clock.phase(|| clock.attend(&q, shape, Products::F32, &[job]));
        let spent = phase.spent(Kind::Attention);
        assert_eq!((spent.ops, spent.bytes), (4.0 * 4.0 * 8.0, 2.0 * 12.0 * 4.0));
    }
}
