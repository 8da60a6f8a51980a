//! The tensors of vision tower, audio tower and decoder, in this order.

use super::super::table::Table;
use super::super::{qwen2, qwen2_5_vl};
use super::config::{AudioConfig, Config};
use crate::checkpoint::{Naming, TensorSpec};
use crate::nn::{PartId, SiteId, SiteKind, Tower};

/// From published names, of the whole model and of the thinker alone, to ours.
pub(super) const NAMING: Naming = Naming {
    rules: &[
        ("thinker.model.", "language."),
        ("thinker.visual.", "vision."),
        ("thinker.audio_tower.", "audio."),
        ("thinker.lm_head.", "lm_head."),
        ("visual.", "vision."),
        ("audio_tower.", "audio."),
        ("model.", "language."),
    ],
    unused: &["talker.", "token2wav.", "thinker.audio_tower.audio_bos_eos_token.", "audio_tower.audio_bos_eos_token."],
};

/// Our prefixes and the published ones: of the whole model, or of the thinker alone.
pub(super) fn published_names(is_nested: bool) -> &'static qwen2::Published {
    match is_nested {
        true => &[
            ("vision.", "thinker.visual."),
            ("audio.", "thinker.audio_tower."),
            ("language.", "thinker.model."),
            ("lm_head.", "thinker.lm_head."),
        ],
        false => &[("vision.", "visual."), ("audio.", "audio_tower."), ("language.", "model.")],
    }
}

/// Every tensor of a checkpoint, under our names.
pub(super) fn all(config: &Config) -> Vec<TensorSpec> {
    let mut table = Table::default();
    let outputs = config.text.hidden_size;
    qwen2_5_vl::vision_tensors(&config.vision, outputs, qwen2_5_vl::QueryKeyValue::Separate, &mut table);
    audio(&config.audio, outputs, &mut table);
    qwen2::tensors(&config.text, &mut table);
    table.into_specs()
}

fn audio(a: &AudioConfig, outputs: usize, table: &mut Table) {
    let d = a.d_model;
    let (conv1, conv2) = (SiteId::conv(Tower::Audio, SiteKind::Conv1), SiteId::conv(Tower::Audio, SiteKind::Conv2));
    for (site, name, channels) in [(conv1, "conv1", a.num_mel_bins), (conv2, "conv2", d)] {
        table.push(TensorSpec::weight_of(site, format!("audio.{name}.weight"), [d, channels, 3]));
        table.push(TensorSpec::bias_of(site, format!("audio.{name}.bias"), d));
    }
    table.push(TensorSpec::map(PartId::patch(Tower::Audio), "audio.map.weight", d));
    for i in 0..a.encoder_layers {
        let at = |name: &str| format!("audio.layers.{i}.{name}");
        let site = |kind| SiteId::block(Tower::Audio, i, kind);
        table.layer_norm(site(SiteKind::Qkv), &at("self_attn_layer_norm"), d);
        table.layer_norm(site(SiteKind::Up), &at("final_layer_norm"), d);
        table.linear(site(SiteKind::Qkv), 0, &at("self_attn.q_proj"), [d, d]);
        table.unbiased(site(SiteKind::Qkv), 1, &at("self_attn.k_proj"), [d, d]);
        table.linear(site(SiteKind::Qkv), 2, &at("self_attn.v_proj"), [d, d]);
        table.linear(site(SiteKind::Out), 0, &at("self_attn.out_proj"), [d, d]);
        table.linear(site(SiteKind::Up), 0, &at("fc1"), [a.encoder_ffn_dim, d]);
        table.linear(site(SiteKind::Down), 0, &at("fc2"), [d, a.encoder_ffn_dim]);
    }
    let site = SiteId::projector(Tower::Audio, SiteKind::Up);
    table.layer_norm(site, "audio.ln_post", d);
    table.linear(site, 0, "audio.proj", [outputs, d]);
}
