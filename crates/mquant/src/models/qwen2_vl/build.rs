//! From checked weights to parts, float or integer alike.

use mquant_kernels::{Activation, HeadShape};

use super::super::Model;
use super::config::Config;
use super::tensors::EMBEDDING;
use crate::bundle::{NormFormat, Weights};
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
    Site { id, norm, rotation: weights.rotation(id), split: weights.split(id), input: weights.input(id), linears }
}

/// A fused query-key-value projection as three linears.
fn thirds(weights: &Weights, name: &str, outputs: usize) -> [Linear; 3] {
    [0, 1, 2].map(|i| weights.linear_rows(name, i * outputs..(i + 1) * outputs))
}

/// What a family knows of a norm beside its tensors.
struct NormShape {
    features: usize,
    eps: f32,
    repeat: usize,
}

/// The norm in front of a site: as `published`, by kind and gain, or what a bundle has in its place.
fn norm(
    weights: &Weights,
    id: SiteId,
    shape: &NormShape,
    published: impl FnOnce() -> (NormKind, Vec<f32>),
) -> Option<Norm> {
    let NormShape { features, eps, repeat } = *shape;
    let (kind, gain) = match weights.norm(id) {
        NormFormat::Published => published(),
        NormFormat::Rms => (NormKind::Rms, vec![1.0; features]),
    };
    Some(Norm { kind, gain, eps, repeat })
}

fn layer_norm(weights: &Weights, id: SiteId, name: &str, shape: &NormShape) -> Option<Norm> {
    let value = |value: &str| weights.vector(&format!("{name}.{value}"));
    norm(weights, id, shape, || (NormKind::Layer { bias: value("bias") }, value("weight")))
}

fn rms_norm(weights: &Weights, id: SiteId, name: &str, shape: &NormShape) -> Option<Norm> {
    norm(weights, id, shape, || (NormKind::Rms, weights.vector(&format!("{name}.weight"))))
}

fn vision(config: &Config, weights: &Weights) -> Encoder {
    let v = &config.vision;
    let (tower, stream) = (Tower::Vision, Stream(Tower::Vision));
    let shape = HeadShape { heads: v.num_heads, kv_heads: v.num_heads, head_dim: v.head_dim() };
    let stream_norm = NormShape { features: v.embed_dim, eps: VISION_EPS, repeat: 1 };
    let block = |i: usize| {
        let at = |name: &str| format!("vision.blocks.{i}.{name}");
        let id = |site| SiteId::Block(tower, i, site);
        let norm = |site, name: &str| layer_norm(weights, id(site), &at(name), &stream_norm);
        let load = |name: &str| weights.linear(&at(name));
        let qkv = thirds(weights, &at("attn.qkv"), v.embed_dim);
        let up = site(weights, id(BlockSite::Up), norm(BlockSite::Up, "norm2"), [load("mlp.fc1")]);
        Block {
            stream,
            qkv: site(weights, id(BlockSite::Qkv), norm(BlockSite::Qkv, "norm1"), qkv),
            attention: Attention { shape, visibility: Visibility::Full, products: weights.products(), block: i },
            out: site(weights, id(BlockSite::Out), None, [load("attn.proj")]),
            up: Up::Plain(up, Activation::QuickGelu),
            down: site(weights, id(BlockSite::Down), None, [load("mlp.fc2")]),
        }
    };
    let merge = v.spatial_merge_size * v.spatial_merge_size;
    let merger = |id, norm, name: &str| {
        site(weights, SiteId::Projector(id), norm, [weights.linear(&format!("vision.merger.{name}"))])
    };
    let merged_norm = NormShape { repeat: merge, ..stream_norm };
    let merged_norm = layer_norm(weights, SiteId::Projector(ProjectorSite::Up), "vision.merger.ln_q", &merged_norm);
    let patch = [weights.linear("vision.patch_embed.proj")];
    Encoder {
        patch: PatchEmbed { stream, site: site(weights, SiteId::Patch(tower), None, patch) },
        rope: Rope::planar(v.head_dim(), v.rope_theta),
        blocks: (0..v.depth).map(block).collect(),
        projector: Projector {
            tower,
            up: merger(ProjectorSite::Up, merged_norm, "mlp.0"),
            activation: Activation::Gelu,
            down: merger(ProjectorSite::Down, None, "mlp.2"),
        },
    }
}

fn decoder(config: &Config, weights: &Weights) -> Decoder {
    let t = &config.text;
    let tower = Tower::Language;
    let stream_norm = NormShape { features: t.hidden_size, eps: t.rms_norm_eps, repeat: 1 };
    let rms = |id, name: &str| rms_norm(weights, id, name, &stream_norm);
    let shape = HeadShape { heads: t.num_attention_heads, kv_heads: t.num_key_value_heads, head_dim: t.head_dim() };
    let block = |i: usize| {
        let at = |name: &str| format!("language.layers.{i}.{name}");
        let id = |site| SiteId::Block(tower, i, site);
        let load = |name: &str| weights.linear(&at(name));
        let qkv = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].map(load);
        let up = ["mlp.gate_proj", "mlp.up_proj"].map(load);
        let up = site(weights, id(BlockSite::Up), rms(id(BlockSite::Up), &at("post_attention_layernorm")), up);
        Block {
            stream: Stream(tower),
            qkv: site(weights, id(BlockSite::Qkv), rms(id(BlockSite::Qkv), &at("input_layernorm")), qkv),
            attention: Attention { shape, visibility: Visibility::Causal, products: weights.products(), block: i },
            out: site(weights, id(BlockSite::Out), None, [load("self_attn.o_proj")]),
            up: Up::Gated(up, Activation::Silu),
            down: site(weights, id(BlockSite::Down), None, [load("mlp.down_proj")]),
        }
    };
    let head = site(weights, SiteId::Head, rms(SiteId::Head, "language.norm"), [weights.linear("lm_head")]);
    Decoder {
        embedding: Embedding(weights.table(EMBEDDING)),
        rope: Rope::multimodal(t.head_dim(), t.rope_theta, &t.mrope_section),
        blocks: (0..t.num_hidden_layers).map(block).collect(),
        head: Head(head),
        kv_cache: weights.kv_cache(),
    }
}
