//! From an audio tower's stream to the decoder's.

use mquant_kernels::{Rows, SiteInput};

use super::part::{Layer, Part, Reader, SiteMut, Stream, Writer};
use super::{ForwardContext, Modality, ModalitySpans, PartId, Site, Tower};

/// y = proj(norm(mean of two rows)): rows 0 and 1 of a sequence, 2 and 3, …; a row that is left over is dropped.
#[derive(Clone, Debug)]
pub struct PooledProjector {
    /// Whose stream it reads.
    pub tower: Tower,
    /// Norm and projection.
    pub proj: Site<1>,
}

impl Layer for PooledProjector {
    /// Rows × tower features in, tokens × decoder features out.
    fn forward(&self, x: Rows, cx: &mut ForwardContext<'_>) -> Rows {
        let mut pooled = Vec::with_capacity(x.rows() / 2 * x.features());
        for sequence in &cx.pass.sequences {
            for pair in (sequence.start..sequence.end).step_by(2).filter(|first| first + 1 < sequence.end) {
                pooled.extend(x.row(pair).iter().zip(x.row(pair + 1)).map(|(a, b)| (a + b) / 2.0));
            }
        }
        let pooled = Rows::from_vec(pooled, x.features());
        let spans = ModalitySpans::uniform(Modality::Audio, pooled.rows());
        cx.on_rows(spans, |cx| self.proj.one(SiteInput::Rows(&pooled), cx))
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl Part for PooledProjector {
    fn id(&self) -> PartId {
        self.proj.id.part
    }

    fn sites(&mut self) -> Vec<SiteMut<'_>> {
        vec![SiteMut::of(&mut self.proj)]
    }

    fn readers(&mut self) -> Vec<Reader<'_>> {
        vec![Reader { stream: Stream(self.tower), site: SiteMut::of(&mut self.proj) }]
    }

    fn writers(&mut self) -> Vec<Writer<'_>> {
        let [proj] = &mut self.proj.linears;
        vec![Writer::linear(Stream(Tower::Language), proj)]
    }
}
