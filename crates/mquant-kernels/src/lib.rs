//! Numeric kernels of mquant. Slices in, slices out; this crate knows no model.
//!
//! It is the only crate with SIMD and `unsafe` code (besides the memory map and its bus-error handler in `mquant`).

#[cfg(target_endian = "big")]
compile_error!("mquant reads little-endian weights where they lie; big-endian targets are not supported");

mod buffers;
mod features;
mod data;
mod int_weight;
mod threads;
mod exp;
mod activation;
mod norm;
mod hadamard;
mod quantize_rows;
mod clip_scale;
mod rope;
mod quant_rows;
mod float_gemm;
mod int_gemm;
mod weight_only;
mod row_prologue;
mod kv_codes;
mod attention;
mod backend;
mod cpu;
#[cfg(all(test, unix))]
mod guard;
mod limits;
mod table;

pub use activation::Activation;
pub use attention::{AttendJob, HeadShape, KeyValues, Mask, Products};
pub use backend::Backend;
pub use clip_scale::clipped_scale;
pub use cpu::CpuBackend;
pub use data::{Bytes, Dtype, Matrix, Rows, Values};
pub use features::{Cpu, Features, Level, UnknownLevel, Unsupported};
pub use hadamard::{Hadamard, HadamardError};
pub use int_gemm::{Epilogue, Gate, Output, Product, RowBranch};
pub use int_weight::{Bits, IntWeight, PackError, PackedWeight};
pub use kv_codes::KvCodes;
pub use limits::{Limits, measure_limits};
pub use quant_rows::QuantRows;
pub use quantize_rows::{RowScales, SMALLEST_SCALE, quantize_scalar, scale_of};
pub use rope::RopeTable;
pub use row_prologue::{NormOf, NormStep, OutlierColumns, RowGains, RowPrologue, SiteInput};
pub use table::{Case, Extent, KernelInfo, Operation, Sees, Shape, Timing, operations, time_kernels};
pub use threads::Threads;
