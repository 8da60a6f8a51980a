//! The language model.

use mquant_kernels::{Matrix, Rows, Source};

use super::part::{Output, Part, Reader, ScalePair, SiteMut, Stream, Writer};
use super::{Block, CacheFormat, Cx, KvCache, Rope, Site, Tower};

/// Tokens are embedded (media rows take the place of placeholders), pass the blocks, and the head scores the next token.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Token embedding.
    pub embedding: Embedding,
    /// Positions of the blocks.
    pub rope: Rope,
    /// In order.
    pub blocks: Vec<Block>,
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
    pub fn forward(&self, mut x: Rows, cx: &mut Cx<'_>) -> Rows {
        for block in &self.blocks {
            block.forward(&mut x, cx);
        }
        x
    }

    /// Scores of the next token: rows × vocabulary.
    pub fn logits(&self, x: &Rows, cx: &mut Cx<'_>) -> Rows {
        self.head.0.one(Source::Rows(x), cx)
    }

    /// An empty cache that fits its blocks.
    pub fn new_cache(&self) -> KvCache {
        let (kv_heads, head_dim) =
            self.blocks.first().map_or((1, 1), |b| (b.attention.shape.kv_heads, b.attention.shape.head_dim));
        KvCache::new(self.kv_cache, self.blocks.len(), kv_heads * head_dim, head_dim)
    }

    /// Its parts, in the order they run.
    pub fn parts(&mut self) -> Vec<&mut dyn Part> {
        let blocks = self.blocks.iter_mut().map(|b| b as &mut dyn Part);
        std::iter::once(&mut self.embedding as &mut dyn Part)
            .chain(blocks)
            .chain([&mut self.head as &mut dyn Part])
            .collect()
    }
}

impl Part for Embedding {
    fn sites(&mut self) -> Vec<SiteMut<'_>> {
        Vec::new()
    }

    fn readers(&mut self) -> Vec<Reader<'_>> {
        Vec::new()
    }

    fn writers(&mut self) -> Vec<Writer<'_>> {
        vec![Writer { stream: Stream(Tower::Language), output: Output::Table(&mut self.0) }]
    }

    fn pairs(&mut self) -> Vec<ScalePair<'_>> {
        Vec::new()
    }
}

impl Part for Head {
    fn sites(&mut self) -> Vec<SiteMut<'_>> {
        vec![SiteMut::of(&mut self.0)]
    }

    fn readers(&mut self) -> Vec<Reader<'_>> {
        vec![Reader { stream: Stream(Tower::Language), site: SiteMut::of(&mut self.0) }]
    }

    fn writers(&mut self) -> Vec<Writer<'_>> {
        Vec::new()
    }

    fn pairs(&mut self) -> Vec<ScalePair<'_>> {
        Vec::new()
    }
}
