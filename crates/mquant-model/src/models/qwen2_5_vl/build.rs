//! The vision tower's parts, float or integer alike.

use mquant_kernels::{Activation, HeadShape};

use super::config::VisionConfig;
use crate::bundle::{NormShape, Weights};
use crate::nn::{
    Attention, Block, Encoder, Layer, PatchEmbed, Projector, SiteId, SiteKind, Stream, Tower, Up, Visibility,
};

// The tower's RMSNorms: a constant of the published code, not a field of the configuration.
const EPS: f32 = 1e-6;

/// x = patch(pixels); x += out(attend(qkv(norm x))), within windows but for some blocks;
/// x += down(silu(gate(norm x)) · up(norm x)); at the end, on 2×2 normed patches side by side, down(gelu(up x)).
pub(in crate::models) fn vision(v: &VisionConfig, weights: &Weights) -> Encoder {
    let (tower, stream) = (Tower::Vision, Stream(Tower::Vision));
    let heads = HeadShape { heads: v.num_heads, kv_heads: v.num_heads, head_dim: v.head_dim() };
    let norm = NormShape { eps: EPS, repeat: 1 };
    let block = |i: usize| -> Box<dyn Layer> {
        let id = |kind| SiteId::block(tower, i, kind);
        let is_full = v.fullatt_block_indexes.contains(&i);
        let visibility = if is_full { Visibility::Full } else { Visibility::Window };
        Box::new(Block {
            stream,
            qkv: weights.normed_site(id(SiteKind::Qkv), norm),
            attention: Attention { shape: heads, head_norms: None, visibility, products: weights.products(), block: i },
            out: weights.site(id(SiteKind::Out)),
            up: Up::Gated(weights.normed_site(id(SiteKind::Up), norm), Activation::Silu),
            down: weights.site(id(SiteKind::Down)),
            deepstack: None,
        })
    };
    let merged_norm = NormShape { repeat: v.spatial_merge_size * v.spatial_merge_size, ..norm };
    let mut layers: Vec<Box<dyn Layer>> =
        vec![Box::new(PatchEmbed { stream, site: weights.site(SiteId::patch(tower)), positions: None })];
    layers.extend((0..v.depth).map(block));
    layers.push(Box::new(Projector {
        tower,
        merged: merged_norm.repeat,
        up: weights.normed_site(SiteId::projector(tower, SiteKind::Up), merged_norm),
        activation: Activation::Gelu,
        down: weights.site(SiteId::projector(tower, SiteKind::Down)),
    }));
    Encoder { tower, heads, layers }
}
