//! The pre-norm transformer block of towers and decoders.

use mquant_kernels::{Rows, SiteInput};

use super::mlp::Hidden;
use super::part::{Layer, Part, Reader, ScalePair, SiteMut, Stream, Writer};
use super::{Attention, ForwardContext, PartId, Site, Up};

/// x += out(attend(qkv(norm x))); x += down(f(up(norm x))); x += the media features of a level, where it has one.
#[derive(Clone, Debug)]
pub struct Block {
    /// Which residual stream it reads and writes.
    pub stream: Stream,
    /// Query, key, value.
    pub qkv: Site<3>,
    /// Between `qkv` and `out`.
    pub attention: Attention,
    /// Output projection.
    pub out: Site<1>,
    /// Up to the activation.
    pub up: Up,
    /// Last projection.
    pub down: Site<1>,
    /// Level of the media features that are added behind it.
    pub deepstack: Option<usize>,
}

impl Layer for Block {
    /// `x`: rows × stream features; the same with the block's two branches added.
    fn forward(&self, mut x: Rows, cx: &mut ForwardContext<'_>) -> Rows {
        let [q, k, v] = self.qkv.forward(SiteInput::Rows(&x), cx);
        let a = self.attention.forward(q, k, v, cx);
        self.out.add_to(SiteInput::Rows(&a), &mut x, cx);
        Hidden::of(&self.up, &self.down, &x, cx).add_through(&self.down, &mut x, cx);
        if let Some(level) = self.deepstack {
            cx.pass.deepstack.add(level, &mut x);
        }
        x
    }

    fn block(&self) -> Option<&Block> {
        Some(self)
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl Part for Block {
    fn id(&self) -> PartId {
        self.qkv.id.part
    }

    fn sites(&mut self) -> Vec<SiteMut<'_>> {
        vec![SiteMut::of(&mut self.qkv), SiteMut::of(&mut self.out), up_site(&mut self.up), SiteMut::of(&mut self.down)]
    }

    fn attention(&mut self) -> Option<&mut Attention> {
        Some(&mut self.attention)
    }

    fn readers(&mut self) -> Vec<Reader<'_>> {
        let stream = self.stream;
        vec![Reader { stream, site: SiteMut::of(&mut self.qkv) }, Reader { stream, site: up_site(&mut self.up) }]
    }

    fn writers(&mut self) -> Vec<Writer<'_>> {
        let stream = self.stream;
        let [out] = &mut self.out.linears;
        let [down] = &mut self.down.linears;
        vec![Writer::linear(stream, out), Writer::linear(stream, down)]
    }

    fn pairs(&mut self) -> Vec<ScalePair<'_>> {
        let shape = self.attention.shape;
        let [_, _, v] = &mut self.qkv.linears;
        let value = ScalePair { producer: v, consumer: SiteMut::of(&mut self.out), fan: Some(shape) };
        // Only the ungated factor passes a scale through unchanged: the activation function is not homogeneous.
        match &mut self.up {
            Up::Gated(site, _) => {
                let [_, up] = &mut site.linears;
                vec![value, ScalePair { producer: up, consumer: SiteMut::of(&mut self.down), fan: None }]
            }
            Up::Plain(..) => vec![value],
        }
    }
}

fn up_site(up: &mut Up) -> SiteMut<'_> {
    match up {
        Up::Gated(site, _) => SiteMut::of(site),
        Up::Plain(site, _) => SiteMut::of(site),
    }
}
