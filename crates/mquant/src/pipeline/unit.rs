//! The units a model is quantised by, one at a time.

use std::fmt;

use mquant_kernels::{Rows, Source};

use crate::models::Model;
use crate::nn::{Block, Cx, Embedding, Head, Part, PatchEmbed, Projector, Tower};

/// A part of a model, small enough to fit in memory when the model does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// The patch embedding of the vision tower.
    Patch,
    /// A block of the vision tower.
    VisionBlock(usize),
    /// From the vision tower's stream to the decoder's.
    Projector,
    /// The token embedding.
    Embedding,
    /// A block of the decoder.
    DecoderBlock(usize),
    /// Final norm and head.
    Head,
}

/// A part that is being worked on; its weights shared with the model until they change.
#[derive(Clone, Debug)]
pub(super) enum Working {
    Patch(PatchEmbed),
    Block(Box<Block>),
    Projector(Box<Projector>),
    Embedding(Embedding),
    Head(Head),
}

impl Unit {
    /// All of a model, in the order they run.
    pub fn all(model: &Model) -> Vec<Self> {
        let vision = (0..model.vision.blocks.len()).map(Unit::VisionBlock);
        let decoder = (0..model.decoder.blocks.len()).map(Unit::DecoderBlock);
        std::iter::once(Unit::Patch)
            .chain(vision)
            .chain([Unit::Projector, Unit::Embedding])
            .chain(decoder)
            .chain([Unit::Head])
            .collect()
    }

    /// Whether it works on rows of the vision tower.
    pub fn is_vision(self) -> bool {
        matches!(self, Unit::Patch | Unit::VisionBlock(_) | Unit::Projector)
    }

    /// The part of a model that this unit is.
    pub(super) fn of(self, model: &Model) -> Working {
        match self {
            Unit::Patch => Working::Patch(model.vision.patch.clone()),
            Unit::VisionBlock(i) => Working::Block(Box::new(model.vision.blocks[i].clone())),
            Unit::Projector => Working::Projector(Box::new(model.vision.projector.clone())),
            Unit::Embedding => Working::Embedding(model.decoder.embedding.clone()),
            Unit::DecoderBlock(i) => Working::Block(Box::new(model.decoder.blocks[i].clone())),
            Unit::Head => Working::Head(model.decoder.head.clone()),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unit::Patch => write!(f, "{}.patch", Tower::Vision),
            Unit::VisionBlock(i) => write!(f, "{}.{i}", Tower::Vision),
            Unit::Projector => f.write_str("projector"),
            Unit::Embedding => f.write_str("embedding"),
            Unit::DecoderBlock(i) => write!(f, "{}.{i}", Tower::Language),
            Unit::Head => f.write_str("head"),
        }
    }
}

impl Working {
    pub(super) fn part(&mut self) -> &mut dyn Part {
        match self {
            Working::Patch(part) => part,
            Working::Block(part) => &mut **part,
            Working::Projector(part) => &mut **part,
            Working::Embedding(part) => part,
            Working::Head(part) => part,
        }
    }

    /// What the next unit reads. An embedding reads no rows.
    pub(super) fn forward(&self, x: &Rows, cx: &mut Cx<'_>) -> Rows {
        match self {
            Working::Patch(patch) => patch.site.one(Source::Rows(x), cx),
            Working::Block(block) => {
                let mut x = x.clone();
                block.forward(&mut x, cx);
                x
            }
            Working::Projector(projector) => projector.forward(x, cx),
            Working::Embedding(_) => unreachable!("tokens enter an embedding, not rows"),
            Working::Head(head) => head.0.one(Source::Rows(x), cx),
        }
    }
}
