//! The Qwen2 decoder (arXiv 2407.10671) with M-RoPE (Qwen2-VL, arXiv 2409.12191, section 2.1) and its successor Qwen3
//! (arXiv 2505.09388), which several families share: RMSNorm, grouped attention, a gated MLP.

mod build;
mod config;
mod positions;
mod processor;
mod tensors;

pub(super) use build::decoder;
pub(super) use config::{Generation, MediaTokens, TextConfig, divides, token_ids};
pub(super) use positions::positions;
pub(super) use processor::{bounded, processor, published as published_processor};
pub(super) use tensors::{NAMING, PUBLISHED, Published, published, tensors};
