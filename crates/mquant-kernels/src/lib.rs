//! Numeric kernels of mquant. Slices in, slices out; this crate knows no model.
//!
//! It is the only crate with SIMD and `unsafe` code (besides the memory map and its bus-error handler in `mquant`).

#[cfg(target_endian = "big")]
compile_error!("mquant reads little-endian weights where they lie; big-endian targets are not supported");

mod data;
mod backend;
mod cpu;
mod features;
mod threads;
mod exp;
mod float_gemm;
mod norm;
mod activation;
mod rope;
mod attention;

pub use activation::Activation;
pub use attention::{AttendJob, HeadShape, Mask};
pub use backend::Backend;
pub use cpu::CpuBackend;
pub use data::{Bytes, Dtype, Matrix, Rows, Values};
pub use features::Level;
pub use rope::RopeTable;
pub use threads::Threads;
