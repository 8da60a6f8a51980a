//! Committed units put together as a bundle, in the order of the family's tensors.

use std::collections::{BTreeMap, BTreeSet};

use mquant_kernels::{Dtype, Matrix, Values};
use serde_json::{Value, json};

use super::report::{SiteReport, UnitReport};
use super::result::{QuantizedLinear, QuantizedSite, QuantizedUnit, QuantizedWeight};
use super::smoothing_file::{self, Smoothing};
use super::{PipelineError, QuantizeOptions, Summary, card, unit_file};
use crate::job::Job;
use crate::quantize::IntFormat;
use mquant_model::bundle::{
    BundleTarget, BundleWriter, FloatFormat, InputFormat, NormFormat, Quantization, SiteQuant, StaticScales,
    WeightFormat, bias_name, low_rank_a_name, low_rank_b_name, side_weight_name, small_files,
};
use mquant_model::checkpoint::{HeadNormOf, NormValue, Presence, Role, TensorSpec};
use mquant_model::error::{Error, Result};
use mquant_model::input::Modality;
use mquant_model::models::Model;
use mquant_model::nn::{InputQuant, NormKind, PartId, SiteId, Tower};
use mquant_model::run::LoadedModel;

/// Bytes of weights in a file, as published models have them.
const SHARD_BYTES: u64 = 4 << 30;
/// What has to be known of all sites before the first tensor is written.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// The modalities with scales of their own, in the order they are stored.
    modalities: Vec<Modality>,
    sites: BTreeMap<SiteId, SiteQuant>,
    scales: StaticScales,
    /// Whether each linear of a site has a bias.
    biases: BTreeMap<SiteId, Vec<bool>>,
    /// Parts with a map behind what writes their stream.
    maps: BTreeSet<PartId>,
    /// What smoothing folded.
    smoothing: Smoothing,
}

impl Collected {
    /// Nothing of the units of a model yet.
    pub(super) fn of(model: &Model) -> Self {
        let is_there = |modality: &Modality| match modality {
            Modality::Text | Modality::Vision => true,
            Modality::Audio => model.encoder(Tower::Audio).is_some(),
        };
        let modalities = [Modality::Text, Modality::Vision, Modality::Audio].into_iter().filter(is_there).collect();
        Self { modalities, ..Self::default() }
    }

    pub(super) fn note_unit(&mut self, id: PartId, unit: &QuantizedUnit) {
        unit.sites.iter().for_each(|site| self.note(site));
        self.smoothing.extend(unit.smoothing.clone());
        if unit.map.is_some() {
            self.maps.insert(id);
        }
    }

    fn note(&mut self, site: &QuantizedSite) {
        let weight = match site.linears.first().map(|linear| &linear.weight) {
            Some(QuantizedWeight::Int(w)) => WeightFormat::Int(IntFormat { bits: w.bits, group: w.group }),
            _ => WeightFormat::Float,
        };
        let is_bare = |norm: &mquant_model::nn::Norm| {
            matches!(norm.kind, NormKind::Rms) && norm.gain.iter().all(|gain| *gain == 1.0)
        };
        let norm = if site.norm.as_ref().is_some_and(is_bare) { NormFormat::Rms } else { NormFormat::Published };
        let side_columns = site.split.as_ref().map_or_else(Vec::new, |split| split.channels.clone());
        let (input, scales) = stored(&site.input, &self.modalities);
        self.scales.input.insert(site.id, scales);
        if let Some(split) = &site.split {
            self.scales.side.insert(site.id, stored(&split.input, &self.modalities).1);
        }
        let factors = site.gains.as_ref().map(|gains| gains.factors().clone()).unwrap_or_default();
        let gains = factors.keys().copied().collect();
        if !factors.is_empty() {
            self.scales.gains.insert(site.id, factors);
        }
        let branches = site.branches.iter().map(|branch| (branch.modality, branch.weight.rows)).collect();
        let rotation = site.rotation.clone();
        let quant = SiteQuant { weight, input, norm, rotation, side_columns, gains, branches };
        self.sites.insert(site.id, quant);
        self.biases.insert(site.id, site.linears.iter().map(|linear| linear.bias.is_some()).collect());
    }
}

/// How an input is stored, and its scales in the order of `modalities`.
fn stored(input: &InputQuant, modalities: &[Modality]) -> (InputFormat, Vec<f32>) {
    match input {
        InputQuant::Float => (InputFormat::Float, Vec::new()),
        InputQuant::PerToken => (InputFormat::PerToken, Vec::new()),
        InputQuant::PerTokenSix => (InputFormat::PerTokenSix, Vec::new()),
        InputQuant::PerTensor(scale) => (InputFormat::PerTensor, vec![*scale]),
        InputQuant::PerModality(scales) => {
            (InputFormat::PerModality, modalities.iter().map(|modality| scales.of(*modality)).collect())
        }
    }
}

/// Writes the bundle and gives it its name. Returns the bytes of its tensors.
pub(super) fn finish(
    job: Job,
    loaded: &LoadedModel,
    options: &QuantizeOptions<'_>,
    collected: &Collected,
    summary: &Summary,
) -> Result<u64> {
    let provenance = provenance(options, summary);
    let config = loaded.checkpoint.bytes("config.json")?;
    let config: Value = serde_json::from_slice(&config).expect("it was read before");
    let config = config.as_object().expect("it was an object before");
    let quantization = Quantization {
        modalities: collected.modalities.clone(),
        kv_cache: options.recipe.kv_cache,
        sites: collected.sites.clone(),
    };
    let files = small_files(&loaded.checkpoint)?;
    let floats = FloatFormat { vectors: Dtype::F32, matrices: loaded.model.decoder.embedding.0.dtype() };
    let specs = specs(loaded, options, collected);
    let mut bytes = 0;
    job.finish::<Error>(&provenance, |job, folder| {
        folder.write(card::FILE, card::text(loaded, options, summary).as_bytes())?;
        let target = BundleTarget {
            dir: options.output,
            config,
            small_files: &files,
            specs: &specs,
            quantization: &quantization,
            floats,
            shard_bytes: SHARD_BYTES,
        };
        let mut writer = BundleWriter::create_in(folder, &target)?;
        let mut units = Units { job, current: None };
        for spec in &specs {
            write(spec, &mut writer, &mut units, &quantization, &loaded.model)?;
        }
        let (folder, written) = writer.finish_tensors(&collected.scales)?;
        bytes = written;
        if !collected.smoothing.is_empty() {
            folder.write(smoothing_file::FILE, &smoothing_file::to_bytes(&collected.smoothing))?;
        }
        Ok(folder)
    })?;
    Ok(bytes)
}

/// The tensors to write: those published, a tied head where it is no longer the embedding, and biases that were made.
fn specs(loaded: &LoadedModel, options: &QuantizeOptions<'_>, collected: &Collected) -> Vec<TensorSpec> {
    let published = loaded.blueprint.published();
    let is_changed = options.recipe.steps.iter().any(|step| !matches!(step.name(), "quantize" | "split_columns"));
    let mut specs: Vec<TensorSpec> = Vec::new();
    for spec in &published {
        let mut spec = spec.clone();
        if matches!(&spec.role, Role::Map(part) if collected.maps.contains(part)) {
            spec.presence = Presence::Required;
        }
        if matches!(spec.role, Role::TiedWeight(..)) && is_changed {
            spec.presence = Presence::Required;
        }
        let Some(site) = spec.site() else {
            specs.push(spec);
            continue;
        };
        let biases = collected.biases.get(&site);
        let has_bias = spec.cuts.iter().any(|cut| biases.and_then(|b| b.get(cut.linear)).copied().unwrap_or(false));
        let (name, outputs) = (bias_name(&spec.name), spec.matrix_shape().0);
        let made = TensorSpec { cuts: spec.cuts.clone(), ..TensorSpec::bias_of(site, name.clone(), outputs) };
        specs.push(spec);
        if has_bias && !published.iter().any(|spec| spec.name == name) {
            specs.push(made);
        }
    }
    specs
}

/// Committed units, one at a time in memory.
struct Units<'j> {
    job: &'j mut Job,
    current: Option<(PartId, QuantizedUnit)>,
}

impl Units<'_> {
    fn get(&mut self, unit: PartId) -> Result<&QuantizedUnit> {
        if self.current.as_ref().is_none_or(|(current, _)| *current != unit) {
            self.current = None;
            let bytes = self.job.unit(&unit.to_string());
            let read = bytes.and_then(|bytes| unit_file::from_bytes(&bytes)).ok_or(PipelineError::Damaged { unit })?;
            self.current = Some((unit, read));
        }
        Ok(&self.current.as_ref().expect("read just now").1)
    }

    fn site(&mut self, id: SiteId) -> Result<&QuantizedSite> {
        let site = self.get(id.part)?.sites.iter().find(|site| site.id == id);
        Ok(site.ok_or(PipelineError::Tensors { site: id })?)
    }
}

fn write(
    spec: &TensorSpec,
    writer: &mut BundleWriter,
    units: &mut Units<'_>,
    quantization: &Quantization,
    model: &Model,
) -> Result<()> {
    let name = &spec.name;
    match &spec.role {
        Role::Weight(id) | Role::TiedWeight(id, _) => {
            let is_float = matches!(quantization.sites[id].weight, WeightFormat::Float);
            if spec.presence == Presence::Optional && is_float {
                return Ok(());
            }
            let linears = linears_of(spec, units.site(*id)?)?;
            for linear in &linears {
                match &linear.weight {
                    QuantizedWeight::Int(codes) => writer.weight(name, codes)?,
                    QuantizedWeight::Float(matrix) => writer.float(name, bytes_of(matrix))?,
                }
            }
            for side in linears.iter().filter_map(|linear| linear.side.as_ref()) {
                writer.weight(&side_weight_name(name), side)?;
            }
            let site = units.site(*id)?;
            for (i, branch) in site.branches.iter().enumerate() {
                for linear in linears_of(spec, site)? {
                    writer.weight(&low_rank_b_name(name, branch.modality), &linear.branches[i])?;
                }
            }
            for branch in site.branches.iter().filter(|_| spec.cuts.iter().any(|cut| cut.linear == 0)) {
                writer.weight(&low_rank_a_name(*id, branch.modality), &branch.weight)?;
            }
        }
        Role::Bias(id) => {
            let mut bias: Vec<f32> = Vec::new();
            for linear in linears_of(spec, units.site(*id)?)? {
                bias.extend(linear.bias.as_ref().ok_or(PipelineError::Tensors { site: *id })?);
            }
            writer.float(name, bytemuck::cast_slice(&bias))?;
        }
        Role::Norm(id, value) => {
            if quantization.sites[id].norm == NormFormat::Rms {
                return Ok(());
            }
            let norm = units.site(*id)?.norm.as_ref().ok_or(PipelineError::Tensors { site: *id })?;
            let values = match (value, &norm.kind) {
                (NormValue::Gain, _) => &norm.gain,
                (NormValue::Bias, NormKind::Layer { bias }) => bias,
                (NormValue::Bias, NormKind::Rms) => return Err(PipelineError::Tensors { site: *id }.into()),
            };
            writer.float(name, bytemuck::cast_slice(values))?;
        }
        Role::Table(part) => {
            let table = units.get(*part)?.table.as_ref();
            writer.float(name, bytes_of(table.ok_or(PipelineError::Damaged { unit: *part })?))?;
        }
        Role::Map(part) => {
            if let Some(map) = units.get(*part)?.map.as_ref() {
                writer.float(name, bytes_of(map))?;
            }
        }
        Role::HeadNorm(part, of) => {
            let mut layer = model.layer(*part).ok_or(PipelineError::Damaged { unit: *part })?.boxed();
            let norms = layer.attention().and_then(|attention| attention.head_norms.clone());
            let norms = norms.ok_or(PipelineError::Damaged { unit: *part })?;
            let gain = match of {
                HeadNormOf::Queries => norms.q,
                HeadNormOf::Keys => norms.k,
            };
            writer.float(name, bytemuck::cast_slice(&gain))?;
        }
        Role::Vector => unreachable!("a family's vectors are biases or norms"),
    }
    Ok(())
}

/// The linears whose outputs, one after the other, are those of a tensor: a fused projection has several.
fn linears_of<'s>(spec: &TensorSpec, site: &'s QuantizedSite) -> Result<Vec<&'s QuantizedLinear>> {
    let linear = |linear: usize, outputs: usize| {
        let linear = site.linears.get(linear)?;
        let rows = match &linear.weight {
            QuantizedWeight::Int(w) => w.rows,
            QuantizedWeight::Float(w) => w.rows(),
        };
        (rows == outputs).then_some(linear)
    };
    let linears: Option<Vec<_>> = spec.cuts.iter().map(|cut| linear(cut.linear, cut.rows.len())).collect();
    Ok(linears.ok_or(PipelineError::Tensors { site: site.id })?)
}

fn bytes_of(matrix: &Matrix) -> &[u8] {
    match matrix.values() {
        Values::F32(v) => bytemuck::cast_slice(v),
        Values::F16(v) => bytemuck::cast_slice(v),
        Values::Bf16(v) => bytemuck::cast_slice(v),
    }
}

/// What the manifest says of where the numbers come from.
fn provenance(options: &QuantizeOptions<'_>, summary: &Summary) -> Value {
    let sites: BTreeMap<String, &SiteReport> =
        summary.sites.iter().map(|(site, report)| (site.to_string(), report)).collect();
    let units: Vec<&UnitReport> = summary.units.iter().collect();
    json!({
        "recipe": options.recipe.to_toml(),
        "samples": options.samples.samples.len() - summary.skipped.len(),
        "skipped": summary.skipped,
        "sites": sites,
        "units": units,
        "given": options.provenance,
    })
}
