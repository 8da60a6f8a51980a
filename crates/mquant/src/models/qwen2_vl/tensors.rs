//! Names and shapes of all tensors, as data: loading, checking and synthetic checkpoints read this one list.

use super::config::Config;
use crate::checkpoint::{Naming, Presence, TensorSpec};

/// From published names (either generation) to ours: `vision.*`, `language.*`, `lm_head.*`.
pub(super) const NAMING: Naming = Naming(&[
    ("model.visual.", "vision."),
    ("model.language_model.", "language."),
    ("visual.", "vision."),
    ("model.", "language."),
]);

/// Our prefixes and the ones the models were published with.
const PUBLISHED: [(&str, &str); 2] = [("vision.", "visual."), ("language.", "model.")];

/// Every tensor of a checkpoint, under our names.
pub(super) fn wanted(config: &Config) -> Vec<TensorSpec> {
    let mut specs = Vec::new();
    let mut add = |name: String, shape: &[usize]| specs.push(TensorSpec::required(name, shape));
    vision(config, &mut add);
    language(config, &mut add);
    // A tied head may be stored all the same.
    let presence = if config.text.tie_word_embeddings { Presence::Optional } else { Presence::Required };
    let shape = vec![config.text.vocab_size, config.text.hidden_size];
    specs.push(TensorSpec { name: "lm_head.weight".to_owned(), shape, presence });
    specs
}

/// The required tensors under the names the models were published with.
pub(super) fn published(config: &Config) -> Vec<TensorSpec> {
    let mut specs = wanted(config);
    specs.retain(|spec| spec.presence == Presence::Required);
    for spec in &mut specs {
        for (ours, theirs) in PUBLISHED {
            if let Some(rest) = spec.name.strip_prefix(ours) {
                spec.name = format!("{theirs}{rest}");
                break;
            }
        }
    }
    specs
}

fn vision(config: &Config, add: &mut impl FnMut(String, &[usize])) {
    let v = &config.vision;
    let (d, merged) = (v.embed_dim, v.embed_dim * v.spatial_merge_size * v.spatial_merge_size);
    let patch = [d, v.in_channels, v.temporal_patch_size, v.patch_size, v.patch_size];
    add("vision.patch_embed.proj.weight".to_owned(), &patch);
    for i in 0..v.depth {
        let at = |name: &str| format!("vision.blocks.{i}.{name}");
        for norm in ["norm1", "norm2"] {
            add(at(&format!("{norm}.weight")), &[d]);
            add(at(&format!("{norm}.bias")), &[d]);
        }
        for (name, outputs, inputs) in
            [("attn.qkv", 3 * d, d), ("attn.proj", d, d), ("mlp.fc1", v.mlp_width, d), ("mlp.fc2", d, v.mlp_width)]
        {
            add(at(&format!("{name}.weight")), &[outputs, inputs]);
            add(at(&format!("{name}.bias")), &[outputs]);
        }
    }
    add("vision.merger.ln_q.weight".to_owned(), &[d]);
    add("vision.merger.ln_q.bias".to_owned(), &[d]);
    for (name, outputs) in [("mlp.0", merged), ("mlp.2", config.text.hidden_size)] {
        add(format!("vision.merger.{name}.weight"), &[outputs, merged]);
        add(format!("vision.merger.{name}.bias"), &[outputs]);
    }
}

fn language(config: &Config, add: &mut impl FnMut(String, &[usize])) {
    let t = &config.text;
    let (d, kv) = (t.hidden_size, t.num_key_value_heads * t.head_dim());
    add("language.embed_tokens.weight".to_owned(), &[t.vocab_size, d]);
    for i in 0..t.num_hidden_layers {
        let at = |name: &str| format!("language.layers.{i}.{name}");
        for (name, outputs) in [("q_proj", d), ("k_proj", kv), ("v_proj", kv)] {
            add(at(&format!("self_attn.{name}.weight")), &[outputs, d]);
            add(at(&format!("self_attn.{name}.bias")), &[outputs]);
        }
        add(at("self_attn.o_proj.weight"), &[d, d]);
        add(at("mlp.gate_proj.weight"), &[t.intermediate_size, d]);
        add(at("mlp.up_proj.weight"), &[t.intermediate_size, d]);
        add(at("mlp.down_proj.weight"), &[d, t.intermediate_size]);
        add(at("input_layernorm.weight"), &[d]);
        add(at("post_attention_layernorm.weight"), &[d]);
    }
    add("language.norm.weight".to_owned(), &[d]);
}
