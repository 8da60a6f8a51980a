//! The decoder's parts.

use mquant_kernels::{Activation, HeadShape};

use super::config::{Generation, TextConfig};
use super::tensors::EMBEDDING;
use crate::bundle::{NormShape, Weights};
use crate::nn::{
    Attention, Block, Decoder, Embedding, Head, Layer, PartId, Rope, SiteId, SiteKind, Stream, Tower, Up, Visibility,
};

/// x += out(attend(qkv(norm x))); x += down(silu(gate(norm x)) · up(norm x)); at the end head(norm x).
/// Behind each of the first `deepstack_levels` blocks, x += the media features of its level.
pub(in crate::models) fn decoder(t: &TextConfig, deepstack_levels: usize, weights: &Weights) -> Decoder {
    let norm = NormShape { eps: t.rms_norm_eps, repeat: 1 };
    let heads = HeadShape { heads: t.num_attention_heads, kv_heads: t.num_key_value_heads, head_dim: t.head_dim };
    let block = |i: usize| -> Box<dyn Layer> {
        let id = |kind| SiteId::block(Tower::Language, i, kind);
        let visibility = Visibility::Causal;
        let head_norms = (t.generation == Generation::Qwen3)
            .then(|| weights.head_norms(PartId::block(Tower::Language, i), t.rms_norm_eps));
        Box::new(Block {
            stream: Stream(Tower::Language),
            qkv: weights.normed_site(id(SiteKind::Qkv), norm),
            attention: Attention { shape: heads, head_norms, visibility, products: weights.products(), block: i },
            out: weights.site(id(SiteKind::Out)),
            up: Up::Gated(weights.normed_site(id(SiteKind::Up), norm), Activation::Silu),
            down: weights.site(id(SiteKind::Down)),
            deepstack: (i < deepstack_levels).then_some(i),
        })
    };
    Decoder {
        embedding: Embedding(weights.table(EMBEDDING)),
        rope: match t.generation {
            Generation::Qwen2 => Rope::multimodal(t.head_dim, t.rope_theta, &t.mrope_section),
            Generation::Qwen3 => Rope::interleaved(t.head_dim, t.rope_theta, &t.mrope_section),
        },
        heads,
        layers: (0..t.num_hidden_layers).map(block).collect(),
        head: Head(weights.normed_site(SiteId::HEAD, norm)),
        kv_cache: weights.kv_cache(),
    }
}
