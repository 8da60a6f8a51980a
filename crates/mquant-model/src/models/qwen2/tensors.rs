//! The decoder's tensors: published name and shape → site and linear.

use super::super::table::Table;
use super::config::{Generation, TextConfig};
use crate::checkpoint::{HeadNormOf, Naming, TensorSpec};
use crate::nn::{PartId, SiteId, SiteKind, Tower};

/// From published names (either generation) to ours: `vision.*`, `language.*`, `lm_head.*`.
pub(in crate::models) const NAMING: Naming = Naming::of(&[
    ("model.visual.", "vision."),
    ("model.language_model.", "language."),
    ("visual.", "vision."),
    ("model.", "language."),
]);

/// Our prefixes and the ones that models are published with.
pub(in crate::models) type Published = [(&'static str, &'static str)];

/// Of the Qwen2 generation.
pub(in crate::models) const PUBLISHED: &Published = &[("vision.", "visual."), ("language.", "model.")];

/// Name of the token embedding, which a tied head reads too.
pub(super) const EMBEDDING: &str = "language.embed_tokens.weight";
/// Name of the head.
const HEAD: &str = "lm_head.weight";

/// The decoder's tensors, at the end of a model's table.
pub(in crate::models) fn tensors(t: &TextConfig, table: &mut Table) {
    let d = t.hidden_size;
    let (q, kv) = (t.num_attention_heads * t.head_dim, t.num_key_value_heads * t.head_dim);
    table.push(TensorSpec::table(PartId::EMBEDDING, EMBEDDING, [t.vocab_size, d]));
    for i in 0..t.num_hidden_layers {
        let at = |name: &str| format!("language.layers.{i}.{name}");
        let site = |kind| SiteId::block(Tower::Language, i, kind);
        for (linear, (name, outputs)) in [("q_proj", q), ("k_proj", kv), ("v_proj", kv)].into_iter().enumerate() {
            let name = at(&format!("self_attn.{name}"));
            match t.generation {
                Generation::Qwen2 => table.linear(site(SiteKind::Qkv), linear, &name, [outputs, d]),
                Generation::Qwen3 => table.unbiased(site(SiteKind::Qkv), linear, &name, [outputs, d]),
            }
        }
        if t.generation == Generation::Qwen3 {
            let part = PartId::block(Tower::Language, i);
            for (of, name) in [(HeadNormOf::Queries, "q_norm"), (HeadNormOf::Keys, "k_norm")] {
                let name = at(&format!("self_attn.{name}.weight"));
                table.push(TensorSpec::head_norm(part, of, name, t.head_dim));
            }
        }
        table.unbiased(site(SiteKind::Out), 0, &at("self_attn.o_proj"), [d, q]);
        table.unbiased(site(SiteKind::Up), 0, &at("mlp.gate_proj"), [t.intermediate_size, d]);
        table.unbiased(site(SiteKind::Up), 1, &at("mlp.up_proj"), [t.intermediate_size, d]);
        table.unbiased(site(SiteKind::Down), 0, &at("mlp.down_proj"), [d, t.intermediate_size]);
        table.rms_norm(site(SiteKind::Qkv), &at("input_layernorm"), d);
        table.rms_norm(site(SiteKind::Up), &at("post_attention_layernorm"), d);
    }
    table.rms_norm(SiteId::HEAD, "language.norm", d);
    let shape = [t.vocab_size, d];
    table.push(match t.tie_word_embeddings {
        true => TensorSpec::tied(SiteId::HEAD, HEAD, shape, EMBEDDING),
        false => TensorSpec::weight_of(SiteId::HEAD, HEAD, shape),
    });
}

/// A table under the names the models were published with.
pub(in crate::models) fn published(table: Vec<TensorSpec>, names: &Published) -> Vec<TensorSpec> {
    let rename = |ours: &str| {
        let renamed = names.iter().find_map(|(from, to)| Some(format!("{to}{}", ours.strip_prefix(from)?)));
        renamed.unwrap_or_else(|| ours.to_owned())
    };
    table.into_iter().map(|spec| spec.renamed(&rename)).collect()
}
