//! The language model.

use mquant_kernels::{HeadShape, Matrix, Rows, SiteInput};

use super::part::{Layer, Output, Part, Reader, SiteMut, Stream, Writer};
use super::{CacheFormat, ForwardContext, KvCache, PartId, Rope, Site, Tower};

/// Tokens are embedded (media rows take the place of placeholders), pass the blocks, and the head logits the next token.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Token embedding.
    pub embedding: Embedding,
    /// Positions of the blocks.
    pub rope: Rope,
    /// Heads of its blocks.
    pub heads: HeadShape,
    /// Its blocks, in order.
    pub layers: Vec<Box<dyn Layer>>,
    /// Final norm and language model head.
    pub head: Head,
    /// How its blocks' keys and values are remembered.
    pub kv_cache: CacheFormat,
}

/// The table of token embeddings: vocabulary × stream features.
#[derive(Clone, Debug)]
pub struct Embedding(pub Matrix);

/// The final norm and the language model head.
#[derive(Clone, Debug)]
pub struct Head(pub Site<1>);

impl Embedding {
    /// One row for each token id.
    ///
    /// # Panics
    /// If an id is outside the vocabulary.
    pub fn forward(&self, ids: &[u32]) -> Rows {
        let mut x = Rows::zeros(ids.len(), self.0.cols());
        for (i, id) in ids.iter().enumerate() {
            self.0.read_rows(*id as usize..*id as usize + 1, x.row_mut(i));
        }
        x
    }
}

impl Decoder {
    /// `x`: rows × features, embedded; result the stream after the last block, like `x`.
    pub fn forward(&self, x: Rows, cx: &mut ForwardContext<'_>) -> Rows {
        self.layers.iter().fold(x, |x, layer| layer.forward(x, cx))
    }

    /// Logits of the next token: rows × vocabulary.
    pub fn logits(&self, x: &Rows, cx: &mut ForwardContext<'_>) -> Rows {
        self.head.0.one(SiteInput::Rows(x), cx)
    }

    /// An empty cache that fits its blocks.
    pub fn new_cache(&self) -> KvCache {
        self.cache_of(self.kv_cache)
    }

    /// An empty cache that fits its blocks, in another format.
    pub fn cache_of(&self, format: CacheFormat) -> KvCache {
        KvCache::new(format, self.layers.len(), self.heads)
    }

    /// Its parts, in the order they run.
    pub fn parts(&mut self) -> Vec<&mut dyn Part> {
        let layers = self.layers.iter_mut().map(|layer| &mut **layer as &mut dyn Part);
        std::iter::once(&mut self.embedding as &mut dyn Part)
            .chain(layers)
            .chain([&mut self.head as &mut dyn Part])
            .collect()
    }
}

impl Part for Embedding {
    fn id(&self) -> PartId {
        PartId::EMBEDDING
    }

    fn sites(&mut self) -> Vec<SiteMut<'_>> {
        Vec::new()
    }

    fn writers(&mut self) -> Vec<Writer<'_>> {
        vec![Writer { stream: Stream(Tower::Language), output: Output::Table(&mut self.0) }]
    }
}

impl Layer for Head {
    /// Rows × stream features in, rows × vocabulary out.
    fn forward(&self, x: Rows, cx: &mut ForwardContext<'_>) -> Rows {
        self.0.one(SiteInput::Rows(&x), cx)
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl Part for Head {
    fn id(&self) -> PartId {
        PartId::HEAD
    }

    fn sites(&mut self) -> Vec<SiteMut<'_>> {
        vec![SiteMut::of(&mut self.0)]
    }

    fn readers(&mut self) -> Vec<Reader<'_>> {
        vec![Reader { stream: Stream(Tower::Language), site: SiteMut::of(&mut self.0) }]
    }
}
