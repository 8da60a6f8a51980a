//! Learning: the quantised block is to give what the float block gives (MASQuant, section 4.2).

mod adam;
mod options;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use candle_core::Tensor;
use mquant_kernels::HeadShape;
use mquant_model::nn::{Block, Modality, SiteId, SiteKind};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::LearnError;
use crate::smoothing::{Form, SiteParameters, SiteQuantization, Smoothed, Ties, Trainee, Vectors, add_moments};
use crate::tensor::tensor;
use crate::twin::{PassRows, Twin};

use adam::Adam;
pub use options::{Learned, Options, Progress, Sample};

/// Learns the smoothing vectors of some sites of a float block.
///
/// `sites`: how sites are quantised; the others stay float. `initial`: where vectors start; a quantised site without vectors
/// is not smoothed. Nothing of the result depends on the number of threads.
///
/// Returns None if `progress` ended it early.
///
/// # Errors
/// If a block, site, vector, option or sample does not fit the others, or the loss is not finite.
pub fn learn(
    block: &Block,
    sites: &BTreeMap<SiteId, SiteQuantization>,
    initial: &BTreeMap<SiteId, Vectors>,
    samples: &[Sample<'_>],
    options: &Options,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Option<Learned>, LearnError> {
    options.check()?;
    if samples.is_empty() {
        return Err(LearnError::NoSample);
    }
    let twin = Twin::new(block)?;
    let trainee = trainee(&twin, sites, initial, options)?;
    let of = samples.len() * (2 * options.epochs + 1);
    let mut run = Run { twin: &twin, trainee, samples, options, done: 0, of, progress };
    run.learn(initial)
}

/// The sites with their parameters.
fn trainee(
    twin: &Twin,
    sites: &BTreeMap<SiteId, SiteQuantization>,
    initial: &BTreeMap<SiteId, Vectors>,
    options: &Options,
) -> Result<Trainee, LearnError> {
    let known = |site: &SiteId| twin.sites().iter().any(|own| own.id == *site);
    if let Some(site) = sites.keys().chain(initial.keys()).find(|site| !known(site)) {
        return Err(LearnError::Site { site: *site, part: twin.id });
    }
    if let Some(site) = initial.keys().find(|site| !sites.contains_key(site)) {
        return Err(LearnError::NotQuantised { site: *site });
    }
    let shared = value_channels(twin.attention().shape);
    let mut trainee = Trainee { sites: BTreeMap::new(), form: options.form, learning: false };
    for site in twin.sites() {
        let Some(quantization) = sites.get(&site.id) else { continue };
        quantization.check(site.id, site.linears.first().map_or(0, |linear| linear.weight.width()))?;
        let vectors = initial.get(&site.id).filter(|vectors| !vectors.is_empty());
        let ties = Ties {
            sets: if options.tied { 1 } else { site.linears.len() },
            uniform: options.form == Form::Uniform,
            text: (options.foldable_out && site.id.kind == SiteKind::Out).then_some(&shared[..]),
        };
        let parameters =
            vectors.map(|v| SiteParameters::new(site.id, v, site.inputs(), options.floor, ties)).transpose()?;
        trainee.sites.insert(site.id, Smoothed::new(site, *quantization, parameters));
    }
    Ok(trainee)
}

/// Of each channel that `out` reads, the value channel it comes from.
fn value_channels(HeadShape { heads, kv_heads, head_dim }: HeadShape) -> Vec<u32> {
    let group = heads / kv_heads;
    (0..heads * head_dim).map(|i| (i / head_dim / group * head_dim + i % head_dim) as u32).collect()
}

struct Run<'a> {
    twin: &'a Twin,
    trainee: Trainee,
    samples: &'a [Sample<'a>],
    options: &'a Options,
    done: usize,
    of: usize,
    progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
}

impl Run<'_> {
    fn learn(&mut self, initial: &BTreeMap<SiteId, Vectors>) -> Result<Option<Learned>, LearnError> {
        let mut moments = self.trainee.wanted_moments();
        if !moments.is_empty() {
            for i in 0..self.samples.len() {
                let (x, _, pass) = self.tensors(i)?;
                add_moments(self.twin, &x, &pass, &mut moments)?;
            }
        }
        let (mut losses, mut steps) = (Vec::new(), Vec::new());
        let mut best: Option<(usize, BTreeMap<SiteId, Vec<Vectors>>)> = None;
        let mut adam = Adam::new(self.options.learning_rate, self.options.floor.ln());
        let mut rng = ChaCha8Rng::seed_from_u64(self.options.seed);
        let mut order: Vec<usize> = (0..self.samples.len()).collect();
        for epoch in 0..=self.options.epochs {
            if epoch > 0 {
                order.shuffle(&mut rng);
                for i in &order {
                    match self.step(*i, &mut adam)? {
                        ControlFlow::Continue(loss) => steps.push(loss),
                        ControlFlow::Break(()) => return Ok(None),
                    }
                }
            }
            self.trainee.refresh(self.twin, &moments, self.options.seed)?;
            let ControlFlow::Continue(loss) = self.evaluate()? else { return Ok(None) };
            if best.as_ref().is_none_or(|(at, _)| loss < losses[*at]) {
                best = Some((epoch, self.vectors(initial)?));
            }
            losses.push(loss);
        }
        let (best, vectors) = best.unwrap_or_default();
        Ok(Some(Learned { vectors, losses, best, steps }))
    }

    fn vectors(&self, initial: &BTreeMap<SiteId, Vectors>) -> Result<BTreeMap<SiteId, Vec<Vectors>>, LearnError> {
        let mut all = BTreeMap::new();
        for (id, site) in &self.trainee.sites {
            let (Some(parameters), Some(vectors)) = (site.parameters(), initial.get(id)) else { continue };
            let asked: Vec<Modality> = vectors.keys().copied().collect();
            all.insert(*id, parameters.vectors(&asked)?);
        }
        Ok(all)
    }

    /// One step of AdamW; its loss.
    fn step(&mut self, sample: usize, adam: &mut Adam) -> Result<ControlFlow<(), f64>, LearnError> {
        self.trainee.learning = true;
        let loss = self.loss(sample)?;
        let gradients = loss.backward()?;
        let variables = self.trainee.sites.values().filter_map(Smoothed::parameters).flat_map(SiteParameters::vars);
        adam.step(variables, &gradients)?;
        self.report(sample, &loss)
    }

    /// Mean loss over all samples.
    fn evaluate(&mut self) -> Result<ControlFlow<(), f64>, LearnError> {
        self.trainee.learning = false;
        let mut sum = 0.0;
        for sample in 0..self.samples.len() {
            let loss = self.loss(sample)?;
            match self.report(sample, &loss)? {
                ControlFlow::Continue(loss) => sum += loss,
                stop @ ControlFlow::Break(()) => return Ok(stop),
            }
        }
        Ok(ControlFlow::Continue(sum / self.samples.len() as f64))
    }

    fn report(&mut self, sample: usize, loss: &Tensor) -> Result<ControlFlow<(), f64>, LearnError> {
        let loss = f64::from(loss.to_scalar::<f32>()?);
        if !loss.is_finite() {
            return Err(LearnError::NotFinite { part: self.twin.id, sample });
        }
        self.done += 1;
        Ok(match (self.progress)(Progress { done: self.done, of: self.of, loss }) {
            ControlFlow::Continue(()) => ControlFlow::Continue(loss),
            ControlFlow::Break(()) => ControlFlow::Break(()),
        })
    }

    /// Σ_m λ_m·Σ_{rows of m} |Y − target| / values of the sample.
    fn loss(&mut self, sample: usize) -> Result<Tensor, LearnError> {
        let (x, target, pass) = self.tensors(sample)?;
        let y = self.twin.run(&x, &pass, &mut self.trainee)?;
        let weight = |modality| self.options.loss_weights.get(modality).copied().unwrap_or(1.0);
        let weights: Vec<f32> = pass.modality.iter().map(weight).collect();
        let rows = weights.len();
        let of_rows = (y - &target)?.abs()?.mean(1)?;
        Ok((of_rows * tensor(weights, rows)?)?.mean_all()?)
    }

    fn tensors(&self, sample: usize) -> Result<(Tensor, Tensor, PassRows), LearnError> {
        let Sample { input, target, pass } = self.samples[sample];
        let shape = (input.rows(), input.features());
        if shape != (target.rows(), target.features()) || shape.0 == 0 {
            let what = format!("{} × {} in, {} × {} out", shape.0, shape.1, target.rows(), target.features());
            return Err(LearnError::Sample { sample, what });
        }
        let rows = self.twin.pass(pass, shape, sample)?;
        Ok((tensor(input.as_slice().to_vec(), shape)?, tensor(target.as_slice().to_vec(), shape)?, rows))
    }
}
