//! Numeric kernels of mquant. Slices in, slices out; this crate knows no model.
//!
//! It is the only crate with SIMD and `unsafe` code (besides the memory map in `mquant`).

#[cfg(target_endian = "big")]
compile_error!("mquant reads little-endian weights where they lie; big-endian targets are not supported");

mod data;

pub use data::{Bytes, Dtype, Matrix, Rows, Values};
