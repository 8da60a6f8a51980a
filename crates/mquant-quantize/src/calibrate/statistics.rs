//! What samples showed of the activations of sites: magnitudes of every channel by modality, and second moments.

use std::collections::BTreeMap;

use mquant_kernels::{Backend, Rows};

use super::histogram::Histogram;
use crate::quantize::Hessian;
use mquant_model::input::{Modality, ModalitySpans};
use mquant_model::nn::{SiteId, SiteObserver, SiteRows};

/// What is to be noted of a site.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Σ x·xᵀ over all rows.
    pub hessian: bool,
    /// The same over the rows of each modality.
    pub moments: bool,
    /// The distribution of magnitudes, without these channels.
    pub histogram: Option<Vec<u32>>,
    /// What the rows of a modality are multiplied by before anything of them is noted, channel by channel.
    pub factors: BTreeMap<Modality, Vec<f32>>,
}

/// What was seen of one site.
#[derive(Clone, Debug, Default)]
pub struct SiteStatistics {
    /// By modality, those that were seen.
    pub modalities: BTreeMap<Modality, SeenRows>,
    /// Second moments of all rows, if they were wanted.
    pub hessian: Option<Hessian>,
}

/// The rows of one modality.
#[derive(Clone, Debug, Default)]
pub struct SeenRows {
    /// How many.
    pub rows: u64,
    /// The largest magnitude of each channel.
    pub channels: Vec<f32>,
    /// The largest magnitude in rows that begin a sequence: attention sinks carry theirs there.
    pub first_token: f32,
    /// The largest magnitude in all other rows.
    pub other_tokens: f32,
    /// Magnitudes, if they were wanted.
    pub histogram: Option<Histogram>,
    /// Second moments, if they were wanted.
    pub moments: Option<Hessian>,
}

/// An activation that is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANumber {
    /// Where.
    pub site: SiteId,
    /// In which row of the pass.
    pub row: usize,
}

/// Notes what is wanted of the sites that are watched.
pub struct Statistics<'a> {
    backend: &'a dyn Backend,
    wanted: BTreeMap<SiteId, Wanted>,
    /// What was seen so far.
    pub sites: BTreeMap<SiteId, SiteStatistics>,
    /// The first value that is NaN or infinite.
    pub fault: Option<NotANumber>,
}

impl std::fmt::Debug for Statistics<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statistics").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl<'a> Statistics<'a> {
    /// Nothing seen yet.
    pub fn new(backend: &'a dyn Backend, wanted: BTreeMap<SiteId, Wanted>) -> Self {
        Self { backend, wanted, sites: BTreeMap::new(), fault: None }
    }
}

impl SiteStatistics {
    /// The largest magnitude of every channel, whatever the modality; empty if nothing was seen.
    pub fn channels(&self) -> Vec<f32> {
        let mut all: Vec<f32> = Vec::new();
        for seen in self.modalities.values() {
            all.resize(seen.channels.len(), 0.0);
            all.iter_mut().zip(&seen.channels).for_each(|(most, v)| *most = most.max(*v));
        }
        all
    }

    /// Rows of all modalities.
    pub fn rows(&self) -> u64 {
        self.modalities.values().map(|seen| seen.rows).sum()
    }
}

impl SeenRows {
    /// The largest magnitude of some channels.
    pub fn absmax(&self, channels: impl Fn(u32) -> bool) -> f32 {
        let of = self.channels.iter().enumerate().filter(|(i, _)| channels(*i as u32));
        of.fold(0.0, |most, (_, v)| most.max(*v))
    }
}

impl SiteObserver for Statistics<'_> {
    fn observe(&mut self, site: SiteId, x: &Rows, rows: SiteRows<'_>) {
        let Some(wanted) = self.wanted.get(&site) else { return };
        let seen = self.sites.entry(site).or_default();
        let scaled = scaled(x, rows.spans, &wanted.factors);
        let x = scaled.as_ref().unwrap_or(x);
        for (modality, range) in rows.spans.iter() {
            let seen_rows = seen.modalities.entry(modality).or_default();
            seen_rows.rows += range.len() as u64;
            seen_rows.channels.resize(x.features(), 0.0);
            for row in range.clone() {
                let mut largest = 0f32;
                let mut finite = true;
                for (most, v) in seen_rows.channels.iter_mut().zip(x.row(row)) {
                    let v = v.abs();
                    finite &= v < f32::INFINITY;
                    *most = if v > *most { v } else { *most };
                    largest = if v > largest { v } else { largest };
                }
                if !finite && self.fault.is_none() {
                    self.fault = Some(NotANumber { site, row: rows.row_of_pass(row) });
                }
                let first = rows.are_of_pass() && rows.pass.order.get(row) == Some(&0);
                let most = if first { &mut seen_rows.first_token } else { &mut seen_rows.other_tokens };
                *most = most.max(largest);
            }
            if let Some(excluded) = &wanted.histogram {
                let histogram = seen_rows.histogram.get_or_insert_with(Histogram::default);
                add(histogram, x, range.clone(), excluded);
            }
            if wanted.moments {
                let own = Rows::from_vec(x.range(range).to_vec(), x.features());
                seen_rows.moments.get_or_insert_with(|| Hessian::new(x.features())).add(self.backend, &own);
            }
        }
        if wanted.hessian {
            seen.hessian.get_or_insert_with(|| Hessian::new(x.features())).add(self.backend, x);
        }
    }
}

/// The rows times the factors of their modality; None where no row has any.
pub fn scaled(x: &Rows, spans: &ModalitySpans, factors: &BTreeMap<Modality, Vec<f32>>) -> Option<Rows> {
    if !spans.iter().any(|(modality, _)| factors.contains_key(&modality)) {
        return None;
    }
    let mut out = x.clone();
    for (modality, range) in spans.iter() {
        let Some(factors) = factors.get(&modality) else { continue };
        for row in range {
            out.row_mut(row).iter_mut().zip(factors).for_each(|(v, factor)| *v *= factor);
        }
    }
    Some(out)
}

fn add(histogram: &mut Histogram, x: &Rows, rows: std::ops::Range<usize>, excluded: &[u32]) {
    if excluded.is_empty() {
        histogram.add(x.range(rows));
        return;
    }
    let mut row = vec![0f32; x.features()];
    for i in rows {
        row.copy_from_slice(x.row(i));
        excluded.iter().for_each(|channel| row[*channel as usize] = 0.0);
        histogram.add(&row);
    }
}
