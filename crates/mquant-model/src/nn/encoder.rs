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
    /// `patches`: rows × pixel values; result tokens × decoder features.
    pub fn forward(&self, patches: Rows, cx: &mut ForwardContext<'_>) -> Rows {
        self.layers.iter().fold(patches, |x, layer| layer.forward(x, cx))
    }

    /// Its parts, in the order they run.
    pub fn parts(&mut self) -> Vec<&mut dyn Part> {
        self.layers.iter_mut().map(|layer| &mut **layer as &mut dyn Part).collect()
    }
}
