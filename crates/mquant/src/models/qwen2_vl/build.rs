//! From checked tensors to parts.

use mquant_kernels::{Activation, HeadShape, Matrix, Products};

use super::super::Model;
use super::config::Config;
use crate::checkpoint::Tensors;
use crate::nn::{
    Attention, Block, BlockSite, Decoder, Embedding, Encoder, Head, InputQuant, Linear, Norm, NormKind, PatchEmbed,
    Projector, ProjectorSite, Rope, Site, SiteId, Stream, Tower, Up, Visibility, Weight,
};

// The towers' LayerNorms: a constant of the published code, not a field of the configuration.
const VISION_EPS: f32 = 1e-6;

/// All parts of a model.
pub(super) fn model(config: &Config, tensors: &Tensors) -> Model {
    Model { vision: vision(config, tensors), decoder: decoder(config, tensors) }
}

fn linear(tensors: &Tensors, name: &str) -> Linear {
    Linear { bias: Some(tensors.vector(&format!("{name}.bias"))), ..unbiased(tensors, name) }
}

fn unbiased(tensors: &Tensors, name: &str) -> Linear {
    Linear { weight: Weight::Float(tensors.matrix(&format!("{name}.weight"))), bias: None }
}

fn layer_norm(tensors: &Tensors, name: &str, repeat: usize) -> Option<Norm> {
    let kind = NormKind::Layer { bias: tensors.vector(&format!("{name}.bias")) };
    Some(Norm { kind, gain: tensors.vector(&format!("{name}.weight")), eps: VISION_EPS, repeat })
}

fn vision(config: &Config, tensors: &Tensors) -> Encoder {
    let v = &config.vision;
    let (tower, stream) = (Tower::Vision, Stream(Tower::Vision));
    let shape = HeadShape { heads: v.num_heads, kv_heads: v.num_heads, head_dim: v.head_dim() };
    let block = |i: usize| {
        let at = |name: &str| format!("vision.blocks.{i}.{name}");
        let id = |site| SiteId::Block(tower, i, site);
        let fused = linear(tensors, &at("attn.qkv"));
        Block {
            stream,
            qkv: Site {
                id: id(BlockSite::Qkv),
                norm: layer_norm(tensors, &at("norm1"), 1),
                rotation: None,
                input: InputQuant::Float,
                linears: thirds(&fused),
            },
            attention: Attention { shape, visibility: Visibility::Full, products: Products::F32, block: i },
            out: Site {
                id: id(BlockSite::Out),
                norm: None,
                rotation: None,
                input: InputQuant::Float,
                linears: [linear(tensors, &at("attn.proj"))],
            },
            up: Up::Plain(
                Site {
                    id: id(BlockSite::Up),
                    norm: layer_norm(tensors, &at("norm2"), 1),
                    rotation: None,
                    input: InputQuant::Float,
                    linears: [linear(tensors, &at("mlp.fc1"))],
                },
                Activation::QuickGelu,
            ),
            down: Site {
                id: id(BlockSite::Down),
                norm: None,
                rotation: None,
                input: InputQuant::Float,
                linears: [linear(tensors, &at("mlp.fc2"))],
            },
        }
    };
    let merge = v.spatial_merge_size * v.spatial_merge_size;
    Encoder {
        patch: PatchEmbed {
            stream,
            site: Site {
                id: SiteId::Patch(tower),
                norm: None,
                rotation: None,
                input: InputQuant::Float,
                linears: [unbiased(tensors, "vision.patch_embed.proj")],
            },
        },
        rope: Rope::planar(v.head_dim(), v.rope_theta),
        blocks: (0..v.depth).map(block).collect(),
        projector: Projector {
            tower,
            up: Site {
                id: SiteId::Projector(ProjectorSite::Up),
                norm: layer_norm(tensors, "vision.merger.ln_q", merge),
                rotation: None,
                input: InputQuant::Float,
                linears: [linear(tensors, "vision.merger.mlp.0")],
            },
            activation: Activation::Gelu,
            down: Site {
                id: SiteId::Projector(ProjectorSite::Down),
                norm: None,
                rotation: None,
                input: InputQuant::Float,
                linears: [linear(tensors, "vision.merger.mlp.2")],
            },
        },
    }
}

/// A fused query-key-value projection as three linears that share its storage.
fn thirds(fused: &Linear) -> [Linear; 3] {
    let weight = fused.weight.float().expect("float");
    let n = weight.rows() / 3;
    [0, 1, 2].map(|i| Linear {
        weight: Weight::Float(weight.row_range(i * n..(i + 1) * n)),
        bias: fused.bias.as_ref().map(|b| b[i * n..(i + 1) * n].to_vec()),
    })
}

fn decoder(config: &Config, tensors: &Tensors) -> Decoder {
    let t = &config.text;
    let tower = Tower::Language;
    let rms = |name: &str| {
        Some(Norm {
            kind: NormKind::Rms,
            gain: tensors.vector(&format!("{name}.weight")),
            eps: t.rms_norm_eps,
            repeat: 1,
        })
    };
    let shape = HeadShape { heads: t.num_attention_heads, kv_heads: t.num_key_value_heads, head_dim: t.head_dim() };
    let block = |i: usize| {
        let at = |name: &str| format!("language.layers.{i}.{name}");
        let id = |site| SiteId::Block(tower, i, site);
        let load = |name: &str| unbiased(tensors, &at(name));
        Block {
            stream: Stream(tower),
            qkv: Site {
                id: id(BlockSite::Qkv),
                norm: rms(&at("input_layernorm")),
                rotation: None,
                input: InputQuant::Float,
                linears: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]
                    .map(|name| linear(tensors, &at(name))),
            },
            attention: Attention { shape, visibility: Visibility::Causal, products: Products::F32, block: i },
            out: Site {
                id: id(BlockSite::Out),
                norm: None,
                rotation: None,
                input: InputQuant::Float,
                linears: [load("self_attn.o_proj")],
            },
            up: Up::Gated(
                Site {
                    id: id(BlockSite::Up),
                    norm: rms(&at("post_attention_layernorm")),
                    rotation: None,
                    input: InputQuant::Float,
                    linears: ["mlp.gate_proj", "mlp.up_proj"].map(load),
                },
                Activation::Silu,
            ),
            down: Site {
                id: id(BlockSite::Down),
                norm: None,
                rotation: None,
                input: InputQuant::Float,
                linears: [load("mlp.down_proj")],
            },
        }
    };
    let embedding = tensors.matrix("language.embed_tokens.weight");
    let untied = if t.tie_word_embeddings { None } else { tensors.optional_matrix("lm_head.weight") };
    let weight: Matrix = untied.unwrap_or_else(|| embedding.clone());
    Decoder {
        embedding: Embedding(embedding),
        rope: Rope::multimodal(t.head_dim(), t.rope_theta, &t.mrope_section),
        blocks: (0..t.num_hidden_layers).map(block).collect(),
        head: Head(Site {
            id: SiteId::Head,
            norm: rms("language.norm"),
            rotation: None,
            input: InputQuant::Float,
            linears: [Linear { weight: Weight::Float(weight), bias: None }],
        }),
    }
}
