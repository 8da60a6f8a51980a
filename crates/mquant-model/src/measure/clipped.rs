//! What static scales cut off while a model runs: the share of each site's activation beyond the largest code.

use std::collections::BTreeMap;

use mquant_kernels::Rows;

use crate::input::Modality;
use crate::models::Model;
use crate::nn::{ColumnSplit, InputQuant, SiteId, SiteObserver, SiteRows};

/// Codes reach 127; what rounds to more is cut off.
const MOST: f32 = 127.5;

/// Values of one site and modality.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Clipped {
    /// All.
    pub values: u64,
    /// Those beyond the largest code.
    pub clipped: u64,
    /// The largest magnitude, in units of the largest that has a code of its own.
    pub largest: f32,
}

impl Clipped {
    /// The share that was cut off.
    pub fn share(&self) -> f64 {
        self.clipped as f64 / self.values.max(1) as f64
    }
}

/// Watches the sites with static scales.
#[derive(Clone, Debug)]
pub struct ClippedShare {
    /// Scales, and the channels that have others.
    inputs: BTreeMap<SiteId, (InputQuant, Vec<u32>)>,
    seen: BTreeMap<(SiteId, Modality), Clipped>,
}

impl ClippedShare {
    /// For the sites of a model.
    pub fn of(model: &Model) -> Self {
        let mut model = model.clone();
        let mut inputs = BTreeMap::new();
        for part in model.parts() {
            for site in part.sites() {
                inputs.extend(Self::of_site(site.id, site.input, site.split.as_ref()).inputs);
            }
        }
        Self { inputs, seen: BTreeMap::new() }
    }

    /// For one site.
    pub fn of_site(id: SiteId, input: &InputQuant, split: Option<&ColumnSplit>) -> Self {
        let mut inputs = BTreeMap::new();
        if matches!(input, InputQuant::PerTensor(_) | InputQuant::PerModality(_)) {
            let side = split.map_or_else(Vec::new, |split| split.channels.clone());
            inputs.insert(id, (input.clone(), side));
        }
        Self { inputs, seen: BTreeMap::new() }
    }

    /// What was seen, those that lost most first.
    pub fn seen(&self) -> Vec<(SiteId, Modality, Clipped)> {
        let mut all: Vec<_> =
            self.seen.iter().map(|((site, modality), clipped)| (*site, *modality, *clipped)).collect();
        all.sort_by(|a, b| b.2.share().total_cmp(&a.2.share()).then(b.2.largest.total_cmp(&a.2.largest)));
        all
    }
}

impl SiteObserver for ClippedShare {
    fn observe(&mut self, site: SiteId, x: &Rows, rows: SiteRows<'_>) {
        let Some((input, side)) = self.inputs.get(&site) else { return };
        for (modality, range) in rows.spans.iter() {
            let scale = match input {
                InputQuant::PerTensor(scale) => *scale,
                InputQuant::PerModality(scales) => scales.of(modality),
                InputQuant::Float | InputQuant::PerToken | InputQuant::PerTokenSix => continue,
            };
            let seen = self.seen.entry((site, modality)).or_default();
            for row in range {
                for (channel, value) in x.row(row).iter().enumerate() {
                    if side.binary_search(&(channel as u32)).is_ok() {
                        continue;
                    }
                    let codes = value.abs() / scale;
                    seen.values += 1;
                    seen.clipped += u64::from(codes > MOST);
                    seen.largest = seen.largest.max(codes / 127.0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::ModalitySpans;
    use crate::nn::ForwardBatch;
    use crate::nn::ModalityScales;

    #[test]
    fn values_beyond_the_largest_code_are_counted_by_modality() {
        let scales = ModalityScales { text: 1.0, vision: 2.0, audio: 1.0 };
        let inputs = BTreeMap::from([(SiteId::HEAD, (InputQuant::PerModality(scales), vec![1]))]);
        let mut share = ClippedShare { inputs, seen: BTreeMap::new() };
        let mut spans = ModalitySpans::uniform(Modality::Vision, 1);
        spans.push(Modality::Text, 1);
        let pass = ForwardBatch {
            sequences: std::iter::once(0..2).collect(),
            order: vec![0, 1],
            spans,
            ..ForwardBatch::default()
        };
        // The channel in the middle has scales of its own.
        let x = Rows::from_vec(vec![254.0, 9999.0, -256.0, 127.4, 9999.0, -128.0], 3);
        share.observe(SiteId::HEAD, &x, pass.rows());
        let seen = share.seen();
        assert_eq!(seen.len(), 2);
        for (_, modality, clipped) in seen {
            assert_eq!((clipped.values, clipped.clipped, clipped.share()), (2, 1, 0.5), "{modality}");
            assert!((clipped.largest - 128.0 / 127.0).abs() < 1e-6);
        }
    }
}
