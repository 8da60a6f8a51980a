//! Model folders, whole and broken: every broken one has its own error code.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod builder;
mod config;
mod folders;
mod headers;
mod shards;
mod tensors;
mod truncation;
