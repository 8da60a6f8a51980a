//! The first layer of an encoder.

use mquant_kernels::{Rows, SiteInput};

use super::part::{Layer, Part, SiteMut, Stream, Writer};
use super::{ForwardContext, PartId, Site};

/// The linear that turns pixels of a patch into a row of the tower's stream (a convolution whose stride is its size).
#[derive(Clone, Debug)]
pub struct PatchEmbed {
    /// Which stream it begins.
    pub stream: Stream,
    /// The linear.
    pub site: Site<1>,
}

impl Layer for PatchEmbed {
    /// Rows × pixel values in, rows × stream features out.
    fn forward(&self, x: Rows, cx: &mut ForwardContext<'_>) -> Rows {
        self.site.one(SiteInput::Rows(&x), cx)
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl Part for PatchEmbed {
    fn id(&self) -> PartId {
        self.site.id.part
    }

    fn sites(&mut self) -> Vec<SiteMut<'_>> {
        vec![SiteMut::of(&mut self.site)]
    }

    fn writers(&mut self) -> Vec<Writer<'_>> {
        let [linear] = &mut self.site.linears;
        vec![Writer::linear(self.stream, linear)]
    }
}
