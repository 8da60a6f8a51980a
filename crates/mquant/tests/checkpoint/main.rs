//! Model folders, whole and broken: every broken one has its own error code.

mod builder;
mod config;
mod folders;
mod headers;
mod shards;
mod tensors;
