//! What one pass over some rows carries.

use std::ops::Range;

use mquant_kernels::{Backend, RopeTable, Rows};

use super::ModalitySpans;
use super::{KvCache, SiteId};

/// The rows of one pass: which sequence, place and modality each belongs to.
#[derive(Debug, Default)]
pub struct ForwardBatch {
    /// Row ranges of the sequences, in row order, gapless. In a vision tower each frame is a sequence.
    pub sequences: Vec<Range<usize>>,
    /// Row ranges inside which window attention stays, in row order, gapless; empty where no block has windows.
    pub windows: Vec<Range<usize>>,
    /// Original index of each row in its sequence: what masks and caches go by, whatever the row order.
    pub order: Vec<u32>,
    /// Which modality each row belongs to.
    pub spans: ModalitySpans,
    /// Each row's rotary angles.
    pub rope: RopeTable,
    /// Row ranges of what enters the first layer where that is other rows than those of the blocks, one for each window: frames
    /// of sound.
    pub frames: Vec<Range<usize>>,
    /// Of each row, the rows of a position table that are added to it, with their weights; empty without such a table.
    pub table_rows: Vec<[(u32, f32); 4]>,
    /// What is added after some blocks.
    pub deepstack: Deepstack,
}

/// Features of media that are added to the stream after blocks of the decoder (DeepStack, arXiv 2406.04334).
#[derive(Debug, Default)]
pub struct Deepstack {
    /// Rows of the pass, ascending or not.
    pub rows: Vec<u32>,
    /// For each of them what is added after each level's block, side by side: rows × (levels · stream features).
    pub features: Option<Rows>,
}

impl Deepstack {
    /// What is added to a range of rows, counted from its start.
    fn of_rows(&self, range: Range<usize>) -> Self {
        let Some(features) = &self.features else { return Self::default() };
        let mut own = Self::default();
        let mut values = Vec::new();
        for (i, row) in self.rows.iter().enumerate().filter(|(_, row)| range.contains(&(**row as usize))) {
            own.rows.push(*row - range.start as u32);
            values.extend_from_slice(features.row(i));
        }
        own.features = (!own.rows.is_empty()).then(|| Rows::from_vec(values, features.features()));
        own
    }

    /// x += features of a level.
    pub(super) fn add(&self, level: usize, x: &mut Rows) {
        let Some(features) = &self.features else { return };
        let width = x.features();
        for (i, row) in self.rows.iter().enumerate() {
            let added = &features.row(i)[level * width..(level + 1) * width];
            x.row_mut(*row as usize).iter_mut().zip(added).for_each(|(x, added)| *x += added);
        }
    }
}

/// What the rows are that the linears of a site read.
#[derive(Clone, Copy, Debug)]
pub struct SiteRows<'a> {
    /// The modality of each row.
    pub spans: &'a ModalitySpans,
    /// The pass the rows come from.
    pub pass: &'a ForwardBatch,
}

impl SiteRows<'_> {
    /// Whether they are the rows of the pass: not merged ones, or frames of sound of which several become one.
    pub fn are_of_pass(&self) -> bool {
        self.spans.rows() == self.pass.spans.rows()
    }

    /// The row of the pass that a row belongs to.
    pub fn row_of_pass(&self, row: usize) -> usize {
        row * self.pass.spans.rows() / self.spans.rows()
    }
}

impl ForwardBatch {
    /// One of its sequences in a decoder alone.
    ///
    /// # Panics
    /// If the rows are not there.
    pub fn sequence(&self, rows: Range<usize>) -> Self {
        let mut spans = ModalitySpans::default();
        spans.extend(&self.spans, rows.clone());
        Self {
            sequences: std::iter::once(0..rows.len()).collect(),
            order: self.order[rows.clone()].to_vec(),
            spans,
            rope: self.rope.range(rows.clone()),
            deepstack: self.deepstack.of_rows(rows),
            ..Self::default()
        }
    }

    /// Its rows as a site reads them where none were merged.
    pub fn rows(&self) -> SiteRows<'_> {
        SiteRows { spans: &self.spans, pass: self }
    }
}

/// Watches the activations of sites, after the norm: exactly what the site's linears read.
pub trait SiteObserver {
    /// `x`: the rows a site's linears read; `rows`: what they are.
    fn observe(&mut self, site: SiteId, x: &Rows, rows: SiteRows<'_>);
}

/// Someone watching, or nobody.
pub type ObserverRef<'t> = Option<&'t mut (dyn SiteObserver + Send + 't)>;

/// The same watcher for a shorter time.
pub fn reborrow<'s>(watcher: &'s mut ObserverRef<'_>) -> ObserverRef<'s> {
    match watcher {
        Some(observer) => Some(&mut **observer),
        None => None,
    }
}

/// Where to compute, what each row is, what is cached, who is watching.
pub struct ForwardContext<'a> {
    /// Who computes.
    pub backend: &'a dyn Backend,
    /// What the rows are.
    pub pass: &'a ForwardBatch,
    /// One cache for each sequence; empty where keys and values need not outlive the pass.
    pub caches: Vec<&'a mut KvCache>,
    /// Who is watching.
    pub observer: ObserverRef<'a>,
    /// The modality of other rows than those of the pass, while a part works on them.
    other_rows: Option<ModalitySpans>,
    /// Room for one scale a row.
    pub(super) row_scales: Vec<f32>,
    /// The same for side channels.
    pub(super) side_scales: Vec<f32>,
    /// Room for the index of each row's modality.
    pub(super) gain_rows: Vec<u8>,
}

impl<'a> ForwardContext<'a> {
    /// Where to compute and what the rows are; nothing cached, nobody watching.
    pub fn new(backend: &'a dyn Backend, pass: &'a ForwardBatch) -> Self {
        Self {
            backend,
            pass,
            caches: Vec::new(),
            observer: None,
            other_rows: None,
            row_scales: Vec::new(),
            side_scales: Vec::new(),
            gain_rows: Vec::new(),
        }
    }

    /// With one cache for each sequence.
    pub fn caching(self, caches: Vec<&'a mut KvCache>) -> Self {
        Self { caches, ..self }
    }

    /// With an optional observer.
    pub fn watched(self, observer: ObserverRef<'a>) -> Self {
        Self { observer, ..self }
    }

    /// Runs `f` on rows of which each stands for `merged` consecutive rows of the pass.
    pub(super) fn merging<T>(&mut self, merged: usize, f: impl FnOnce(&mut Self) -> T) -> T {
        self.on_rows(self.pass.spans.regrouped(merged), f)
    }

    /// Runs `f` on other rows than those of the pass.
    pub(super) fn on_rows<T>(&mut self, spans: ModalitySpans, f: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.other_rows.replace(spans);
        let result = f(self);
        self.other_rows = outer;
        result
    }

    /// The modality of each row that the linears of a site read.
    pub(super) fn spans(&self) -> &ModalitySpans {
        self.other_rows.as_ref().unwrap_or(&self.pass.spans)
    }

    pub(super) fn is_watched(&self) -> bool {
        self.observer.is_some()
    }

    pub(super) fn observe(&mut self, site: SiteId, x: &Rows) {
        if let Some(observer) = &mut self.observer {
            let spans = self.other_rows.as_ref().unwrap_or(&self.pass.spans);
            observer.observe(site, x, SiteRows { spans, pass: self.pass });
        }
    }
}
