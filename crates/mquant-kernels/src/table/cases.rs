//! Operands of the operations, and what one run of each takes.

use std::fmt;
use std::sync::Arc;

use super::{Extent, Sees, Shape};
use crate::activation::Activation;
use crate::attention::{AttendJob, KeyValues, Mask, Products};
use crate::backend::Backend;
use crate::data::{Bytes, Rows};
use crate::features::Cpu;
use crate::hadamard::Hadamard;
use crate::int_gemm::{Epilogue, Output, Product};
use crate::int_weight::{Bits, IntWeight, PackedWeight};
use crate::kv_codes::KvCodes;
use crate::quant_rows::QuantRows;
use crate::quantize_rows::RowScales;
use crate::rope::RopeTable;
use crate::row_prologue::{NormOf, NormStep, RowPrologue, SiteInput};

/// Fewer rows than this take turns on several copies of a weight.
const FEW_ROWS: usize = 16;
/// Bytes of such copies together: more than caches hold.
const BEYOND_CACHES: usize = 160 << 20;

/// Computes once on a backend.
type Run = dyn FnMut(&dyn Backend) + Send;

/// An operation ready to run.
pub struct Case {
    /// Multiplications and additions of one run.
    pub ops: f64,
    /// Bytes that one run reads or writes at least: operands and results, each once.
    pub bytes: f64,
    run: Box<Run>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("ops", &self.ops).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Case {
    /// Computes it once, on the threads of the pool this is called in.
    pub fn run(&mut self, backend: &dyn Backend) {
        (self.run)(backend);
    }
}

fn noise(rows: usize, features: usize) -> Rows {
    Rows::from_vec(
        (0..rows * features).map(|i| ((i * 7919 + i / 1009) % 1013) as f32 / 500.0 - 1.0).collect(),
        features,
    )
}

fn codes(rows: usize, features: usize) -> QuantRows {
    let codes: Vec<i8> = (0..rows * features).map(|i| ((i * 37 + i / 251) % 255) as u8 as i8).collect();
    QuantRows::from_codes(&codes, features, vec![0.01; rows])
}

fn weight(bits: Bits, outputs: usize, inputs: usize) -> PackedWeight {
    let codes =
        (0..IntWeight::code_bytes(bits, outputs, inputs)).map(|i| (i * 131 + i / 251) as u8).collect::<Vec<_>>();
    let codes = Bytes::new(Arc::new(codes));
    let weight = IntWeight { bits, rows: outputs, cols: inputs, codes, scales: vec![0.01; outputs], group: None };
    PackedWeight::pack(&weight).expect("shapes of the table fit the bounds on sums")
}

/// A weight of its own memory.
fn copy(weight: &PackedWeight, bits: Bits) -> PackedWeight {
    let (rows, cols) = (weight.rows(), weight.cols());
    let codes = Bytes::new(Arc::new(vec![0u8; IntWeight::code_bytes(bits, rows, cols)]));
    let shape = IntWeight { bits, rows, cols, codes, scales: vec![0.01; rows], group: None };
    let panels = Bytes::new(Arc::new(weight.panels().to_vec()));
    PackedWeight::from_panels(&shape, panels).expect("panels of the same shape")
}

fn product(bits: Bits, shape: Shape) -> Case {
    let Extent::Weight { inputs, outputs } = shape.each else { unreachable!("products have weights") };
    let rows = shape.rows;
    let mut weights = vec![weight(bits, outputs, inputs)];
    if rows < FEW_ROWS {
        let copies = BEYOND_CACHES.div_ceil(weights[0].byte_len());
        weights.extend((1..copies).map(|_| copy(&weights[0], bits)).collect::<Vec<_>>());
    }
    let moved = weights[0].byte_len() + rows * inputs + rows * outputs * size_of::<f32>();
    let (x, mut y, mut turn) = (codes(rows, inputs), Rows::zeros(rows, outputs), 0);
    Case {
        ops: 2.0 * (rows * inputs * outputs) as f64,
        bytes: moved as f64,
        run: Box::new(move |backend| {
            turn = (turn + 1) % weights.len();
            let output = Output::Write(&mut y);
            backend.multiply(
                &x,
                &mut [Product {
                    weight: &weights[turn],
                    bias: None,
                    outliers: None,
                    branches: &[],
                    epilogue: Epilogue::Nothing,
                    output,
                }],
            );
        }),
    }
}

pub(super) fn int4(shape: Shape) -> Case {
    product(Bits::Four, shape)
}

pub(super) fn int8(shape: Shape) -> Case {
    product(Bits::Eight, shape)
}

/// A case over single rows: `ops` and `bytes` of each value.
fn over_rows(shape: Shape, ops: usize, bytes: usize, run: impl FnMut(&dyn Backend) + Send + 'static) -> Case {
    let values = shape.rows * features(shape);
    Case { ops: (values * ops) as f64, bytes: (values * bytes) as f64, run: Box::new(run) }
}

fn features(shape: Shape) -> usize {
    match shape.each {
        Extent::Row { features } => features,
        Extent::Weight { .. } | Extent::Keys { .. } => unreachable!("rows have features"),
    }
}

pub(super) fn quantize_static(shape: Shape) -> Case {
    let (x, scales) = (noise(shape.rows, features(shape)), vec![0.01; shape.rows]);
    over_rows(shape, 2, 5, move |backend| {
        backend.quantize(SiteInput::Rows(&x), RowPrologue::default(), RowScales::Static(&scales), None);
    })
}

pub(super) fn quantize_per_token(shape: Shape) -> Case {
    let x = noise(shape.rows, features(shape));
    over_rows(shape, 3, 5, move |backend| {
        backend.quantize(SiteInput::Rows(&x), RowPrologue::default(), RowScales::PerToken, None);
    })
}

pub(super) fn rms_norm(shape: Shape) -> Case {
    let (x, gain) = (noise(shape.rows, features(shape)), vec![1.0; features(shape)]);
    over_rows(shape, 4, 8, move |backend| {
        let norm = NormOf { kind: NormStep::Rms, gain: &gain, eps: 1e-6, repeat: 1 };
        backend.row_prologue(SiteInput::Rows(&x), RowPrologue { norm: Some(norm), ..RowPrologue::default() });
    })
}

pub(super) fn layer_norm(shape: Shape) -> Case {
    let (x, gain) = (noise(shape.rows, features(shape)), vec![1.0; features(shape)]);
    over_rows(shape, 7, 8, move |backend| {
        let norm = NormOf { kind: NormStep::Layer { bias: &gain }, gain: &gain, eps: 1e-6, repeat: 1 };
        backend.row_prologue(SiteInput::Rows(&x), RowPrologue { norm: Some(norm), ..RowPrologue::default() });
    })
}

pub(super) fn silu_up_quantize(shape: Shape) -> Case {
    let (gate, up) = (noise(shape.rows, features(shape)), noise(shape.rows, features(shape)));
    // Beside the exponential, which is not counted.
    over_rows(shape, 5, 9, move |backend| {
        let source = SiteInput::Gated(Activation::Silu, &gate, &up);
        backend.quantize(source, RowPrologue::default(), RowScales::PerToken, None);
    })
}

pub(super) fn hadamard_quantize(shape: Shape) -> Case {
    let (x, scales) = (noise(shape.rows, features(shape)), vec![0.01; shape.rows]);
    let n = features(shape);
    let rotation = Hadamard::new(n).or_else(|_| Hadamard::largest_power_of_two(n)).expect("rows have features");
    // An addition for each doubling of a fast transform; dense factors are counted as if they were fast.
    over_rows(shape, features(shape).ilog2() as usize + 3, 5, move |backend| {
        let steps = RowPrologue { rotation: Some(&rotation), ..RowPrologue::default() };
        backend.quantize(SiteInput::Rows(&x), steps, RowScales::Static(&scales), None);
    })
}

pub(super) fn rope(shape: Shape) -> Case {
    const HALF: usize = 64;
    let mut x = noise(shape.rows, features(shape));
    let table = RopeTable::new(HALF, (0..shape.rows * HALF).map(|i| i as f32 * 1e-3));
    over_rows(shape, 3, 8, move |backend| backend.rope(&mut x, &table))
}

pub(super) fn attention(shape: Shape) -> Case {
    let Extent::Keys { keys, heads, sees } = shape.each else { unreachable!("attention has keys") };
    let rows = shape.rows;
    let (features, kv_features) = (heads.heads * heads.head_dim, heads.kv_heads * heads.head_dim);
    let q = noise(rows, features);
    let (k, v) = (noise(keys, kv_features), noise(keys, kv_features));
    let positions: Vec<u32> = (keys - rows..keys).map(|i| i as u32).collect();
    let seen: usize = match sees {
        Sees::All => rows * keys,
        Sees::Before => positions.iter().map(|p| *p as usize + 1).sum(),
    };
    // A decoder remembers codes; a tower's keys and values are those of the pass.
    let mut codes = KvCodes::new(kv_features, heads.head_dim);
    if sees == Sees::Before {
        (0..keys).for_each(|i| codes.store(Cpu::detect(), i, k.row(i), v.row(i)));
    }
    Case {
        ops: 4.0 * (seen * features) as f64,
        bytes: (size_of::<f32>() * 2 * (rows * features + keys * kv_features)) as f64,
        run: Box::new(move |backend| {
            let (kv, mask) = match sees {
                Sees::All => (KeyValues::Float { keys: k.as_slice(), values: v.as_slice() }, Mask::Full),
                Sees::Before => (KeyValues::Codes(&codes), Mask::Causal(&positions)),
            };
            backend.attend(&q, heads, Products::Bf16, &[AttendJob { first_row: 0, rows, kv, mask }]);
        }),
    }
}
