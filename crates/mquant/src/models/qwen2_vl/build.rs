//! From checked weights to parts, float or integer alike.

use mquant_kernels::{Activation, HeadShape};

use super::super::Model;
use super::config::Config;
use super::tensors::{EMBEDDING, HEAD};
use crate::bundle::Weights;
use crate::nn::{
    Attention, Block, BlockSite, Decoder, Embedding, Encoder, Head, Linear, Norm, NormKind, PatchEmbed, Projector,
    ProjectorSite, Rope, Site, SiteId, Stream, Tower, Up, Visibility,
};

// The towers' LayerNorms: a constant of the published code, not a field of the configuration.
const VISION_EPS: f32 = 1e-6;

/// All parts of a model.
pub(super) fn model(config: &Config, weights: &Weights) -> Model {
    Model { vision: vision(config, weights), decoder: decoder(config, weights) }
}

fn site<const N: usize>(weights: &Weights, id: SiteId, norm: Option<Norm>, linears: [Linear; N]) -> Site<N> {
    Site { id, norm, rotation: weights.rotation(id), split: None, input: weights.input(id), linears }
}

fn linear(weights: &Weights, name: &str) -> Linear {
    Linear { bias: Some(weights.vector(&format!("{name}.bias"))), ..unbiased(weights, name) }
}

fn unbiased(weights: &Weights, name: &str) -> Linear {
    Linear { weight: weights.weight(&format!("{name}.weight")), bias: None, side: None }
}

/// A fused query-key-value projection as three linears.
fn thirds(weights: &Weights, name: &str, outputs: usize) -> [Linear; 3] {
    let bias = weights.vector(&format!("{name}.bias"));
    [0, 1, 2].map(|i| {
        let rows = i * outputs..(i + 1) * outputs;
        let bias = Some(bias[rows.clone()].to_vec());
        Linear { weight: weights.weight_rows(&format!("{name}.weight"), rows), bias, side: None }
    })
}

fn layer_norm(weights: &Weights, name: &str, repeat: usize) -> Option<Norm> {
    let kind = NormKind::Layer { bias: weights.vector(&format!("{name}.bias")) };
    Some(Norm { kind, gain: weights.vector(&format!("{name}.weight")), eps: VISION_EPS, repeat })
}

fn vision(config: &Config, weights: &Weights) -> Encoder {
    let v = &config.vision;
    let (tower, stream) = (Tower::Vision, Stream(Tower::Vision));
    let shape = HeadShape { heads: v.num_heads, kv_heads: v.num_heads, head_dim: v.head_dim() };
    let block = |i: usize| {
        let at = |name: &str| format!("vision.blocks.{i}.{name}");
        let id = |site| SiteId::Block(tower, i, site);
        let norm = |name: &str| layer_norm(weights, &at(name), 1);
        let load = |name: &str| linear(weights, &at(name));
        let qkv = thirds(weights, &at("attn.qkv"), v.embed_dim);
        let up = site(weights, id(BlockSite::Up), norm("norm2"), [load("mlp.fc1")]);
        Block {
            stream,
            qkv: site(weights, id(BlockSite::Qkv), norm("norm1"), qkv),
            attention: Attention { shape, visibility: Visibility::Full, products: weights.products(), block: i },
            out: site(weights, id(BlockSite::Out), None, [load("attn.proj")]),
            up: Up::Plain(up, Activation::QuickGelu),
            down: site(weights, id(BlockSite::Down), None, [load("mlp.fc2")]),
        }
    };
    let merge = v.spatial_merge_size * v.spatial_merge_size;
    let merger = |id, norm, name: &str| {
        site(weights, SiteId::Projector(id), norm, [linear(weights, &format!("vision.merger.{name}"))])
    };
    let patch = [unbiased(weights, "vision.patch_embed.proj")];
    Encoder {
        patch: PatchEmbed { stream, site: site(weights, SiteId::Patch(tower), None, patch) },
        rope: Rope::planar(v.head_dim(), v.rope_theta),
        blocks: (0..v.depth).map(block).collect(),
        projector: Projector {
            tower,
            up: merger(ProjectorSite::Up, layer_norm(weights, "vision.merger.ln_q", merge), "mlp.0"),
            activation: Activation::Gelu,
            down: merger(ProjectorSite::Down, None, "mlp.2"),
        },
    }
}

fn decoder(config: &Config, weights: &Weights) -> Decoder {
    let t = &config.text;
    let tower = Tower::Language;
    let rms = |name: &str| {
        let gain = weights.vector(&format!("{name}.weight"));
        Some(Norm { kind: NormKind::Rms, gain, eps: t.rms_norm_eps, repeat: 1 })
    };
    let shape = HeadShape { heads: t.num_attention_heads, kv_heads: t.num_key_value_heads, head_dim: t.head_dim() };
    let block = |i: usize| {
        let at = |name: &str| format!("language.layers.{i}.{name}");
        let id = |site| SiteId::Block(tower, i, site);
        let load = |name: &str| unbiased(weights, &at(name));
        let qkv = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].map(|name| linear(weights, &at(name)));
        let up = ["mlp.gate_proj", "mlp.up_proj"].map(load);
        let up = site(weights, id(BlockSite::Up), rms(&at("post_attention_layernorm")), up);
        Block {
            stream: Stream(tower),
            qkv: site(weights, id(BlockSite::Qkv), rms(&at("input_layernorm")), qkv),
            attention: Attention { shape, visibility: Visibility::Causal, products: weights.products(), block: i },
            out: site(weights, id(BlockSite::Out), None, [load("self_attn.o_proj")]),
            up: Up::Gated(up, Activation::Silu),
            down: site(weights, id(BlockSite::Down), None, [load("mlp.down_proj")]),
        }
    };
    let head = Linear { weight: weights.weight(HEAD), bias: None, side: None };
    Decoder {
        embedding: Embedding(weights.table(EMBEDDING)),
        rope: Rope::multimodal(t.head_dim(), t.rope_theta, &t.mrope_section),
        blocks: (0..t.num_hidden_layers).map(block).collect(),
        head: Head(site(weights, SiteId::Head, rms("language.norm"), [head])),
        kv_cache: weights.kv_cache(),
    }
}
