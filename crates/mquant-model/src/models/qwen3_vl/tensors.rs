//! The vision tower's tensors, and the decoder's after them.

use super::super::qwen2;
use super::super::table::Table;
use super::config::Config;
use crate::checkpoint::TensorSpec;
use crate::nn::{PartId, SiteId, SiteKind, Tower};

/// Our prefixes and the ones the models were published with.
pub(super) const PUBLISHED: &qwen2::Published = &[("vision.", "model.visual."), ("language.", "model.language_model.")];

/// Name of the table of positions.
pub(super) const POSITIONS: &str = "vision.pos_embed.weight";

/// Every tensor of a checkpoint, under our names.
pub(super) fn all(config: &Config) -> Vec<TensorSpec> {
    let mut table = Table::default();
    vision(config, &mut table);
    qwen2::tensors(&config.text, &mut table);
    table.into_specs()
}

fn vision(config: &Config, table: &mut Table) {
    let v = &config.vision;
    let (d, hidden) = (v.hidden_size, v.intermediate_size);
    let merged = d * v.spatial_merge_size * v.spatial_merge_size;
    let (patch, outputs) = (SiteId::patch(Tower::Vision), config.text.hidden_size);
    let kernel = [d, v.in_channels, v.temporal_patch_size, v.patch_size, v.patch_size];
    table.push(TensorSpec::weight_of(patch, "vision.patch_embed.proj.weight", kernel));
    table.push(TensorSpec::bias_of(patch, "vision.patch_embed.proj.bias", d));
    table.push(TensorSpec::table(PartId::patch(Tower::Vision), POSITIONS, [v.num_position_embeddings, d]));
    for i in 0..v.depth {
        let at = |name: &str| format!("vision.blocks.{i}.{name}");
        let site = |kind| SiteId::block(Tower::Vision, i, kind);
        table.layer_norm(site(SiteKind::Qkv), &at("norm1"), d);
        table.layer_norm(site(SiteKind::Up), &at("norm2"), d);
        table.fused(site(SiteKind::Qkv), &at("attn.qkv"), d, &[(0, d), (1, d), (2, d)]);
        table.linear(site(SiteKind::Out), 0, &at("attn.proj"), [d, d]);
        table.linear(site(SiteKind::Up), 0, &at("mlp.linear_fc1"), [hidden, d]);
        table.linear(site(SiteKind::Down), 0, &at("mlp.linear_fc2"), [d, hidden]);
        if let Some(level) = v.deepstack_level(i) {
            let site = |kind| SiteId::deepstack(Tower::Vision, level, kind);
            let at = |name: &str| format!("vision.deepstack_merger_list.{level}.{name}");
            table.layer_norm(site(SiteKind::Up), &at("norm"), merged);
            table.linear(site(SiteKind::Up), 0, &at("linear_fc1"), [merged, merged]);
            table.linear(site(SiteKind::Down), 0, &at("linear_fc2"), [outputs, merged]);
        }
    }
    let site = |kind| SiteId::projector(Tower::Vision, kind);
    table.layer_norm(site(SiteKind::Up), "vision.merger.norm", d);
    table.linear(site(SiteKind::Up), 0, "vision.merger.linear_fc1", [merged, merged]);
    table.linear(site(SiteKind::Down), 0, "vision.merger.linear_fc2", [outputs, merged]);
}
