//! The Qwen2 decoder (arXiv 2407.10671) with M-RoPE (Qwen2-VL, arXiv 2409.12191, section 2.1), which several families share:
//! RMSNorm, grouped attention with biases on query, key and value, a gated MLP.

mod build;
mod config;
mod positions;
mod processor;
mod tensors;

pub(super) use build::decoder;
pub(super) use config::{MediaTokens, TextConfig, divides};
pub(super) use positions::positions;
pub(super) use processor::processor;
pub(super) use tensors::{NAMING, published, tensors};
