//! Names, shapes and sites of all tensors, as data: loading, checking, bundles and synthetic checkpoints read this one list.

use super::config::Config;
use crate::checkpoint::{Naming, TensorSpec};
use crate::nn::{BlockSite, ProjectorSite, SiteId, Tower};

/// From published names (either generation) to ours: `vision.*`, `language.*`, `lm_head.*`.
pub(super) const NAMING: Naming = Naming(&[
    ("model.visual.", "vision."),
    ("model.language_model.", "language."),
    ("visual.", "vision."),
    ("model.", "language."),
]);

/// Our prefixes and the ones the models were published with.
const PUBLISHED: [(&str, &str); 2] = [("vision.", "visual."), ("language.", "model.")];

/// Name of the token embedding, which a tied head reads too.
pub(super) const EMBEDDING: &str = "language.embed_tokens.weight";
/// Name of the head.
pub(super) const HEAD: &str = "lm_head.weight";

/// Every tensor of a checkpoint, under our names.
pub(super) fn all(config: &Config) -> Vec<TensorSpec> {
    named(config, EMBEDDING.to_owned(), &|name| name)
}

/// The same under the names the models were published with.
pub(super) fn published(config: &Config) -> Vec<TensorSpec> {
    named(config, rename(EMBEDDING.to_owned()), &rename)
}

fn rename(ours: String) -> String {
    let renamed = PUBLISHED.iter().find_map(|(from, to)| Some(format!("{to}{}", ours.strip_prefix(from)?)));
    renamed.unwrap_or(ours)
}

fn named(config: &Config, embedding: String, rename: &dyn Fn(String) -> String) -> Vec<TensorSpec> {
    let mut specs = Vec::new();
    vision(config, &mut specs);
    language(config, &mut specs);
    let shape = [config.text.vocab_size, config.text.hidden_size];
    specs.push(match config.text.tie_word_embeddings {
        true => TensorSpec::tied(SiteId::Head, HEAD, shape, embedding),
        false => TensorSpec::weight_of(SiteId::Head, HEAD, shape),
    });
    specs.into_iter().map(|spec| TensorSpec { name: rename(spec.name), ..spec }).collect()
}

fn linear(specs: &mut Vec<TensorSpec>, site: SiteId, name: &str, [outputs, inputs]: [usize; 2]) {
    unbiased(specs, site, name, [outputs, inputs]);
    specs.push(TensorSpec::bias_of(site, format!("{name}.bias"), outputs));
}

fn unbiased(specs: &mut Vec<TensorSpec>, site: SiteId, name: &str, shape: [usize; 2]) {
    specs.push(TensorSpec::weight_of(site, format!("{name}.weight"), shape));
}

fn layer_norm(specs: &mut Vec<TensorSpec>, site: SiteId, name: &str, features: usize) {
    specs.extend(["weight", "bias"].map(|value| TensorSpec::norm_of(site, format!("{name}.{value}"), features)));
}

fn vision(config: &Config, specs: &mut Vec<TensorSpec>) {
    let v = &config.vision;
    let (d, merged) = (v.embed_dim, v.embed_dim * v.spatial_merge_size * v.spatial_merge_size);
    let patch = [d, v.in_channels, v.temporal_patch_size, v.patch_size, v.patch_size];
    specs.push(TensorSpec::weight_of(SiteId::Patch(Tower::Vision), "vision.patch_embed.proj.weight", patch));
    for i in 0..v.depth {
        let at = |name: &str| format!("vision.blocks.{i}.{name}");
        for (site, norm) in [(BlockSite::Qkv, "norm1"), (BlockSite::Up, "norm2")] {
            layer_norm(specs, SiteId::Block(Tower::Vision, i, site), &at(norm), d);
        }
        for (site, name, shape) in [
            (BlockSite::Qkv, "attn.qkv", [3 * d, d]),
            (BlockSite::Out, "attn.proj", [d, d]),
            (BlockSite::Up, "mlp.fc1", [v.mlp_width, d]),
            (BlockSite::Down, "mlp.fc2", [d, v.mlp_width]),
        ] {
            linear(specs, SiteId::Block(Tower::Vision, i, site), &at(name), shape);
        }
    }
    layer_norm(specs, SiteId::Projector(ProjectorSite::Up), "vision.merger.ln_q", d);
    for (site, name, outputs) in
        [(ProjectorSite::Up, "mlp.0", merged), (ProjectorSite::Down, "mlp.2", config.text.hidden_size)]
    {
        linear(specs, SiteId::Projector(site), &format!("vision.merger.{name}"), [outputs, merged]);
    }
}

fn language(config: &Config, specs: &mut Vec<TensorSpec>) {
    let t = &config.text;
    let (d, kv) = (t.hidden_size, t.num_key_value_heads * t.head_dim());
    specs.push(TensorSpec::table(EMBEDDING, [t.vocab_size, d]));
    for i in 0..t.num_hidden_layers {
        let at = |name: &str| format!("language.layers.{i}.{name}");
        let site = |site| SiteId::Block(Tower::Language, i, site);
        for (name, outputs) in [("q_proj", d), ("k_proj", kv), ("v_proj", kv)] {
            linear(specs, site(BlockSite::Qkv), &at(&format!("self_attn.{name}")), [outputs, d]);
        }
        unbiased(specs, site(BlockSite::Out), &at("self_attn.o_proj"), [d, d]);
        unbiased(specs, site(BlockSite::Up), &at("mlp.gate_proj"), [t.intermediate_size, d]);
        unbiased(specs, site(BlockSite::Up), &at("mlp.up_proj"), [t.intermediate_size, d]);
        unbiased(specs, site(BlockSite::Down), &at("mlp.down_proj"), [d, t.intermediate_size]);
        for (at_site, norm) in [(BlockSite::Qkv, "input_layernorm"), (BlockSite::Up, "post_attention_layernorm")] {
            specs.push(TensorSpec::norm_of(site(at_site), at(&format!("{norm}.weight")), d));
        }
    }
    specs.push(TensorSpec::norm_of(SiteId::Head, "language.norm.weight", d));
}
