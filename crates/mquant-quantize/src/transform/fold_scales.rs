//! Scales of single channels moved from the activation of a site into the weights that read it: what reaches the linears is
//! divided where it is made, in the gain and bias of the norm or in the outputs of the producer, and their weights are
//! multiplied.

use std::collections::{BTreeMap, BTreeSet};

use super::wide::{float, map_rows};
use super::{ReadChange, ReadChanges, TransformError};
use mquant_model::nn::{Linear, NormKind, Part, SiteId, SiteMut};

/// Inputs of a site, and the outputs in front that make them: several inputs may share one.
pub(super) struct Sources<'a> {
    pub(super) site: SiteId,
    pub(super) linears: &'a mut [Linear],
    /// Of each input, the output that makes it.
    pub(super) of_input: Vec<usize>,
    /// Outputs in front.
    pub(super) count: usize,
}

/// Asks for one scale for each output in front of each of the sites, and moves it.
pub(super) fn fold_scales(
    part: &mut dyn Part,
    sites: &BTreeSet<SiteId>,
    scales: &mut dyn FnMut(Sources<'_>) -> Result<Vec<f64>, TransformError>,
) -> Result<ReadChanges, TransformError> {
    let mut changes = ReadChanges::new();
    let mut done = BTreeSet::new();
    for mut site in part.sites() {
        if sites.contains(&site.id) && site.norm.is_some() {
            let of_inputs = fold_into_norm(&mut site, scales)?;
            done.insert(site.id);
            changes.push((site.id, ReadChange::Channels { scale: of_inputs, shift: None }));
        }
    }
    for pair in part.pairs() {
        let site = pair.consumer.id;
        if !sites.contains(&site) || done.contains(&site) {
            continue;
        }
        let inputs = float(pair.consumer.linears.first_mut().expect("a site has linears")).cols();
        let of_input: Vec<usize> = (0..inputs).map(|i| pair.source(i)).collect();
        let count = pair.producer.weight.rows();
        let found = scales(Sources { site, linears: pair.consumer.linears, of_input: of_input.clone(), count })?;
        let cols = float(pair.producer).cols();
        for (row, s) in float(pair.producer).make_mut().chunks_exact_mut(cols).zip(&found) {
            row.iter_mut().for_each(|w| *w = (f64::from(*w) / s) as f32);
        }
        if let Some(bias) = &mut pair.producer.bias {
            bias.iter_mut().zip(&found).for_each(|(b, s)| *b = (f64::from(*b) / s) as f32);
        }
        let of_inputs: Vec<f64> = of_input.iter().map(|source| found[*source]).collect();
        multiply_inputs(pair.consumer.linears, &of_inputs);
        changes.push((site, ReadChange::Channels { scale: of_inputs, shift: None }));
        done.insert(site);
    }
    let left = part.sites().into_iter().map(|site| site.id).find(|id| sites.contains(id) && !done.contains(id));
    left.map_or(Ok(changes), |site| Err(TransformError::NothingToScale { site }))
}

/// Moves scales that are known: one for each input of each of the sites that the part has.
///
/// # Errors
/// A site with nothing in front, or with other inputs.
pub fn fold_known_scales(part: &mut dyn Part, known: &BTreeMap<SiteId, Vec<f64>>) -> Result<(), TransformError> {
    let sites = known.keys().copied().collect();
    fold_scales(part, &sites, &mut |Sources { site, of_input, count, .. }| {
        let known = known.get(&site).filter(|known| known.len() == of_input.len());
        let known = known.ok_or(TransformError::NotSeen { site })?;
        let mut scales = vec![1.0; count];
        of_input.iter().zip(known).for_each(|(source, scale)| scales[*source] = *scale);
        Ok(scales)
    })?;
    Ok(())
}

/// Returns the scale of each of the site's inputs.
fn fold_into_norm(
    site: &mut SiteMut<'_>,
    scales: &mut dyn FnMut(Sources<'_>) -> Result<Vec<f64>, TransformError>,
) -> Result<Vec<f64>, TransformError> {
    let inputs = float(site.linears.first_mut().expect("a site has linears")).cols();
    let norm = site.norm.as_mut().expect("asked only of sites with a norm");
    let width = norm.gain.len();
    let of_input: Vec<usize> = (0..inputs).map(|i| i % width).collect();
    let found = scales(Sources { site: site.id, linears: site.linears, of_input: of_input.clone(), count: width })?;
    norm.gain.iter_mut().zip(&found).for_each(|(g, s)| *g = (f64::from(*g) / s) as f32);
    if let NormKind::Layer { bias } = &mut norm.kind {
        bias.iter_mut().zip(&found).for_each(|(b, s)| *b = (f64::from(*b) / s) as f32);
    }
    let of_inputs: Vec<f64> = of_input.iter().map(|source| found[*source]).collect();
    multiply_inputs(site.linears, &of_inputs);
    Ok(of_inputs)
}

fn multiply_inputs(linears: &mut [Linear], scales: &[f64]) {
    for linear in linears {
        map_rows(float(linear), |row| row.iter_mut().zip(scales).for_each(|(w, s)| *w *= s));
    }
}

/// The largest magnitude of a weight of the linears for each of `count` outputs in front.
pub(super) fn largest_weights(linears: &mut [Linear], of_input: &[usize], count: usize) -> Vec<f64> {
    let mut weights = vec![0f64; count];
    for linear in linears {
        let (matrix, mut row) = (float(linear), vec![0f32; of_input.len()]);
        for output in 0..matrix.rows() {
            matrix.read_rows(output..output + 1, &mut row);
            for (source, w) in of_input.iter().zip(&row) {
                weights[*source] = weights[*source].max(f64::from(w.abs()));
            }
        }
    }
    weights
}

/// The largest magnitude that reaches the linears from each of `count` outputs in front.
pub(super) fn largest_activations(seen: &[f32], of_input: &[usize], count: usize) -> Vec<f64> {
    let mut activations = vec![0f64; count];
    for (source, seen) in of_input.iter().zip(seen) {
        activations[*source] = activations[*source].max(f64::from(*seen));
    }
    activations
}
