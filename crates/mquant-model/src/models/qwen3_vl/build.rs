//! The vision tower's parts, float or integer alike.

use mquant_kernels::{Activation, HeadShape};

use super::config::Config;
use super::tensors::POSITIONS;
use crate::bundle::{NormShape, Weights};
use crate::nn::{
    Attention, Block, Encoder, Layer, PartId, PatchEmbed, Projector, SiteId, SiteKind, Stream, Tower, Up, Visibility,
};

// The tower's LayerNorms: a constant of the published code, not a field of the configuration.
const EPS: f32 = 1e-6;

/// x = patch(pixels) + positions; x += out(attend(qkv(norm x))); x += down(gelu_tanh(up(norm x))), behind some blocks
/// down(gelu(up(norm of 2×2 patches side by side))) for the decoder's blocks; at the end, on 2×2 normed patches side by side,
/// down(gelu(up x)).
pub(super) fn vision(config: &Config, weights: &Weights) -> Encoder {
    let v = &config.vision;
    let (tower, stream) = (Tower::Vision, Stream(Tower::Vision));
    let heads = HeadShape { heads: v.num_heads, kv_heads: v.num_heads, head_dim: v.head_dim() };
    let norm = NormShape { eps: EPS, repeat: 1 };
    let merged = v.spatial_merge_size * v.spatial_merge_size;
    let block = |i: usize| Block {
        stream,
        qkv: weights.normed_site(SiteId::block(tower, i, SiteKind::Qkv), norm),
        attention: Attention {
            shape: heads,
            head_norms: None,
            visibility: Visibility::Full,
            products: weights.products(),
            block: i,
        },
        out: weights.site(SiteId::block(tower, i, SiteKind::Out)),
        up: Up::Plain(weights.normed_site(SiteId::block(tower, i, SiteKind::Up), norm), Activation::GeluTanh),
        down: weights.site(SiteId::block(tower, i, SiteKind::Down)),
        deepstack: None,
    };
    let merger = |part: PartId, norm| Projector {
        tower,
        merged,
        up: weights.normed_site(SiteId { part, kind: SiteKind::Up }, norm),
        activation: Activation::Gelu,
        down: weights.site(SiteId { part, kind: SiteKind::Down }),
    };
    let patch =
        PatchEmbed { stream, site: weights.site(SiteId::patch(tower)), positions: Some(weights.table(POSITIONS)) };
    let mut layers: Vec<Box<dyn Layer>> = vec![Box::new(patch)];
    for i in 0..v.depth {
        layers.push(Box::new(block(i)));
        if let Some(level) = v.deepstack_level(i) {
            layers.push(Box::new(merger(PartId::deepstack(tower, level), norm)));
        }
    }
    layers.push(Box::new(merger(PartId::projector(tower), NormShape { repeat: merged, ..norm })));
    Encoder { tower, heads, layers }
}
