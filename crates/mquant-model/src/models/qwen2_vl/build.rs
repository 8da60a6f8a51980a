//! The vision tower's parts, float or integer alike.

use mquant_kernels::{Activation, HeadShape};

use super::config::Config;
use crate::bundle::{NormShape, Weights};
use crate::nn::{
    Attention, Block, Encoder, Layer, PatchEmbed, Projector, SiteId, SiteKind, Stream, Tower, Up, Visibility,
};

// The towers' LayerNorms: a constant of the published code, not a field of the configuration.
const EPS: f32 = 1e-6;

/// x = patch(pixels); x += out(attend(qkv(norm x))); x += down(quick_gelu(up(norm x))); at the end, on 2×2 normed patches side
/// by side, down(gelu(up x)).
pub(super) fn vision(config: &Config, weights: &Weights) -> Encoder {
    let v = &config.vision;
    let (tower, stream) = (Tower::Vision, Stream(Tower::Vision));
    let heads = HeadShape { heads: v.num_heads, kv_heads: v.num_heads, head_dim: v.head_dim() };
    let norm = NormShape { eps: EPS, repeat: 1 };
    let block = |i: usize| -> Box<dyn Layer> {
        let id = |kind| SiteId::block(tower, i, kind);
        Box::new(Block {
            stream,
            qkv: weights.normed_site(id(SiteKind::Qkv), norm),
            attention: Attention {
                shape: heads,
                head_norms: None,
                visibility: Visibility::Full,
                products: weights.products(),
                block: i,
            },
            out: weights.site(id(SiteKind::Out)),
            up: Up::Plain(weights.normed_site(id(SiteKind::Up), norm), Activation::QuickGelu),
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
