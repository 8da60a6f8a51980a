//! The block while it is learned: smoothed and quantised sites.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use mquant_kernels::Cpu;
use mquant_model::nn::{Modality, SiteId};
use rayon::prelude::*;

use super::branch::{Branch, branch, whiten};
use super::moments::{Moment, Watched};
use super::parameters::{SiteParameters, Vector};
use super::{ActivationQuantization, Form, SiteQuantization};
use crate::LearnError;
use crate::ops::{self, Scales, WeightCodes, smoothed_linear};
use crate::tensor::{TensorResult, indices, with_values};
use crate::twin::{Floats, PassRows, Sites, Twin, TwinLinear, TwinSite};

/// A quantised site.
#[derive(Debug)]
pub(crate) struct Smoothed {
    quantization: SiteQuantization,
    parameters: Option<SiteParameters>,
    /// The quantised weight of each linear, where there is nothing to learn.
    fixed: Vec<Arc<Vec<f32>>>,
    /// Branches of the deployed form, by linear and vector.
    branches: BTreeMap<(usize, usize), Branch>,
}

/// All quantised sites of a block; the others stay float.
#[derive(Debug)]
pub(crate) struct Trainee {
    pub(crate) sites: BTreeMap<SiteId, Smoothed>,
    pub(crate) form: Form,
    /// Whether results know their gradients.
    pub(crate) learning: bool,
}

/// What the linears of a set read.
struct Read {
    /// Smoothed and rotated.
    float: Tensor,
    quantized: Tensor,
    /// s of each vector.
    vectors: Vec<Tensor>,
}

/// The rows of each vector: its place, the rows, and the rows as a tensor.
type RowsOf = Vec<(usize, Vec<u32>, Tensor)>;

impl Smoothed {
    pub(crate) fn new(site: &TwinSite, quantization: SiteQuantization, parameters: Option<SiteParameters>) -> Self {
        let codes = codes_of(&quantization);
        let ones = vec![1.0; site.inputs()];
        let fixed = |linear: &TwinLinear| match codes {
            Some(_) => Arc::new(linear.weight.quantized(&ones, codes)),
            None => linear.stored.clone(),
        };
        let fixed = if parameters.is_none() { site.linears.iter().map(fixed).collect() } else { Vec::new() };
        Self { quantization, parameters, fixed, branches: BTreeMap::new() }
    }

    pub(crate) fn parameters(&self) -> Option<&SiteParameters> {
        self.parameters.as_ref()
    }

    fn quantize(&self, x: &Tensor, pass: &PassRows) -> TensorResult<Tensor> {
        match self.quantization.activation {
            ActivationQuantization::Float => Ok(x.clone()),
            ActivationQuantization::PerToken { bits } => ops::quantize(x, bits, Scales::PerRow),
            ActivationQuantization::PerModality { bits } => {
                let sets = pass.modality.iter().map(|modality| *modality as u32).collect();
                ops::quantize(x, bits, Scales::PerSet(Arc::new(sets)))
            }
        }
    }
}

fn codes_of(quantization: &SiteQuantization) -> Option<WeightCodes> {
    quantization.weight.map(|weight| WeightCodes { bits: weight.bits, group: weight.group })
}

/// The vector whose weight all rows meet in the deployed form: that of text, where there is one.
pub(crate) fn base_of(parameters: &SiteParameters) -> usize {
    parameters.modalities.iter().position(|modality| *modality == Modality::Text).unwrap_or(0)
}

impl Trainee {
    fn value(&self, vector: &Vector) -> TensorResult<Tensor> {
        let s = vector.value()?;
        Ok(if self.learning { s } else { s.detach() })
    }

    /// What the linears of one set read.
    fn read(
        &self,
        site: &TwinSite,
        state: &Smoothed,
        set: &[Vector],
        x: &Tensor,
        rows: &RowsOf,
        pass: &PassRows,
    ) -> TensorResult<Read> {
        let vectors = set.iter().map(|vector| self.value(vector)).collect::<TensorResult<Vec<_>>>()?;
        let smoothed = match &rows[..] {
            [(only, ..)] => x.broadcast_div(&vectors[*only])?,
            _ => {
                let mut slots = vec![0u32; x.dim(0)?];
                rows.iter().for_each(|(slot, rows, _)| rows.iter().for_each(|row| slots[*row as usize] = *slot as u32));
                (x / Tensor::stack(&vectors, 0)?.index_select(&indices(slots)?, 0)?)?
            }
        };
        let float = site.rotated(&smoothed)?;
        let quantized = state.quantize(&float, pass)?;
        Ok(Read { float, quantized, vectors })
    }

    /// Each row meets the weight of its own vector.
    fn own_weights(
        &self,
        linear: &TwinLinear,
        codes: Option<WeightCodes>,
        read: &Read,
        rows: &RowsOf,
    ) -> TensorResult<Tensor> {
        if let [(only, ..)] = &rows[..] {
            return smoothed_linear(&read.quantized, &read.vectors[*only], &linear.weight, codes);
        }
        let parts = rows.iter().map(|(slot, _, rows)| {
            smoothed_linear(&read.quantized.index_select(rows, 0)?, &read.vectors[*slot], &linear.weight, codes)
        });
        let parts = Tensor::cat(&parts.collect::<TensorResult<Vec<_>>>()?, 0)?;
        let mut places = vec![0u32; read.quantized.dim(0)?];
        let order = rows.iter().flat_map(|(_, rows, _)| rows);
        order.zip(0u32..).for_each(|(row, place)| places[*row as usize] = place);
        parts.index_select(&indices(places)?, 0)
    }

    /// All rows meet the base's weight; those of other vectors add their branches.
    fn shared_weight(
        &self,
        (index, linear): (usize, &TwinLinear),
        state: &Smoothed,
        base: usize,
        read: &Read,
        rows: &RowsOf,
    ) -> TensorResult<Tensor> {
        let codes = codes_of(&state.quantization);
        let branches = rows.iter().filter(|(slot, ..)| *slot != base);
        let branches: Vec<_> = branches
            .filter_map(|(slot, _, rows)| state.branches.get(&(index, *slot)).map(|branch| (*slot, rows, branch)))
            .collect();
        // C·Bᵀ is the base's product with more rows.
        let mut entering = vec![read.quantized.clone()];
        entering.extend(branches.iter().map(|(_, _, branch)| branch.c.clone()));
        let products = smoothed_linear(&Tensor::cat(&entering, 0)?, &read.vectors[base], &linear.weight, codes)?;
        let mut at = read.quantized.dim(0)?;
        let mut y = products.narrow(0, 0, at)?;
        for (slot, rows, branch) in branches {
            let rank = branch.c.dim(0)?;
            let own = smoothed_linear(&branch.c, &read.vectors[slot], &linear.weight, None)?;
            let difference = (own - products.narrow(0, at, rank)?)?;
            let x = read.float.index_select(rows, 0)?.unsqueeze(0)?;
            let inner = ops::matmul(&x, &branch.a.unsqueeze(0)?)?;
            let added = ops::matmul(&inner, &difference.unsqueeze(0)?)?.squeeze(0)?;
            y = y.index_add(rows, &added, 0)?;
            at += rank;
        }
        Ok(y)
    }

    /// What `refresh` needs for the deployed form: second moments that are still to be summed.
    pub(crate) fn wanted_moments(&self) -> BTreeMap<(SiteId, Modality), Moment> {
        let of = |(id, state): (&SiteId, &Smoothed)| {
            let parameters = state.parameters()?;
            let base = base_of(parameters);
            let others = parameters.modalities.iter().enumerate().filter(|(slot, _)| *slot != base);
            Some(others.map(|(_, modality)| ((*id, *modality), Moment::new())).collect::<Vec<_>>())
        };
        match self.form {
            Form::Deployed { .. } => self.sites.iter().filter_map(of).flatten().collect(),
            Form::Published | Form::Uniform => BTreeMap::new(),
        }
    }

    /// Finds the branches anew for the vectors as they are.
    pub(crate) fn refresh(
        &mut self,
        twin: &Twin,
        moments: &BTreeMap<(SiteId, Modality), Moment>,
        seed: u64,
    ) -> Result<(), LearnError> {
        let Form::Deployed { rank_ratio } = self.form else { return Ok(()) };
        for site in twin.sites() {
            let Some(state) = self.sites.get_mut(&site.id) else { continue };
            let Some(parameters) = &state.parameters else { continue };
            let (base, codes) = (base_of(parameters), codes_of(&state.quantization));
            for (slot, modality) in parameters.modalities.iter().enumerate() {
                let Some(moment) = moments.get(&(site.id, *modality)).filter(|moment| !moment.is_empty()) else {
                    continue;
                };
                for (first, set) in parameters.sets.iter().enumerate() {
                    let values = |slot: usize| with_values(&set[slot].value()?, |s| Ok(s.to_vec()));
                    let (own, shared) = (values(slot)?, values(base)?);
                    let width = site.linears.first().map_or(0, |linear| linear.weight.width());
                    let moment = as_read(moment, &own, site, width);
                    let factor =
                        whiten(&moment, width).ok_or(LearnError::Moments { site: site.id, modality: *modality })?;
                    let of_set = |i: usize| parameters.sets.len() == 1 || i == first;
                    for (i, linear) in site.linears.iter().enumerate().filter(|(i, _)| of_set(*i)) {
                        let mut d = linear.weight.quantized(&own, None);
                        let b = linear.weight.quantized(&shared, codes);
                        d.iter_mut().zip(b).for_each(|(d, b)| *d -= b);
                        let outputs = linear.weight.outputs;
                        let rank = (rank_ratio * outputs.min(width) as f64).round().max(1.0) as usize;
                        state.branches.insert((i, slot), branch(&factor, &d, outputs, rank, seed)?);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Second moments of rows after they are divided by `s` and rotated.
fn as_read(moment: &Moment, s: &[f32], site: &TwinSite, width: usize) -> Moment {
    let inputs = s.len();
    let mut all = vec![0f64; width * width];
    for (i, row) in moment.chunks(inputs).enumerate() {
        let scaled = row.iter().zip(s).map(|(v, s_j)| v / f64::from(*s_j) / f64::from(s[i]));
        all[i * width..].iter_mut().zip(scaled).for_each(|(to, v)| *to = v);
    }
    if let Some(rotation) = &site.rotation {
        let cpu = Cpu::detect();
        // H·C·Hᵀ: rows, then, as C is symmetric, rows of the transpose.
        for _ in 0..2 {
            all.par_chunks_mut(width).for_each(|row| rotation.rotate_row_f64(cpu, row));
            all = (0..width * width).map(|i| all[i % width * width + i / width]).collect();
        }
    }
    all
}

impl Sites for Trainee {
    fn apply(&mut self, site: &TwinSite, x: &Tensor, pass: &PassRows) -> Result<Vec<Tensor>, LearnError> {
        let Some(state) = self.sites.get(&site.id) else { return Floats.apply(site, x, pass) };
        let Some(parameters) = &state.parameters else {
            let x = state.quantize(&site.rotated(x)?, pass)?;
            let linears = site.linears.iter().zip(&state.fixed);
            return linears.map(|(linear, weight)| Ok(linear.on(&x, weight)?)).collect();
        };
        let mut rows: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for (row, modality) in (0u32..).zip(&*pass.modality) {
            let slot = parameters.slot(*modality);
            let slot = slot.ok_or(LearnError::NoVector { site: site.id, modality: *modality })?;
            rows.entry(slot).or_default().push(row);
        }
        let rows = rows.into_iter().map(|(slot, rows)| Ok((slot, rows.clone(), indices(rows)?)));
        let rows = rows.collect::<TensorResult<RowsOf>>()?;
        let reads = parameters.sets.iter().map(|set| self.read(site, state, set, x, &rows, pass));
        let reads = reads.collect::<TensorResult<Vec<_>>>()?;
        let mut results = Vec::with_capacity(site.linears.len());
        for (i, linear) in site.linears.iter().enumerate() {
            let read = if reads.len() == 1 { &reads[0] } else { &reads[i] };
            let y = match self.form {
                Form::Published | Form::Uniform => {
                    self.own_weights(linear, codes_of(&state.quantization), read, &rows)?
                }
                Form::Deployed { .. } => self.shared_weight((i, linear), state, base_of(parameters), read, &rows)?,
            };
            results.push(linear.with_bias(y)?);
        }
        Ok(results)
    }
}

/// Adds the second moments of what the sites read in one pass of the float block.
pub(crate) fn add_moments(
    twin: &Twin,
    x: &Tensor,
    pass: &PassRows,
    moments: &mut BTreeMap<(SiteId, Modality), Moment>,
) -> Result<(), LearnError> {
    twin.run(x, pass, &mut Watched { moments }).map(drop)
}
