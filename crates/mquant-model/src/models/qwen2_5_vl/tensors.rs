//! The vision tower's tensors, and the decoder's after them.

use super::super::qwen2;
use super::super::table::Table;
use super::config::{Config, VisionConfig};
use crate::checkpoint::TensorSpec;
use crate::nn::{SiteId, SiteKind, Tower};

/// Every tensor of a checkpoint, under our names.
pub(super) fn all(config: &Config) -> Vec<TensorSpec> {
    let mut table = Table::default();
    vision(&config.vision, config.text.hidden_size, QueryKeyValue::Fused, &mut table);
    qwen2::tensors(&config.text, &mut table);
    table.into_specs()
}

/// How the projections of queries, keys and values are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::models) enum QueryKeyValue {
    /// In one tensor.
    Fused,
    /// Each in its own.
    Separate,
}

/// The tower's tensors; `outputs` are the features of the decoder's stream.
pub(in crate::models) fn vision(v: &VisionConfig, outputs: usize, qkv: QueryKeyValue, table: &mut Table) {
    let (d, hidden) = (v.hidden_size, v.intermediate_size);
    let merged = d * v.spatial_merge_size * v.spatial_merge_size;
    let patch = [d, v.in_channels, v.temporal_patch_size, v.patch_size, v.patch_size];
    table.push(TensorSpec::weight_of(SiteId::patch(Tower::Vision), "vision.patch_embed.proj.weight", patch));
    for i in 0..v.depth {
        let at = |name: &str| format!("vision.blocks.{i}.{name}");
        let site = |kind| SiteId::block(Tower::Vision, i, kind);
        table.rms_norm(site(SiteKind::Qkv), &at("norm1"), d);
        table.rms_norm(site(SiteKind::Up), &at("norm2"), d);
        match qkv {
            QueryKeyValue::Fused => table.fused(site(SiteKind::Qkv), &at("attn.qkv"), d, &[(0, d), (1, d), (2, d)]),
            QueryKeyValue::Separate => {
                for (linear, name) in ["attn.q", "attn.k", "attn.v"].into_iter().enumerate() {
                    table.linear(site(SiteKind::Qkv), linear, &at(name), [d, d]);
                }
            }
        }
        table.linear(site(SiteKind::Out), 0, &at("attn.proj"), [d, d]);
        table.linear(site(SiteKind::Up), 0, &at("mlp.gate_proj"), [hidden, d]);
        table.linear(site(SiteKind::Up), 1, &at("mlp.up_proj"), [hidden, d]);
        table.linear(site(SiteKind::Down), 0, &at("mlp.down_proj"), [d, hidden]);
    }
    let site = |kind| SiteId::projector(Tower::Vision, kind);
    table.rms_norm(site(SiteKind::Up), "vision.merger.ln_q", d);
    table.linear(site(SiteKind::Up), 0, "vision.merger.mlp.0", [merged, merged]);
    table.linear(site(SiteKind::Down), 0, "vision.merger.mlp.2", [outputs, merged]);
}
