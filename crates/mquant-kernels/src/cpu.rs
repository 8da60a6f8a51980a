//! The [`Backend`] of this CPU. Uses the threads of the pool it is called in.

use std::ops::Range;
use std::sync::Arc;

use crate::attention::{self, AttendJob, HeadShape, Products};
use crate::backend::Backend;
use crate::buffers::Pools;
use crate::data::{Matrix, Rows};
use crate::features::Cpu;
use crate::float_gemm::{self, Scratch};
use crate::int_gemm::{self, Product, RowBranch};
use crate::int_weight::PackedWeight;
use crate::kv_codes::KvCodes;
use crate::quant_rows::QuantRows;
use crate::quantize_rows::RowScales;
use crate::rope::{self, RopeTable};
use crate::row_prologue::{self, OutlierColumns, RowPrologue, SiteInput};
use crate::weight_only;

/// Computes on this CPU.
#[derive(Debug)]
pub struct CpuBackend {
    cpu: Cpu,
    scratch: Scratch,
    /// Held so that storage is recycled while there is a backend, and given back after the last one.
    _pools: Arc<Pools>,
}

impl CpuBackend {
    /// A backend that uses the instructions of `cpu`, with empty scratch space.
    pub fn new(cpu: Cpu) -> Self {
        Self { cpu, scratch: Scratch::default(), _pools: Pools::shared() }
    }

    /// What it may use.
    pub fn cpu(&self) -> Cpu {
        self.cpu
    }
}

impl Backend for CpuBackend {
    fn row_prologue(&self, source: SiteInput<'_>, steps: RowPrologue<'_>) -> Rows {
        row_prologue::rows(self.cpu, source, steps)
    }

    fn quantize(
        &self,
        source: SiteInput<'_>,
        steps: RowPrologue<'_>,
        scales: RowScales<'_>,
        columns: Option<OutlierColumns<'_>>,
    ) -> QuantRows {
        row_prologue::quantized(self.cpu, source, steps, scales, columns)
    }

    fn linear(&self, x: &Rows, w: &Matrix, bias: Option<&[f32]>) -> Rows {
        float_gemm::linear(self.cpu, x, w, bias, &self.scratch)
    }

    fn multiply(&self, x: &QuantRows, products: &mut [Product<'_>]) {
        int_gemm::multiply(self.cpu, x, products);
    }

    fn branch(&self, x: &mut QuantRows, branches: &[RowBranch<'_>]) {
        int_gemm::attach(self.cpu, x, branches);
    }

    fn linear_weight_only(&self, x: &Rows, w: &PackedWeight, bias: Option<&[f32]>) -> Rows {
        weight_only::linear(self.cpu, x, w, bias, &self.scratch)
    }

    fn rope(&self, x: &mut Rows, table: &RopeTable) {
        let features = x.features();
        rope::rotate(self.cpu, x.as_mut_slice(), features, table);
    }

    fn store(&self, codes: &mut KvCodes, k: &Rows, v: &Rows, rows: Range<usize>, tokens: &[u32]) {
        codes.store_rows(self.cpu, k, v, rows, tokens);
    }

    fn attend(&self, q: &Rows, shape: HeadShape, products: Products, jobs: &[AttendJob<'_>]) -> Rows {
        attention::attend(self.cpu, q, shape, products, jobs)
    }

    fn gram(&self, x: &Rows, sum: &mut [f32]) {
        float_gemm::gram(x, sum);
    }
}
