//! From a tower's stream to the decoder's.

use mquant_kernels::{Activation, Rows, SiteInput};

use super::mlp::Hidden;
use super::part::{Layer, Part, Reader, SiteMut, Stream, Writer};
use super::{ForwardContext, PartId, Site, Stage, Tower};

/// y = down(f(up(norm x))) of `merged` rows side by side, each normed by itself (Qwen2-VL's merger) or all as one row (the
/// deepstack mergers of Qwen3-VL), as the norm's `repeat` says.
#[derive(Clone, Debug)]
pub struct Projector {
    /// Whose stream it reads.
    pub tower: Tower,
    /// Rows that become one: a merger's k².
    pub merged: usize,
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
        let normed_at_once = self.merged / self.up.norm.as_ref().map_or(1, |norm| norm.repeat);
        let features = x.features() * normed_at_once;
        let x = Rows::from_vec(x.into_vec(), features);
        cx.merging(self.merged, |cx| {
            Hidden::plain(&self.up, self.activation, &self.down, SiteInput::Rows(&x), cx).through(&self.down, cx)
        })
    }

    fn is_branch(&self) -> bool {
        matches!(self.up.id.part.stage, Stage::Deepstack(_))
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
