//! From a tower's stream to the decoder's.

use mquant_kernels::{Activation, Rows, SiteInput};

use super::mlp::Hidden;
use super::part::{Layer, Part, Reader, SiteMut, Stream, Writer};
use super::{ForwardContext, PartId, Site, Tower};

/// y = down(f(up(norm x))), the norm regrouping k² patches to one row (Qwen2-VL's merger).
#[derive(Clone, Debug)]
pub struct Projector {
    /// Whose stream it reads.
    pub tower: Tower,
    /// Norm and first projection.
    pub up: Site<1>,
    /// Between the two.
    pub activation: Activation,
    /// Second projection.
    pub down: Site<1>,
}

impl Layer for Projector {
    /// Patches × tower features in, tokens × decoder features out.
    fn forward(&self, x: Rows, cx: &mut ForwardContext<'_>) -> Rows {
        let merged = self.up.norm.as_ref().map_or(1, |norm| norm.repeat);
        cx.merging(merged, |cx| {
            Hidden::plain(&self.up, self.activation, &self.down, SiteInput::Rows(&x), cx).through(&self.down, cx)
        })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl Part for Projector {
    fn id(&self) -> PartId {
        self.up.id.part
    }

    fn sites(&mut self) -> Vec<SiteMut<'_>> {
        vec![SiteMut::of(&mut self.up), SiteMut::of(&mut self.down)]
    }

    fn readers(&mut self) -> Vec<Reader<'_>> {
        vec![Reader { stream: Stream(self.tower), site: SiteMut::of(&mut self.up) }]
    }

    fn writers(&mut self) -> Vec<Writer<'_>> {
        let [down] = &mut self.down.linears;
        vec![Writer::linear(Stream(Tower::Language), down)]
    }
}
