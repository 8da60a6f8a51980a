//! The kernel table: every operation that is written for several instruction levels, and what there is of it.
//!
//! Enters: nothing, or a [`Cpu`]. Leaves: [`Operation`]s, each with its equation, its kernels best first, shapes it really
//! has, and a [`Case`] to run it on. Invariant: a list of kernels is sorted best first and ends with `scalar`, the
//! definition, so that every CPU has a pick. To add an operation: a line in [`operations`] and its case in `cases`.

mod cases;
mod timing;

pub use cases::Case;
pub use timing::{Timing, time_kernels};

use std::fmt;
use std::sync::OnceLock;

use crate::attention::{HeadShape, Products};
use crate::features::{Cpu, Features, Kernel, PER_LEVEL};
use crate::{attention, hadamard, int_gemm, quantize_rows};

/// An operation and the kernels that compute it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its name in lists and reports.
    pub name: &'static str,
    /// What it computes.
    pub equation: &'static str,
    /// Best first; the last is `scalar`.
    pub kernels: Vec<KernelInfo>,
    /// Shapes of Qwen2-VL-2B.
    pub shapes: Vec<Shape>,
    make: fn(Shape) -> Case,
}

/// One way to compute an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelInfo {
    /// Its name, that of the instructions it is written for.
    pub name: &'static str,
    /// What the CPU must have.
    pub needs: Features,
}

/// The size of an operation's operands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Rows of activations, or queries.
    pub rows: usize,
    /// The rest.
    pub each: Extent,
}

/// What each row is computed with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    /// A weight of outputs × inputs.
    Weight {
        /// Values of a row.
        inputs: usize,
        /// Values of a result row.
        outputs: usize,
    },
    /// Nothing but itself.
    Row {
        /// Values of a row.
        features: usize,
    },
    /// Keys and values; the rows are the last of the sequence.
    Keys {
        /// Tokens to look at.
        keys: usize,
        /// Heads of queries, keys and values.
        heads: HeadShape,
        /// Whether rows see only what is before them.
        sees: Sees,
    },
}

/// Which keys a row of a case sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// All of them.
    All,
    /// Those at its own position and before.
    Before,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows;
        match self.each {
            Extent::Weight { inputs, outputs } => write!(f, "{rows} x {inputs} x {outputs}"),
            Extent::Row { features } => write!(f, "{rows} x {features}"),
            Extent::Keys { keys, heads: HeadShape { heads, head_dim, .. }, .. } => {
                write!(f, "{rows} x {keys} keys, {heads} x {head_dim}")
            }
        }
    }
}

impl Operation {
    /// The kernel that runs where `cpu` may be used.
    pub fn pick(&self, cpu: Cpu) -> KernelInfo {
        let allowed = self.kernels.iter().find(|kernel| cpu.has(kernel.needs));
        *allowed.expect("the list ends with the scalar kernel")
    }

    /// Operands of a shape, filled with values whose kind does not matter for speed.
    pub fn case(&self, shape: Shape) -> Case {
        (self.make)(shape)
    }
}

/// A list of kernels as others see it.
fn infos<F>(kernels: &[Kernel<F>]) -> Vec<KernelInfo> {
    kernels.iter().map(|kernel| KernelInfo { name: kernel.name, needs: kernel.needs }).collect()
}

fn weights(shapes: &[[usize; 3]]) -> Vec<Shape> {
    let shape = |[rows, inputs, outputs]: [usize; 3]| Shape { rows, each: Extent::Weight { inputs, outputs } };
    shapes.iter().copied().map(shape).collect()
}

fn rows(shapes: &[[usize; 2]]) -> Vec<Shape> {
    shapes.iter().map(|&[rows, features]| Shape { rows, each: Extent::Row { features } }).collect()
}

const DECODER_HEADS: HeadShape = HeadShape { heads: 12, kv_heads: 2, head_dim: 128 };
const TOWER_HEADS: HeadShape = HeadShape { heads: 16, kv_heads: 16, head_dim: 80 };

/// Every operation that has kernels of its own.
pub fn operations() -> &'static [Operation] {
    static OPERATIONS: OnceLock<Vec<Operation>> = OnceLock::new();
    OPERATIONS.get_or_init(list)
}

fn list() -> Vec<Operation> {
    let products = |rows| infos(int_gemm::kernels(rows));
    let by_level = || infos(PER_LEVEL);
    let attention_kernels = || infos(attention::kernels(Products::Bf16));
    let attention = |rows, keys, heads, sees| Shape { rows, each: Extent::Keys { keys, heads, sees } };
    vec![
        Operation {
            name: "int4_gemm",
            equation: "y = (x·Wᵀ)·row scale·column scale, 8-bit x, 4-bit W, sums in i32",
            kernels: products(512),
            shapes: weights(&[[512, 1536, 8960], [512, 8960, 1536], [512, 1536, 1536]]),
            make: cases::int4,
        },
        Operation {
            name: "int8_gemm",
            equation: "y = (x·Wᵀ)·row scale·column scale, 8-bit x, 8-bit W, sums in i32",
            kernels: products(512),
            shapes: weights(&[[512, 1536, 8960], [512, 8960, 1536], [1024, 1280, 5120], [1024, 5120, 1280]]),
            make: cases::int8,
        },
        Operation {
            name: "int4_gemm_few_rows",
            equation: "int4_gemm while decoding: weights come from memory",
            kernels: products(1),
            shapes: weights(&[[1, 1536, 8960], [1, 8960, 1536], [4, 1536, 8960]]),
            make: cases::int4,
        },
        Operation {
            name: "int8_gemm_few_rows",
            equation: "int8_gemm while decoding: weights come from memory",
            kernels: products(1),
            shapes: weights(&[[1, 1536, 151_936]]),
            make: cases::int8,
        },
        Operation {
            name: "quantize_static",
            equation: "q = clamp(round(x/s), −127, 127), s given",
            kernels: infos(quantize_rows::KERNELS),
            shapes: rows(&[[512, 1536], [512, 8960]]),
            make: cases::quantize_static,
        },
        Operation {
            name: "quantize_per_token",
            equation: "q = clamp(round(x/s), −127, 127), s = absmax(row)/127",
            kernels: infos(quantize_rows::KERNELS),
            shapes: rows(&[[512, 1536], [512, 8960]]),
            make: cases::quantize_per_token,
        },
        Operation {
            name: "rms_norm",
            equation: "y = x/√(mean(x²) + ε)·gain",
            kernels: by_level(),
            shapes: rows(&[[512, 1536]]),
            make: cases::rms_norm,
        },
        Operation {
            name: "layer_norm",
            equation: "y = (x − mean)/√(var + ε)·gain + bias",
            kernels: by_level(),
            shapes: rows(&[[1024, 1280]]),
            make: cases::layer_norm,
        },
        Operation {
            name: "silu_up_quantize",
            equation: "q = quantize(SiLU(gate)·up)",
            kernels: by_level(),
            shapes: rows(&[[512, 8960]]),
            make: cases::silu_up_quantize,
        },
        Operation {
            name: "hadamard_quantize",
            equation: "q = quantize(x·Hᵀ/√n)",
            kernels: infos(hadamard::KERNELS),
            shapes: rows(&[[512, 8960], [512, 4096]]),
            make: cases::hadamard_quantize,
        },
        Operation {
            name: "rope",
            equation: "(x₁, x₂) → (x₁·cos − x₂·sin, x₂·cos + x₁·sin)",
            kernels: by_level(),
            shapes: rows(&[[512, 1536]]),
            make: cases::rope,
        },
        Operation {
            name: "attention_prefill",
            equation: "y = softmax(q·kᵀ/√d + mask)·v, many rows",
            kernels: attention_kernels(),
            shapes: vec![
                attention(512, 512, DECODER_HEADS, Sees::Before),
                attention(1024, 1024, TOWER_HEADS, Sees::All),
            ],
            make: cases::attention,
        },
        Operation {
            name: "attention_decode",
            equation: "y = softmax(q·kᵀ/√d + mask)·v, one row",
            kernels: attention_kernels(),
            shapes: vec![attention(1, 4096, DECODER_HEADS, Sees::Before)],
            make: cases::attention,
        },
    ]
}

#[cfg(test)]
mod tests;
