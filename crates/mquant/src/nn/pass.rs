//! What one pass over some rows carries.

use std::ops::Range;

use mquant_kernels::{Backend, RopeTable, Rows};

use super::{KvCache, SiteId};
use crate::input::ModalitySpans;

/// The rows of one pass: which sequence, place and modality each belongs to.
#[derive(Debug)]
pub struct Pass {
    /// Row ranges of the sequences, in row order, gapless. In a vision tower each frame is a sequence.
    pub sequences: Vec<Range<usize>>,
    /// Original index of each row in its sequence: what masks and caches go by, whatever the row order.
    pub order: Vec<u32>,
    /// Which modality each row belongs to.
    pub spans: ModalitySpans,
    /// Each row's rotary angles.
    pub rope: RopeTable,
}

/// Watches the activations of sites, after the norm: exactly what the site's linears read.
pub trait Tap {
    /// `x`: the rows a site's linears read.
    fn observe(&mut self, site: SiteId, x: &Rows, pass: &Pass);
}

/// Someone watching, or nobody.
pub type Watcher<'t> = Option<&'t mut (dyn Tap + Send + 't)>;

/// The same watcher for a shorter time.
pub(crate) fn again<'s>(watcher: &'s mut Watcher<'_>) -> Watcher<'s> {
    match watcher {
        Some(tap) => Some(&mut **tap),
        None => None,
    }
}

/// Where to compute, what each row is, what is cached, who is watching.
pub struct Cx<'a> {
    /// Who computes.
    pub backend: &'a dyn Backend,
    /// What the rows are.
    pub pass: &'a Pass,
    /// One cache for each sequence; empty where keys and values need not outlive the pass.
    pub caches: Vec<&'a mut KvCache>,
    /// Who is watching.
    pub tap: Watcher<'a>,
    /// Room for one scale a row.
    pub(super) row_scales: Vec<f32>,
    /// The same for side channels.
    pub(super) side_scales: Vec<f32>,
}

impl<'a> Cx<'a> {
    /// Where to compute and what the rows are; nothing cached, nobody watching.
    pub fn new(backend: &'a dyn Backend, pass: &'a Pass) -> Self {
        Self { backend, pass, caches: Vec::new(), tap: None, row_scales: Vec::new(), side_scales: Vec::new() }
    }

    /// With one cache for each sequence.
    pub fn caching(self, caches: Vec<&'a mut KvCache>) -> Self {
        Self { caches, ..self }
    }

    /// With perhaps someone watching.
    pub fn watched(self, tap: Watcher<'a>) -> Self {
        Self { tap, ..self }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.tap.is_some()
    }

    pub(super) fn observe(&mut self, site: SiteId, x: &Rows) {
        if let Some(tap) = &mut self.tap {
            tap.observe(site, x, self.pass);
        }
    }
}
