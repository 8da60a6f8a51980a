//! Keys and values of one sequence, by original position.

use std::ops::Range;

use mquant_kernels::Rows;

/// Keys and values of one block.
#[derive(Clone, Debug, Default)]
struct Layer {
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// What the blocks of a decoder remember of one sequence. Entry `i` of a layer belongs to the token at index `i`, in
/// whatever order the tokens were computed.
#[derive(Clone, Debug)]
pub struct KvCache {
    layers: Vec<Layer>,
    features: usize,
}

impl KvCache {
    /// An empty cache of `layers` blocks with `features` = kv_heads · head_dim.
    pub fn new(layers: usize, features: usize) -> Self {
        Self { layers: vec![Layer::default(); layers], features }
    }

    /// Tokens remembered.
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, |l| l.keys.len() / self.features)
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the remembered tokens.
    pub fn byte_len(&self) -> usize {
        self.layers.iter().map(|l| (l.keys.len() + l.values.len()) * size_of::<f32>()).sum()
    }

    /// Makes room for `tokens` more at once.
    pub fn reserve(&mut self, tokens: usize) {
        for layer in &mut self.layers {
            layer.keys.reserve_exact(tokens * self.features);
            layer.values.reserve_exact(tokens * self.features);
        }
    }

    /// Forgets all but the first `tokens` tokens.
    pub fn truncate(&mut self, tokens: usize) {
        for layer in &mut self.layers {
            layer.keys.truncate(tokens * self.features);
            layer.values.truncate(tokens * self.features);
        }
    }

    /// Stores rows `rows` of `k` and `v`, each at its index in `order`.
    pub(super) fn store(&mut self, layer: usize, k: &Rows, v: &Rows, rows: Range<usize>, order: &[u32]) {
        let layer = &mut self.layers[layer];
        let end = rows.clone().map(|r| order[r] as usize + 1).max().unwrap_or(0) * self.features;
        for (kept, new) in [(&mut layer.keys, k), (&mut layer.values, v)] {
            if kept.len() < end {
                kept.resize(end, 0.0);
            }
            for row in rows.clone() {
                let at = order[row] as usize * self.features;
                kept[at..at + self.features].copy_from_slice(new.row(row));
            }
        }
    }

    /// Keys and values of a block: tokens × features each.
    pub(super) fn layer(&self, layer: usize) -> (&[f32], &[f32]) {
        (&self.layers[layer].keys, &self.layers[layer].values)
    }
}
