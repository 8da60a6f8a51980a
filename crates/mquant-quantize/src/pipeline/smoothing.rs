//! What smoothing by modality leaves to the integer site: factors for the rows of other modalities, and a shared weight that they
//! were not made for.

use std::collections::BTreeMap;

use mquant_kernels::Matrix;

use super::report::{SiteReport, SmoothingReport};
use super::result::{QuantizedSite, QuantizedWeight};
use crate::calibrate::statistics::{SeenRows, SiteStatistics};
use crate::quantize::{Hessian, WeightRows, energy};
use mquant_model::nn::{Modality, SiteMut};

/// The rows of all linears of a float site, one after the other, each channel divided by a factor if there are any: the weight
/// that rows read which were multiplied by the factors.
pub(super) struct FloatRows<'a> {
    pub(super) linears: Vec<&'a Matrix>,
    pub(super) factors: Option<&'a [f32]>,
}

/// What an integer site lacks of [`FloatRows`]; nothing in the channels that are computed beside the main product.
pub(super) struct Lacking<'a> {
    pub(super) float: FloatRows<'a>,
    pub(super) made: &'a QuantizedSite,
}

impl<'a> FloatRows<'a> {
    pub(super) fn of(site: &'a SiteMut<'_>, factors: Option<&'a [f32]>) -> Self {
        let linears = site.linears.iter().filter_map(|linear| linear.weight.float()).collect();
        Self { linears, factors }
    }

    /// The linear that has an output, and which of its own that is.
    fn place(&self, output: usize) -> (usize, usize) {
        let mut first = 0;
        for (i, linear) in self.linears.iter().enumerate() {
            if output < first + linear.rows() {
                return (i, output - first);
            }
            first += linear.rows();
        }
        unreachable!("outputs are asked for as many as there are")
    }
}

impl WeightRows for FloatRows<'_> {
    fn outputs(&self) -> usize {
        self.linears.iter().map(|linear| linear.rows()).sum()
    }

    fn inputs(&self) -> usize {
        self.linears.first().map_or(0, |linear| linear.cols())
    }

    fn read(&self, output: usize, row: &mut [f64]) {
        let (linear, output) = self.place(output);
        let mut values = vec![0f32; row.len()];
        self.linears[linear].read_rows(output..output + 1, &mut values);
        row.iter_mut().zip(&values).for_each(|(to, v)| *to = f64::from(*v));
        if let Some(factors) = self.factors {
            row.iter_mut().zip(factors).for_each(|(v, factor)| *v /= f64::from(*factor));
        }
    }
}

impl WeightRows for Lacking<'_> {
    fn outputs(&self) -> usize {
        self.float.outputs()
    }

    fn inputs(&self) -> usize {
        self.float.inputs()
    }

    fn read(&self, output: usize, row: &mut [f64]) {
        self.float.read(output, row);
        let (linear, output) = self.float.place(output);
        let QuantizedWeight::Int(codes) = &self.made.linears[linear].weight else { return };
        let scales = &codes.scales[output * codes.groups()..];
        for (input, v) in row.iter_mut().enumerate() {
            let scale = scales[codes.group.map_or(0, |group| input / group)];
            *v -= f64::from(codes.code(output, input)) * f64::from(scale);
        }
        for channel in self.made.split.iter().flat_map(|split| &split.channels) {
            row[*channel as usize] = 0.0;
        }
    }
}

/// Scales the factors of each modality by the number that brings the shared weight's outputs closest to what they should be.
///
/// A common factor of all channels changes no code of the activation, but it does change what the shared weight makes of
/// them: with A the rows times their factors f and W the weight, ‖A·(W/f)ᵀ − β·A·Wᵀ‖ is least at β = ⟨W/f, W⟩ / ⟨W, W⟩ under the rows'
/// second moments. What was seen is scaled along.
pub(super) fn balance(
    site: &SiteMut<'_>,
    factors: &mut BTreeMap<Modality, Vec<f32>>,
    seen: &mut SiteStatistics,
    report: &mut SiteReport,
) {
    for (modality, factors) in factors.iter_mut() {
        let Some(rows) = seen.modalities.get_mut(modality) else { continue };
        let beta = match &rows.moments {
            None => 1.0,
            Some(moments) => {
                let (whole, shared) = (FloatRows::of(site, Some(factors)), FloatRows::of(site, None));
                let (found, of_shared) = (energy(moments, &whole, &shared), energy(moments, &shared, &shared));
                if found > 0.0 && of_shared > 0.0 { found / of_shared } else { 1.0 }
            }
        };
        factors.iter_mut().for_each(|factor| *factor = (f64::from(*factor) * beta) as f32);
        scale(rows, beta as f32);
        let bounds = |pick: fn(f32, f32) -> f32| factors.iter().copied().reduce(pick).unwrap_or(1.0);
        let smoothing = SmoothingReport { least: bounds(f32::min), most: bounds(f32::max) };
        report.smoothing.insert(modality.to_string(), smoothing);
    }
}

fn scale(rows: &mut SeenRows, by: f32) {
    rows.channels.iter_mut().for_each(|v| *v *= by);
    rows.first_token *= by;
    rows.other_tokens *= by;
    if let Some(moments) = &mut rows.moments {
        moments.scale(by * by);
    }
}

/// The second moments of the rows of all modalities.
pub(super) fn all_moments(seen: &SiteStatistics) -> Option<Hessian> {
    let mut each = seen.modalities.values().filter_map(|rows| rows.moments.as_ref());
    let mut sum = each.next()?.clone();
    each.for_each(|moments| sum.merge(moments));
    Some(sum)
}

#[cfg(test)]
mod tests {
    use mquant_model::nn::{Linear, Site, SiteId, Weight};

    use super::*;

    #[test]
    fn no_other_common_factor_brings_the_shared_weight_closer() {
        let (outputs, inputs) = (5, 4);
        let value = |i: usize| (i * 37 % 19) as f32 / 9.0 - 1.0;
        let weight = Matrix::from_f32((0..outputs * inputs).map(value).collect(), outputs, inputs);
        let mut head = Site::float(SiteId::HEAD, None, [Linear::plain(Weight::Float(weight.clone()), None)]);
        let rows: Vec<f32> = (0..40 * inputs).map(|i| value(7 * i + i / inputs)).collect();
        let given = [0.3f32, 2.0, 0.9, 1.4];
        // What the linears read of vision: its rows times the factors.
        let read: Vec<f32> = rows.iter().enumerate().map(|(i, v)| v * given[i % inputs]).collect();
        let mut sum = vec![0f32; inputs * inputs];
        for row in read.chunks_exact(inputs) {
            (0..inputs * inputs).for_each(|at| sum[at] += row[at / inputs] * row[at % inputs]);
        }
        let moments = Some(Hessian::from_sum(sum, inputs, 40).expect("a square"));
        let vision = SeenRows { channels: vec![1.0; inputs], moments, ..SeenRows::default() };
        let mut seen = SiteStatistics { modalities: BTreeMap::from([(Modality::Vision, vision)]), hessian: None };
        let mut factors = BTreeMap::from([(Modality::Vision, given.to_vec())]);
        let mut report = SiteReport::default();
        balance(&SiteMut::of(&mut head), &mut factors, &mut seen, &mut report);
        let beta = factors[&Modality::Vision][0] / given[0];
        let error = |beta: f32| -> f64 {
            let weight = weight.to_f32();
            let of = |row: &[f32], output: usize| {
                let terms = row.iter().zip(&given).zip(&weight[output * inputs..]);
                terms.map(|((v, factor), w)| f64::from(v * w * (1.0 - factor * beta))).sum::<f64>().powi(2)
            };
            rows.chunks_exact(inputs).map(|row| (0..outputs).map(|output| of(row, output)).sum::<f64>()).sum()
        };
        assert!((0.3..1.7).contains(&beta) && (beta - 1.0).abs() > 0.05, "{beta}");
        assert!([0.97, 1.03].iter().all(|other| error(beta) < error(beta * other)), "{beta}");
        assert_eq!(seen.modalities[&Modality::Vision].channels, vec![beta; inputs]);
    }
}
