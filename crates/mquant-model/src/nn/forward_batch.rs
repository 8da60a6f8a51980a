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
}

/// What the rows are that the linears of a site read.
#[derive(Clone, Copy, Debug)]
pub struct SiteRows<'a> {
    /// The modality of each row.
    pub spans: &'a ModalitySpans,
    /// The pass the rows come from.
    pub pass: &'a ForwardBatch,
    /// Consecutive rows of the pass that were merged into one row.
    pub merged: usize,
}

impl ForwardBatch {
    /// Its rows as a site reads them where nothing was merged.
    pub fn rows(&self) -> SiteRows<'_> {
        SiteRows { spans: &self.spans, pass: self, merged: 1 }
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
    /// Rows that a merger has put together, while it runs.
    merged: Option<(usize, ModalitySpans)>,
    /// Room for one scale a row.
    pub(super) row_scales: Vec<f32>,
    /// The same for side channels.
    pub(super) side_scales: Vec<f32>,
}

impl<'a> ForwardContext<'a> {
    /// Where to compute and what the rows are; nothing cached, nobody watching.
    pub fn new(backend: &'a dyn Backend, pass: &'a ForwardBatch) -> Self {
        Self {
            backend,
            pass,
            caches: Vec::new(),
            observer: None,
            merged: None,
            row_scales: Vec::new(),
            side_scales: Vec::new(),
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
        let outer = self.merged.replace((merged, self.pass.spans.regrouped(merged)));
        let result = f(self);
        self.merged = outer;
        result
    }

    /// The modality of each row that the linears of a site read.
    pub(super) fn spans(&self) -> &ModalitySpans {
        self.merged.as_ref().map_or(&self.pass.spans, |(_, spans)| spans)
    }

    pub(super) fn is_watched(&self) -> bool {
        self.observer.is_some()
    }

    pub(super) fn observe(&mut self, site: SiteId, x: &Rows) {
        if let Some(observer) = &mut self.observer {
            let (merged, spans) =
                self.merged.as_ref().map_or((1, &self.pass.spans), |(merged, spans)| (*merged, spans));
            observer.observe(site, x, SiteRows { spans, pass: self.pass, merged });
        }
    }
}
