//! The same random weights, rounded to nearest and written as a bundle.
//!
//! Input scales are constants. Random weights of deviation 1/√fan-in keep activations near unit variance, so a magnitude
//! that is hardly ever exceeded is known for each kind of site: some 4.5 deviations after a norm, the range of normalised
//! pixels in front of the tower, the longer tail of a product behind a gated activation. Scales of different modalities
//! differ, so that a mix-up changes answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mquant::bundle::{
    BundleWriter, InputFormat, Quantization, SiteQuant, StaticScales, WeightFormat, low_rank_a_name, low_rank_b_name,
};
use mquant::checkpoint::{Role, TensorSpec};
use mquant::input::Modality;
use mquant::kernels::{Bits, Bytes, Dtype, Matrix};
use mquant::nn::{CacheFormat, SiteId, SiteKind, Stage, Tower};
use mquant::quantize::{IntFormat, rtn};

use super::SynthError;
use super::stream::{BLOCK, ELEMENT, Written};
use super::values::Values;

/// How a synthetic checkpoint is quantised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quantized {
    /// Weights of blocks and projector.
    pub(crate) weights: Bits,
    /// Weights of the head.
    pub(crate) head: Bits,
    /// Scales of activations.
    pub(crate) input: Input,
    /// Rank of low-rank branches for rows of media over the inputs or outputs of a site, whichever are fewer.
    pub(crate) branches: Option<f64>,
    /// Whether rows of media have gains of their own behind norms of the decoder.
    pub(crate) gains: bool,
}

/// Where the scales of activations come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// One for the vision tower's sites, one a modality elsewhere.
    Static,
    /// Each row's own.
    Dynamic,
}

/// Largest code.
const LARGEST: f32 = 127.0;
/// Size of what a half of a branch makes of values of unit variance.
const BRANCH: f32 = 0.2;
/// How much more magnitude rows of media are expected to have.
const MEDIA: f32 = 1.25;

/// Every site of the model.
pub(super) fn quantization(specs: &[TensorSpec], how: Quantized) -> Quantization {
    let hears = specs.iter().filter_map(TensorSpec::site).any(|id| id.tower() == Tower::Audio);
    let media: Vec<Modality> = [Modality::Vision].into_iter().chain(hears.then_some(Modality::Audio)).collect();
    let site = |id: SiteId| {
        let bits = match id.kind {
            SiteKind::Patch | SiteKind::Conv1 => Bits::Eight,
            SiteKind::Head => how.head,
            _ => how.weights,
        };
        let is_projector = matches!(id.part.stage, Stage::Projector | Stage::Deepstack(_));
        let is_encoder = id.tower() != Tower::Language && !is_projector;
        let input = match how.input {
            Input::Dynamic => InputFormat::PerToken,
            Input::Static if is_encoder => InputFormat::PerTensor,
            Input::Static => InputFormat::PerModality,
        };
        let quant = SiteQuant::new(WeightFormat::Int(IntFormat::per_channel(bits)), input);
        if id.tower() != Tower::Language || id.block_index().is_none() {
            return (id, quant);
        }
        let of_site = || specs.iter().filter(|spec| spec.site() == Some(id)).map(TensorSpec::matrix_shape);
        let outputs: usize = of_site().map(|(outputs, _)| outputs).sum();
        let inputs = of_site().map(|(_, inputs)| inputs).max().unwrap_or(0);
        let rank = |ratio: f64| (ratio * outputs.min(inputs) as f64).ceil() as usize;
        let has_norm = matches!(id.kind, SiteKind::Qkv | SiteKind::Up);
        let gains = if how.gains && has_norm { media.iter().copied().collect() } else { BTreeSet::new() };
        let branches = how.branches.iter().flat_map(|ratio| media.iter().map(|m| (*m, rank(*ratio)))).collect();
        (id, SiteQuant { gains, branches, ..quant })
    };
    let sites: BTreeMap<_, _> = specs.iter().filter_map(TensorSpec::site).map(site).collect();
    let modalities = [Modality::Text].into_iter().chain(media).collect();
    Quantization { modalities, kv_cache: CacheFormat::Codes, sites }
}

/// The static scales of every site that has some.
pub(super) fn input_scales(quantization: &Quantization) -> BTreeMap<SiteId, Vec<f32>> {
    let scale = |id: &SiteId| {
        let largest = match (id.tower(), id.kind) {
            (_, SiteKind::Patch) => 2.7,
            (Tower::Language, SiteKind::Down) => 10.0,
            _ => 4.5,
        };
        largest / LARGEST
    };
    let of = |(id, site): (&SiteId, &SiteQuant)| match site.input {
        InputFormat::Float | InputFormat::PerToken | InputFormat::PerTokenSix => None,
        InputFormat::PerTensor => Some((*id, vec![scale(id)])),
        InputFormat::PerModality => {
            let factor = |modality: &Modality| if *modality == Modality::Text { 1.0 } else { MEDIA };
            Some((*id, quantization.modalities.iter().map(|m| scale(id) * factor(m)).collect()))
        }
    };
    quantization.sites.iter().filter_map(of).collect()
}

/// Makes, quantises and writes all tensors, a block of rows at a time.
///
/// # Errors
/// The disk is full, or the library refuses.
pub(super) fn write(
    mut writer: BundleWriter,
    specs: &[TensorSpec],
    quantization: &Quantization,
    seed: u64,
    written: &Written<'_>,
) -> Result<u64, SynthError> {
    // A map is only there where a transform made one.
    for spec in specs.iter().filter(|spec| !matches!(spec.role, Role::Map(_))) {
        let format = spec.site().and_then(|site| quantization.sites.get(&site)).map(|site| site.weight);
        let source = match &spec.role {
            Role::TiedWeight(_, to) => to,
            _ => &spec.name,
        };
        let values = Values::of(source, &spec.shape, seed);
        let (rows, cols) = match spec.is_vector() {
            true => (1, spec.shape.iter().product()),
            false => spec.matrix_shape(),
        };
        let at_once = (BLOCK / (cols as u64 * ELEMENT)).max(1) as usize;
        for first in (0..rows).step_by(at_once) {
            let count = at_once.min(rows - first);
            let mut block = vec![0; count * cols * ELEMENT as usize];
            values.fill((first * cols) as u64, &mut block);
            let bytes = match format {
                Some(WeightFormat::Int(format)) => {
                    let block = Matrix::from_bytes(Bytes::new(Arc::new(block)), Dtype::Bf16, count, cols);
                    let part = rtn(&block, format).map_err(mquant::Error::from)?;
                    writer.weight(&spec.name, &part).map_err(mquant::Error::from)?;
                    part.codes.as_ref().len() + size_of_val(part.scales.as_slice())
                }
                Some(WeightFormat::Float) | None => {
                    writer.float(&spec.name, &block).map_err(mquant::Error::from)?;
                    block.len()
                }
            };
            written(bytes as u64);
        }
        write_branches(&mut writer, spec, quantization)?;
    }
    let gains = quantization.sites.iter().filter(|(_, quant)| !quant.gains.is_empty());
    let gain = |(id, quant): (&SiteId, &SiteQuant)| {
        let spec = specs.iter().find(|spec| spec.site() == Some(*id)).expect("a site has a weight");
        let factors = vec![1.0; spec.matrix_shape().1];
        (*id, quant.gains.iter().map(|modality| (*modality, factors.clone())).collect())
    };
    let gains = gains.map(gain).collect();
    let scales = StaticScales { input: input_scales(quantization), gains, ..StaticScales::default() };
    Ok(writer.finish(&scales).map_err(mquant::Error::from)?)
}

/// The branches of a site that follow one of its weights, of small random numbers.
fn write_branches(writer: &mut BundleWriter, spec: &TensorSpec, quantization: &Quantization) -> Result<(), SynthError> {
    let Some((site, quant)) = spec.site().and_then(|site| Some((site, quantization.sites.get(&site)?))) else {
        return Ok(());
    };
    let (outputs, inputs) = spec.matrix_shape();
    let mut half = |name: &str, rows: usize, cols: usize| {
        let noise = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 16) as f32 / 32768.0 - 1.0;
        let values = (0..rows * cols).map(|i| noise(i) * BRANCH / (cols as f32).sqrt()).collect();
        let codes = rtn(&Matrix::from_f32(values, rows, cols), IntFormat::per_channel(Bits::Eight));
        writer.weight(name, &codes.map_err(mquant::Error::from)?).map_err(mquant::Error::from)
    };
    for (modality, rank) in &quant.branches {
        half(&low_rank_b_name(&spec.name, *modality), outputs, *rank)?;
    }
    for (modality, rank) in quant.branches.iter().filter(|_| spec.cuts.iter().any(|cut| cut.linear == 0)) {
        half(&low_rank_a_name(site, *modality), *rank, inputs)?;
    }
    Ok(())
}
