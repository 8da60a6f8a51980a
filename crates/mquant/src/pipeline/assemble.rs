//! Committed units put together as a bundle, in the order of the family's tensors.

use std::collections::BTreeMap;

use mquant_kernels::{Dtype, Matrix, Values};
use serde_json::{Value, json};

use super::report::{SiteReport, UnitReport};
use super::result::{QuantizedLinear, QuantizedSite, QuantizedUnit, QuantizedWeight};
use super::{PipelineError, QuantizeOptions, Summary, Unit, card, unit_file};
use crate::bundle::{
    BundleTarget, BundleWriter, FloatFormat, InputFormat, NormFormat, Quantization, SiteQuant, StaticScales,
    WeightFormat, bias_name, side_weight_name, small_files,
};
use crate::checkpoint::{Presence, Role, TensorSpec};
use crate::error::{Error, Result};
use crate::input::Modality;
use crate::job::Job;
use crate::nn::{InputQuant, NormKind, SiteId, Tower};
use crate::quantize::IntFormat;
use crate::run::LoadedModel;

/// Bytes of weights in a file, as published models have them.
const SHARD_BYTES: u64 = 4 << 30;
/// The modalities with scales of their own, in the order they are stored.
const MODALITIES: [Modality; 2] = [Modality::Text, Modality::Vision];

/// What has to be known of all sites before the first tensor is written.
#[derive(Debug, Default)]
pub(super) struct Collected {
    sites: BTreeMap<SiteId, SiteQuant>,
    scales: StaticScales,
    /// Whether each linear of a site has a bias.
    biases: BTreeMap<SiteId, Vec<bool>>,
}

impl Collected {
    pub(super) fn note(&mut self, site: &QuantizedSite) {
        let weight = match site.linears.first().map(|linear| &linear.weight) {
            Some(QuantizedWeight::Int(w)) => WeightFormat::Int(IntFormat { bits: w.bits, group: w.group }),
            _ => WeightFormat::Float,
        };
        let is_bare =
            |norm: &crate::nn::Norm| matches!(norm.kind, NormKind::Rms) && norm.gain.iter().all(|gain| *gain == 1.0);
        let norm = if site.norm.as_ref().is_some_and(is_bare) { NormFormat::Rms } else { NormFormat::Published };
        let side_columns = site.split.as_ref().map_or_else(Vec::new, |split| split.channels.clone());
        let (input, scales) = stored(&site.input);
        self.scales.input.insert(site.id, scales);
        if let Some(split) = &site.split {
            self.scales.side.insert(site.id, stored(&split.input).1);
        }
        let quant = SiteQuant { weight, input, norm, rotation: site.rotation.clone(), side_columns };
        self.sites.insert(site.id, quant);
        self.biases.insert(site.id, site.linears.iter().map(|linear| linear.bias.is_some()).collect());
    }
}

/// How an input is stored, and its scales in the order of [`MODALITIES`].
fn stored(input: &InputQuant) -> (InputFormat, Vec<f32>) {
    match input {
        InputQuant::Float => (InputFormat::Float, Vec::new()),
        InputQuant::PerToken => (InputFormat::PerToken, Vec::new()),
        InputQuant::PerTensor(scale) => (InputFormat::PerTensor, vec![*scale]),
        InputQuant::PerModality(scales) => {
            (InputFormat::PerModality, MODALITIES.iter().map(|modality| scales.of(*modality)).collect())
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
        modalities: MODALITIES.to_vec(),
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
        let mut taken: BTreeMap<SiteId, usize> = BTreeMap::new();
        for spec in &specs {
            write(spec, &mut writer, &mut units, &mut taken, &quantization)?;
        }
        let (folder, written) = writer.finish_tensors(&collected.scales)?;
        bytes = written;
        Ok(folder)
    })?;
    Ok(bytes)
}

/// The tensors to write: those published, a tied head where it is no longer the embedding, and biases that were made.
fn specs(loaded: &LoadedModel, options: &QuantizeOptions<'_>, collected: &Collected) -> Vec<TensorSpec> {
    let published = loaded.blueprint.published();
    let is_changed = options.recipe.steps.iter().any(|step| !matches!(step.name(), "quantize" | "split_columns"));
    let mut linear: BTreeMap<SiteId, usize> = BTreeMap::new();
    let mut specs: Vec<TensorSpec> = Vec::new();
    for spec in &published {
        let mut spec = spec.clone();
        if matches!(spec.role, Role::TiedWeight(..)) && is_changed {
            spec.presence = Presence::Required;
        }
        let Some(site) = spec.site() else {
            specs.push(spec);
            continue;
        };
        let (name, outputs) = (bias_name(&spec.name), spec.matrix_shape().0);
        specs.push(spec);
        let index = linear.entry(site).or_default();
        let has_bias = collected.biases.get(&site).and_then(|biases| biases.get(*index)).copied().unwrap_or(false);
        *index += 1;
        if has_bias && !published.iter().any(|spec| spec.name == name) {
            specs.push(TensorSpec::bias_of(site, name, outputs));
        }
    }
    specs
}

/// Committed units, one at a time in memory.
struct Units<'j> {
    job: &'j mut Job,
    current: Option<(Unit, QuantizedUnit)>,
}

impl Units<'_> {
    fn get(&mut self, unit: Unit) -> Result<&QuantizedUnit> {
        if self.current.as_ref().is_none_or(|(current, _)| *current != unit) {
            self.current = None;
            let bytes = self.job.unit(&unit.to_string());
            let read = bytes.and_then(|bytes| unit_file::from_bytes(&bytes)).ok_or(PipelineError::Damaged { unit })?;
            self.current = Some((unit, read));
        }
        Ok(&self.current.as_ref().expect("read just now").1)
    }

    fn site(&mut self, id: SiteId) -> Result<&QuantizedSite> {
        let unit = unit_of(id);
        let site = self.get(unit)?.sites.iter().find(|site| site.id == id);
        Ok(site.ok_or(PipelineError::Tensors { site: id })?)
    }
}

fn unit_of(site: SiteId) -> Unit {
    match site {
        SiteId::Patch(_) => Unit::Patch,
        SiteId::Block(Tower::Language, block, _) => Unit::DecoderBlock(block),
        SiteId::Block(_, block, _) => Unit::VisionBlock(block),
        SiteId::Projector(_) => Unit::Projector,
        SiteId::Head => Unit::Head,
    }
}

fn write(
    spec: &TensorSpec,
    writer: &mut BundleWriter,
    units: &mut Units<'_>,
    taken: &mut BTreeMap<SiteId, usize>,
    quantization: &Quantization,
) -> Result<()> {
    let name = &spec.name;
    match &spec.role {
        Role::Weight(id) | Role::TiedWeight(id, _) => {
            let is_float = matches!(quantization.sites[id].weight, WeightFormat::Float);
            if spec.presence == Presence::Optional && is_float {
                return Ok(());
            }
            let first = taken.get(id).copied().unwrap_or(0);
            let linears = covered(spec, units.site(*id)?, first)?;
            for linear in linears {
                match &linear.weight {
                    QuantizedWeight::Int(codes) => writer.weight(name, codes)?,
                    QuantizedWeight::Float(matrix) => writer.float(name, bytes_of(matrix))?,
                }
            }
            for side in linears.iter().filter_map(|linear| linear.side.as_ref()) {
                writer.weight(&side_weight_name(name), side)?;
            }
            taken.insert(*id, first + linears.len());
        }
        Role::Bias(id) => {
            // It follows its weight: the linears that were taken last.
            let end = taken.get(id).copied().unwrap_or(0);
            let site = units.site(*id)?;
            let outputs: usize = spec.shape.iter().product();
            let mut bias: Vec<f32> = Vec::new();
            for linear in site.linears[..end].iter().rev() {
                if bias.len() >= outputs {
                    break;
                }
                let more = linear.bias.as_ref().ok_or(PipelineError::Tensors { site: *id })?;
                bias.splice(0..0, more.iter().copied());
            }
            writer.float(name, bytemuck::cast_slice(&bias))?;
        }
        Role::Norm(id) => {
            if quantization.sites[id].norm == NormFormat::Rms {
                return Ok(());
            }
            let norm = units.site(*id)?.norm.as_ref().ok_or(PipelineError::Tensors { site: *id })?;
            let values = match (&norm.kind, name.ends_with(".bias")) {
                (NormKind::Layer { bias }, true) => bias,
                _ => &norm.gain,
            };
            writer.float(name, bytemuck::cast_slice(values))?;
        }
        Role::Table => {
            let table = units.get(Unit::Embedding)?.table.as_ref();
            let table = table.ok_or(PipelineError::Damaged { unit: Unit::Embedding })?;
            writer.float(name, bytes_of(table))?;
        }
        Role::Vector => unreachable!("a family's vectors are biases or norms"),
    }
    Ok(())
}

/// The linears whose outputs, one after the other, are those of a tensor: a fused projection covers several.
fn covered<'s>(spec: &TensorSpec, site: &'s QuantizedSite, first: usize) -> Result<&'s [QuantizedLinear]> {
    let (outputs, _) = spec.matrix_shape();
    let mut rows = 0;
    for (i, linear) in site.linears.iter().enumerate().skip(first) {
        rows += match &linear.weight {
            QuantizedWeight::Int(w) => w.rows,
            QuantizedWeight::Float(w) => w.rows(),
        };
        if rows == outputs {
            return Ok(&site.linears[first..=i]);
        }
    }
    Err(PipelineError::Tensors { site: site.id }.into())
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
