//! The audio tower's parts, float or integer alike.

use mquant_kernels::{Activation, HeadShape};

use super::config::AudioConfig;
use crate::bundle::{NormShape, Weights};
use crate::nn::{
    Attention, AudioEmbed, Block, Encoder, Layer, PartId, PooledProjector, SiteId, SiteKind, Stream, Tower, Up,
    Visibility,
};

// The tower's LayerNorms: a constant of the published code, not a field of the configuration.
const EPS: f32 = 1e-5;

/// x = gelu(conv2(gelu(conv1 frames))) + positions; x += out(attend(qkv(norm x))) within chunks; x += down(gelu(up(norm x))); at
/// the end proj(norm(mean of two rows)).
pub(super) fn tower(a: &AudioConfig, weights: &Weights) -> Encoder {
    let (tower, stream) = (Tower::Audio, Stream(Tower::Audio));
    let heads = a.encoder_attention_heads;
    let heads = HeadShape { heads, kv_heads: heads, head_dim: a.d_model / heads };
    let norm = NormShape { eps: EPS, repeat: 1 };
    let block = |i: usize| -> Box<dyn Layer> {
        let id = |kind| SiteId::block(tower, i, kind);
        Box::new(Block {
            stream,
            qkv: weights.normed_site(id(SiteKind::Qkv), norm),
            attention: Attention {
                shape: heads,
                head_norms: None,
                visibility: Visibility::Window,
                products: weights.products(),
                block: i,
            },
            out: weights.site(id(SiteKind::Out)),
            up: Up::Plain(weights.normed_site(id(SiteKind::Up), norm), Activation::Gelu),
            down: weights.site(id(SiteKind::Down)),
            deepstack: None,
        })
    };
    let mut layers: Vec<Box<dyn Layer>> = vec![Box::new(AudioEmbed {
        stream,
        conv1: weights.site(SiteId::conv(tower, SiteKind::Conv1)),
        conv2: weights.site(SiteId::conv(tower, SiteKind::Conv2)),
        activation: Activation::Gelu,
        map: weights.map(PartId::patch(tower)),
    })];
    layers.extend((0..a.encoder_layers).map(block));
    let proj = weights.normed_site(SiteId::projector(tower, SiteKind::Up), norm);
    layers.push(Box::new(PooledProjector { tower, proj }));
    Encoder { tower, heads, layers }
}
