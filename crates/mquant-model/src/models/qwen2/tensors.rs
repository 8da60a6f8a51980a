//! The decoder's tensors: published name and shape → site and linear.

use super::super::table::Table;
use super::config::TextConfig;
use crate::checkpoint::{Naming, TensorSpec};
use crate::nn::{SiteId, SiteKind, Tower};

/// From published names (either generation) to ours: `vision.*`, `language.*`, `lm_head.*`.
pub(in crate::models) const NAMING: Naming = Naming(&[
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
const HEAD: &str = "lm_head.weight";

/// The decoder's tensors, at the end of a model's table.
pub(in crate::models) fn tensors(t: &TextConfig, table: &mut Table) {
    let (d, kv) = (t.hidden_size, t.num_key_value_heads * t.head_dim());
    table.push(TensorSpec::table(EMBEDDING, [t.vocab_size, d]));
    for i in 0..t.num_hidden_layers {
        let at = |name: &str| format!("language.layers.{i}.{name}");
        let site = |kind| SiteId::block(Tower::Language, i, kind);
        for (linear, (name, outputs)) in [("q_proj", d), ("k_proj", kv), ("v_proj", kv)].into_iter().enumerate() {
            table.linear(site(SiteKind::Qkv), linear, &at(&format!("self_attn.{name}")), [outputs, d]);
        }
        table.unbiased(site(SiteKind::Out), 0, &at("self_attn.o_proj"), [d, d]);
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
pub(in crate::models) fn published(table: Vec<TensorSpec>) -> Vec<TensorSpec> {
    table.into_iter().map(|spec| spec.renamed(&rename)).collect()
}

fn rename(ours: &str) -> String {
    let renamed = PUBLISHED.iter().find_map(|(from, to)| Some(format!("{to}{}", ours.strip_prefix(from)?)));
    renamed.unwrap_or_else(|| ours.to_owned())
}
