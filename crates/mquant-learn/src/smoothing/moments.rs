//! Second moments of what sites read.

use std::collections::BTreeMap;

use candle_core::Tensor;
use mquant_model::nn::{Modality, SiteId};

use crate::LearnError;
use crate::product::{Factor, product};
use crate::tensor::with_values;
use crate::twin::{Floats, PassRows, Sites, TwinSite};

/// Σ x·xᵀ over the rows of a modality: channels × channels, before smoothing and rotation.
pub(crate) type Moment = Vec<f64>;

/// Runs the float block and adds up the second moments of what some sites read.
pub(crate) struct Watched<'a> {
    /// The sums so far; what is not in it is not watched.
    pub(crate) moments: &'a mut BTreeMap<(SiteId, Modality), Moment>,
}

impl Sites for Watched<'_> {
    fn apply(&mut self, site: &TwinSite, x: &Tensor, pass: &PassRows) -> Result<Vec<Tensor>, LearnError> {
        let channels = site.inputs();
        for ((_, modality), sum) in self.moments.iter_mut().filter(|((id, _), _)| *id == site.id) {
            let rows = with_values(x, |x| {
                let rows = x.chunks(channels).zip(&*pass.modality).filter(|(_, m)| *m == modality);
                Ok(rows.flat_map(|(row, _)| row).copied().collect::<Vec<f32>>())
            })?;
            let rows = Factor::new(&rows, rows.len() / channels, channels);
            let moment = product(rows.t(), rows);
            if sum.is_empty() {
                sum.resize(moment.len(), 0.0);
            }
            sum.iter_mut().zip(moment).for_each(|(sum, m)| *sum += f64::from(m));
        }
        Floats.apply(site, x, pass)
    }
}
