//! SmoothQuant (arXiv 2211.10438, equation 4): outliers of an activation move into the weights that read it.
//!
//! s_j = max|X_j|^α / max|W_j|^(1−α) over all linears of the site; X_j is divided by s_j where it is made (in the gain and
//! bias of the norm, or in the outputs of the producer), W_j is multiplied by it.

use std::collections::BTreeSet;

use mquant_kernels::Cpu;

use super::wide::{float, map_rows};
use super::{ReadChange, ReadChanges, SeenChannels, Transform, TransformError};
use mquant_model::nn::{Linear, NormKind, Part, SiteId, SiteMut};

/// Magnitudes below count as this much: channels that are never used keep their scale.
const LEAST: f64 = 1e-5;

/// The step.
#[derive(Clone, Debug)]
pub struct Smooth {
    sites: BTreeSet<SiteId>,
    alpha: f64,
}

impl Smooth {
    /// For these sites; `alpha` from 0 (weights decide) to 1 (activations decide).
    pub fn new(sites: BTreeSet<SiteId>, alpha: f64) -> Self {
        Self { sites, alpha }
    }

    /// One scale for each of the site's inputs, inputs with the same `source` sharing theirs.
    fn scales(
        &self,
        seen: &[f32],
        linears: &mut [Linear],
        source: impl Fn(usize) -> usize,
        sources: usize,
    ) -> Vec<f64> {
        let (mut activations, mut weights) = (vec![0f64; sources], vec![0f64; sources]);
        for (i, seen) in seen.iter().enumerate() {
            let at = &mut activations[source(i)];
            *at = at.max(f64::from(*seen));
        }
        for linear in linears {
            let (matrix, mut row) = (float(linear), vec![0f32; seen.len()]);
            for output in 0..matrix.rows() {
                matrix.read_rows(output..output + 1, &mut row);
                for (i, w) in row.iter().enumerate() {
                    let at = &mut weights[source(i)];
                    *at = at.max(f64::from(w.abs()));
                }
            }
        }
        let scale = |(x, w): (f64, f64)| {
            if x == 0.0 || w == 0.0 { 1.0 } else { x.max(LEAST).powf(self.alpha) / w.max(LEAST).powf(1.0 - self.alpha) }
        };
        activations.into_iter().zip(weights).map(scale).collect()
    }
}

impl Transform for Smooth {
    fn needs_activations(&self) -> bool {
        true
    }

    fn apply(&self, _: Cpu, part: &mut dyn Part, seen: &SeenChannels) -> Result<ReadChanges, TransformError> {
        let mut changes = ReadChanges::new();
        let mut done = BTreeSet::new();
        for mut site in part.sites() {
            if self.sites.contains(&site.id) && site.norm.is_some() {
                let id = site.id;
                let scales = self.scale_norm(&mut site, seen_of(seen, id)?);
                changes.push((id, ReadChange::Channels { scale: scales, shift: None }));
                done.insert(id);
            }
        }
        for pair in part.pairs() {
            let id = pair.consumer.id;
            if !self.sites.contains(&id) || done.contains(&id) {
                continue;
            }
            let seen = seen_of(seen, id)?;
            let outputs = pair.producer.weight.rows();
            let sources: Vec<usize> = (0..seen.len()).map(|i| pair.source(i)).collect();
            let scales = self.scales(seen, pair.consumer.linears, |i| sources[i], outputs);
            let cols = float(pair.producer).cols();
            for (row, s) in float(pair.producer).make_mut().chunks_exact_mut(cols).zip(&scales) {
                row.iter_mut().for_each(|w| *w = (f64::from(*w) / s) as f32);
            }
            if let Some(bias) = &mut pair.producer.bias {
                bias.iter_mut().zip(&scales).for_each(|(b, s)| *b = (f64::from(*b) / s) as f32);
            }
            let of_inputs: Vec<f64> = sources.iter().map(|source| scales[*source]).collect();
            multiply_inputs(pair.consumer.linears, &of_inputs);
            changes.push((id, ReadChange::Channels { scale: of_inputs, shift: None }));
            done.insert(id);
        }
        let left =
            part.sites().into_iter().map(|site| site.id).find(|id| self.sites.contains(id) && !done.contains(id));
        left.map_or(Ok(changes), |site| Err(TransformError::NothingToScale { site }))
    }
}

impl Smooth {
    /// Returns the scale of each of the site's inputs.
    fn scale_norm(&self, site: &mut SiteMut<'_>, seen: &[f32]) -> Vec<f64> {
        let norm = site.norm.as_mut().expect("asked only of sites with a norm");
        let width = norm.gain.len();
        let scales = self.scales(seen, site.linears, |i| i % width, width);
        norm.gain.iter_mut().zip(&scales).for_each(|(g, s)| *g = (f64::from(*g) / s) as f32);
        if let NormKind::Layer { bias } = &mut norm.kind {
            bias.iter_mut().zip(&scales).for_each(|(b, s)| *b = (f64::from(*b) / s) as f32);
        }
        let of_inputs: Vec<f64> = (0..seen.len()).map(|i| scales[i % width]).collect();
        multiply_inputs(site.linears, &of_inputs);
        of_inputs
    }
}

fn seen_of(seen: &SeenChannels, site: SiteId) -> Result<&[f32], TransformError> {
    seen.get(&site).map(Vec::as_slice).ok_or(TransformError::NotSeen { site })
}

fn multiply_inputs(linears: &mut [Linear], scales: &[f64]) {
    for linear in linears {
        map_rows(float(linear), |row| row.iter_mut().zip(scales).for_each(|(w, s)| *w *= s));
    }
}
