//! The wiring of a model as data: who reads a residual stream, who writes it, and where a scale can move.

use std::fmt;
use std::sync::Arc;

use mquant_kernels::{Hadamard, HeadShape, Matrix, Rows};

use super::{
    Attention, Block, Branch, ColumnSplit, ForwardContext, InputQuant, Linear, ModalityGains, Norm, PartId, Site,
    SiteId, Tower,
};

/// A residual stream, named by its tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stream(pub Tower);

/// A site of whatever number of linears.
#[derive(Debug)]
pub struct SiteMut<'p> {
    /// Its name.
    pub id: SiteId,
    /// The norm in front.
    pub norm: &'p mut Option<Norm>,
    /// Online rotation of what the linears read.
    pub rotation: &'p mut Option<Arc<Hadamard>>,
    /// What rows of some modalities are multiplied by.
    pub gains: &'p mut Option<ModalityGains>,
    /// Input channels computed beside the main product.
    pub split: &'p mut Option<ColumnSplit>,
    /// What is added to the results of some rows.
    pub branches: &'p mut Vec<Branch>,
    /// How the activation is quantised.
    pub input: &'p mut InputQuant,
    /// What reads the activation.
    pub linears: &'p mut [Linear],
}

impl<'p> SiteMut<'p> {
    /// Any site.
    pub fn of<const N: usize>(site: &'p mut Site<N>) -> Self {
        let Site { id, norm, gains, rotation, split, branches, input, linears } = site;
        Self { id: *id, norm, gains, rotation, split, branches, input, linears }
    }
}

/// A site fed by a residual stream. If its norm repeats, its linears read that many copies of the stream side by side.
#[derive(Debug)]
pub struct Reader<'p> {
    /// The stream.
    pub stream: Stream,
    /// Who reads it.
    pub site: SiteMut<'p>,
}

/// Something that adds to a residual stream.
#[derive(Debug)]
pub struct Writer<'p> {
    /// The stream.
    pub stream: Stream,
    /// What is added.
    pub output: Output<'p>,
}

/// How a writer holds its stream features.
#[derive(Debug)]
pub enum Output<'p> {
    /// As the outputs of a linear: rows of the weight, values of the bias.
    Linear(&'p mut Linear),
    /// As the columns of a table that rows are taken from.
    Table(&'p mut Matrix),
    /// As what leaves a map of `features` onto as many, the identity where there is none yet: behind it nothing but an activation
    /// function writes.
    Map {
        /// The map.
        map: &'p mut Option<Linear>,
        /// Features of the stream.
        features: usize,
    },
}

impl Output<'_> {
    /// Features of the stream.
    pub fn features(&self) -> usize {
        match self {
            Output::Linear(linear) => linear.weight.rows(),
            Output::Table(table) => table.cols(),
            Output::Map { features, .. } => *features,
        }
    }
}

impl<'p> Writer<'p> {
    /// A linear that writes a stream.
    pub fn linear(stream: Stream, linear: &'p mut Linear) -> Self {
        Self { stream, output: Output::Linear(linear) }
    }
}

/// A producer whose outputs reach a site's input unchanged but for a linear mixing of rows: scaling one and dividing the
/// other changes nothing.
#[derive(Debug)]
pub struct ScalePair<'p> {
    /// The linear that produces.
    pub producer: &'p mut Linear,
    /// The site that consumes.
    pub consumer: SiteMut<'p>,
    /// Grouped attention between them: producer output (kv head, c) feeds consumer input (head, c) of every head of that
    /// group. None: output i feeds input i.
    pub fan: Option<HeadShape>,
}

impl ScalePair<'_> {
    /// The producer's output that feeds the consumer's input `i`.
    pub fn source(&self, i: usize) -> usize {
        match self.fan {
            None => i,
            Some(HeadShape { heads, kv_heads, head_dim }) => {
                i / head_dim / (heads / kv_heads) * head_dim + i % head_dim
            }
        }
    }
}

/// The unit that is loaded, transformed, calibrated, quantised and written: an embedding, one block, a projector, a head.
///
/// `readers`, `writers` and `pairs` restate the forward pass as data.
pub trait Part: fmt::Debug + Send + Sync {
    /// Its path.
    fn id(&self) -> PartId;
    /// All its sites, in the order they run.
    fn sites(&mut self) -> Vec<SiteMut<'_>>;
    /// Sites fed by a residual stream.
    fn readers(&mut self) -> Vec<Reader<'_>> {
        Vec::new()
    }
    /// What adds to a residual stream.
    fn writers(&mut self) -> Vec<Writer<'_>> {
        Vec::new()
    }
    /// Where a scale can move from a producer to its consumer.
    fn pairs(&mut self) -> Vec<ScalePair<'_>> {
        Vec::new()
    }
    /// Its attention, if it has any.
    fn attention(&mut self) -> Option<&mut Attention> {
        None
    }
}

/// A part that turns rows into rows: an encoder is a list of layers, and so is a decoder between its embedding and its head.
pub trait Layer: Part {
    /// The rows that leave, given those that enter. A layer may merge rows: fewer leave then.
    fn forward(&self, x: Rows, cx: &mut ForwardContext<'_>) -> Rows;

    /// Whether what leaves is kept beside the rows that entered, which the next layer reads again.
    fn is_branch(&self) -> bool {
        false
    }

    /// The transformer block that it is, if it is one.
    fn block(&self) -> Option<&Block> {
        None
    }

    /// A copy that shares its weights.
    fn boxed(&self) -> Box<dyn Layer>;
}

impl Clone for Box<dyn Layer> {
    fn clone(&self) -> Self {
        self.boxed()
    }
}
