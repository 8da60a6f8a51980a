//! Keys and values of one sequence, by original position.

use std::ops::Range;

use mquant_kernels::{Backend, HeadShape, KeyValues, KvCodes, Rows};

use super::CacheFormat;

/// Keys and values of one block.
#[derive(Clone, Debug)]
enum Layer {
    Float { keys: Vec<f32>, values: Vec<f32> },
    Codes(KvCodes),
}

/// What the blocks of a decoder remember of one sequence. Entry `i` of a layer belongs to the token at index `i`, in
/// whatever order the tokens were computed.
#[derive(Clone, Debug)]
pub struct KvCache {
    layers: Vec<Layer>,
    features: usize,
}

impl KvCache {
    /// An empty cache of `layers` blocks whose attention has these heads.
    pub fn new(format: CacheFormat, layers: usize, heads: HeadShape) -> Self {
        let features = heads.kv_heads * heads.head_dim;
        let layer = match format {
            CacheFormat::Float => Layer::Float { keys: Vec::new(), values: Vec::new() },
            CacheFormat::Codes => Layer::Codes(KvCodes::new(features, heads.head_dim)),
        };
        Self { layers: vec![layer; layers], features }
    }

    /// Tokens remembered.
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, |layer| match layer {
            Layer::Float { keys, .. } => keys.len() / self.features,
            Layer::Codes(codes) => codes.len(),
        })
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the remembered tokens.
    pub fn byte_len(&self) -> usize {
        let of = |layer: &Layer| match layer {
            Layer::Float { keys, values } => size_of_val(&**keys) + size_of_val(&**values),
            Layer::Codes(codes) => codes.byte_len(),
        };
        self.layers.iter().map(of).sum()
    }

    /// Makes room for `tokens` more at once.
    pub fn reserve(&mut self, tokens: usize) {
        for layer in &mut self.layers {
            match layer {
                Layer::Float { keys, values } => {
                    keys.reserve_exact(tokens * self.features);
                    values.reserve_exact(tokens * self.features);
                }
                Layer::Codes(codes) => codes.reserve(tokens),
            }
        }
    }

    /// Forgets all but the first `tokens` tokens.
    pub fn truncate(&mut self, tokens: usize) {
        for layer in &mut self.layers {
            match layer {
                Layer::Float { keys, values } => {
                    keys.truncate(tokens * self.features);
                    values.truncate(tokens * self.features);
                }
                Layer::Codes(codes) => codes.truncate(tokens),
            }
        }
    }

    /// Stores rows `rows` of `k` and `v`, each at its index in `order`.
    pub(super) fn store(
        &mut self,
        backend: &dyn Backend,
        layer: usize,
        (k, v): (&Rows, &Rows),
        rows: Range<usize>,
        order: &[u32],
    ) {
        let features = self.features;
        match &mut self.layers[layer] {
            Layer::Float { keys, values } => {
                let end = rows.clone().map(|r| order[r] as usize + 1).max().unwrap_or(0) * features;
                for (kept, new) in [(keys, k), (values, v)] {
                    if kept.len() < end {
                        kept.resize(end, 0.0);
                    }
                    for row in rows.clone() {
                        let at = order[row] as usize * features;
                        kept[at..at + features].copy_from_slice(new.row(row));
                    }
                }
            }
            Layer::Codes(codes) => backend.store(codes, k, v, rows, order),
        }
    }

    /// Keys and values of a block: tokens × features each.
    pub(super) fn layer(&self, layer: usize) -> KeyValues<'_> {
        match &self.layers[layer] {
            Layer::Float { keys, values } => KeyValues::Float { keys, values },
            Layer::Codes(codes) => KeyValues::Codes(codes),
        }
    }
}
