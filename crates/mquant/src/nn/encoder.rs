//! A tower that turns media into rows of the decoder's stream.

use mquant_kernels::{Rows, Source};

use super::part::{Part, Reader, ScalePair, SiteMut, Stream, Writer};
use super::{Block, Cx, Projector, Rope, Site};

/// Patches are embedded, pass the blocks, and are projected into the decoder's stream.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// Patch embedding.
    pub patch: PatchEmbed,
    /// Positions of the blocks.
    pub rope: Rope,
    /// In order.
    pub blocks: Vec<Block>,
    /// Into the decoder's stream.
    pub projector: Projector,
}

/// The linear that turns pixels of a patch into a row of the tower's stream (a convolution whose stride is its size).
#[derive(Clone, Debug)]
pub struct PatchEmbed {
    /// Which stream it begins.
    pub stream: Stream,
    /// The linear.
    pub site: Site<1>,
}

impl Encoder {
    /// `patches`: rows × pixel values; result tokens × decoder features.
    pub fn forward(&self, patches: &Rows, cx: &mut Cx<'_>) -> Rows {
        let mut x = self.patch.site.one(Source::Rows(patches), cx);
        for block in &self.blocks {
            block.forward(&mut x, cx);
        }
        self.projector.forward(&x, cx)
    }

    /// Its parts, in the order they run.
    pub fn parts(&mut self) -> Vec<&mut dyn Part> {
        let blocks = self.blocks.iter_mut().map(|b| b as &mut dyn Part);
        std::iter::once(&mut self.patch as &mut dyn Part)
            .chain(blocks)
            .chain([&mut self.projector as &mut dyn Part])
            .collect()
    }
}

impl Part for PatchEmbed {
    fn sites(&mut self) -> Vec<SiteMut<'_>> {
        vec![SiteMut::of(&mut self.site)]
    }

    fn readers(&mut self) -> Vec<Reader<'_>> {
        Vec::new()
    }

    fn writers(&mut self) -> Vec<Writer<'_>> {
        let [linear] = &mut self.site.linears;
        vec![Writer::linear(self.stream, linear)]
    }

    fn pairs(&mut self) -> Vec<ScalePair<'_>> {
        Vec::new()
    }
}
