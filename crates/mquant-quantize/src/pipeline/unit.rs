//! The units a model is quantised by, one at a time: its parts.

use mquant_kernels::Rows;

use mquant_model::models::Model;
use mquant_model::nn::{Block, Embedding, ForwardContext, Layer, Part, PartId, Tower};

/// A part that is being worked on; its weights are shared with the model until they change.
#[derive(Clone, Debug)]
pub(super) enum Working {
    Embedding(Embedding),
    Layer(Box<dyn Layer>),
}

impl Working {
    /// The part of that path.
    pub(super) fn of(id: PartId, model: &Model) -> Self {
        match model.layer(id) {
            Some(layer) => Working::Layer(layer.boxed()),
            None => Working::Embedding(model.decoder.embedding.clone()),
        }
    }

    pub(super) fn part(&mut self) -> &mut dyn Part {
        match self {
            Working::Embedding(part) => part,
            Working::Layer(part) => &mut **part,
        }
    }

    /// It as a block, if it is one.
    pub(super) fn block(&self) -> Option<&Block> {
        match self {
            Working::Layer(layer) => layer.block(),
            Working::Embedding(_) => None,
        }
    }

    /// Whether what leaves it is kept beside what entered.
    pub(super) fn is_branch(&self) -> bool {
        matches!(self, Working::Layer(layer) if layer.is_branch())
    }

    /// What the next unit reads. An embedding reads no rows.
    pub(super) fn forward(&self, x: Rows, cx: &mut ForwardContext<'_>) -> Rows {
        match self {
            Working::Layer(layer) => layer.forward(x, cx),
            Working::Embedding(_) => unreachable!("tokens enter an embedding, not rows"),
        }
    }
}

/// Whether a part works on rows of an encoder.
pub(super) fn is_encoder(id: PartId) -> bool {
    id.tower != Tower::Language
}
