//! A tower that turns media into rows of the decoder's stream.

use mquant_kernels::{HeadShape, Rows};

use super::part::{Layer, Part};
use super::{ForwardContext, Tower};

/// Layers in the order they run: patches are embedded, pass the blocks, and are projected into the decoder's stream.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// Which tower this is.
    pub tower: Tower,
    /// Heads of its blocks.
    pub heads: HeadShape,
    /// In order.
    pub layers: Vec<Box<dyn Layer>>,
}

impl Encoder {
    /// `rows`: what enters × values; result tokens × decoder features, those of branches behind them side by side.
    pub fn forward(&self, rows: Rows, cx: &mut ForwardContext<'_>) -> Rows {
        let (mut x, mut branches) = (rows, Vec::new());
        for layer in &self.layers {
            if layer.is_branch() {
                branches.push(layer.forward(x.clone(), cx));
            } else {
                x = layer.forward(x, cx);
            }
        }
        side_by_side(x, &branches)
    }

    /// Its parts, in the order they run.
    pub fn parts(&mut self) -> Vec<&mut dyn Part> {
        self.layers.iter_mut().map(|layer| &mut **layer as &mut dyn Part).collect()
    }
}

/// Rows with the rows of `more` behind them, feature by feature.
pub fn side_by_side(first: Rows, more: &[Rows]) -> Rows {
    if more.is_empty() {
        return first;
    }
    let features = first.features() + more.iter().map(Rows::features).sum::<usize>();
    let mut values = Vec::with_capacity(first.rows() * features);
    for row in 0..first.rows() {
        values.extend_from_slice(first.row(row));
        more.iter().for_each(|rows| values.extend_from_slice(rows.row(row)));
    }
    Rows::from_vec(values, features)
}
