//! The vision tower's tensors, and the decoder's after them.

use super::super::qwen2;
use super::super::table::Table;
use super::config::Config;
use crate::checkpoint::TensorSpec;
use crate::nn::{SiteId, SiteKind, Tower};

/// Every tensor of a checkpoint, under our names.
pub(super) fn all(config: &Config) -> Vec<TensorSpec> {
    let mut table = Table::default();
    vision(config, &mut table);
    qwen2::tensors(&config.text, &mut table);
    table.into_specs()
}

fn vision(config: &Config, table: &mut Table) {
    let v = &config.vision;
    let (d, merged) = (v.embed_dim, v.embed_dim * v.spatial_merge_size * v.spatial_merge_size);
    let patch = [d, v.in_channels, v.temporal_patch_size, v.patch_size, v.patch_size];
    table.push(TensorSpec::weight_of(SiteId::patch(Tower::Vision), "vision.patch_embed.proj.weight", patch));
    for i in 0..v.depth {
        let at = |name: &str| format!("vision.blocks.{i}.{name}");
        let site = |kind| SiteId::block(Tower::Vision, i, kind);
        table.layer_norm(site(SiteKind::Qkv), &at("norm1"), d);
        table.layer_norm(site(SiteKind::Up), &at("norm2"), d);
        table.fused(site(SiteKind::Qkv), &at("attn.qkv"), d, &[(0, d), (1, d), (2, d)]);
        table.linear(site(SiteKind::Out), 0, &at("attn.proj"), [d, d]);
        table.linear(site(SiteKind::Up), 0, &at("mlp.fc1"), [v.mlp_width, d]);
        table.linear(site(SiteKind::Down), 0, &at("mlp.fc2"), [d, v.mlp_width]);
    }
    let site = |kind| SiteId::projector(Tower::Vision, kind);
    table.layer_norm(site(SiteKind::Up), "vision.merger.ln_q", d);
    table.linear(site(SiteKind::Up), 0, "vision.merger.mlp.0", [merged, merged]);
    table.linear(site(SiteKind::Down), 0, "vision.merger.mlp.2", [config.text.hidden_size, merged]);
}
