//! A quantised model with some of its sites as they were before rounding: what they would answer if only those had stayed
//! float, or had other codes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use mquant_kernels::{Bits, Cpu, Dtype, PackedWeight};

use super::site::part;
use super::smoothing_file::{self, Smoothing};
use super::steps::{Change, ChangingStep};
use super::unit::Working;
use super::{PipelineError, sites, steps};
use crate::quantize::{IntFormat, rtn};
use crate::recipe::{Recipe, Target};
use crate::transform::{SeenChannels, fold_known_scales};
use mquant_model::bundle::InputFormat;
use mquant_model::error::Result;
use mquant_model::models::Model;
use mquant_model::nn::{InputQuant, Linear, PartId, SiteId, SiteMut, Weight};
use mquant_model::run::LoadedModel;

/// What a site becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restored {
    /// Weights and input as they were before rounding.
    Float,
    /// Weights rounded to nearest in 8 bits, the input as it is.
    EightBits,
    /// The input with a scale for each row, the weights as they are.
    PerToken,
    /// Both.
    EightBitsPerToken,
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Restored::Float => "floats",
            Restored::EightBits => "weights in 8 bits",
            Restored::PerToken => "a scale for each token",
            Restored::EightBitsPerToken => "weights in 8 bits and a scale for each token",
        })
    }
}

impl Restored {
    /// What a recipe would have to decide for it.
    pub fn of(self, target: Target) -> Target {
        let Target::Int { format, method, clip, input, input_bits } = target else { return target };
        let format = match self {
            Restored::EightBits | Restored::EightBitsPerToken => IntFormat { bits: Bits::Eight, ..format },
            Restored::Float | Restored::PerToken => format,
        };
        let input = match self {
            Restored::PerToken | Restored::EightBitsPerToken => InputFormat::PerToken,
            Restored::Float | Restored::EightBits => input,
        };
        match self {
            Restored::Float => Target::Float,
            _ => Target::Int { format, method, clip, input, input_bits },
        }
    }
}

/// The float model as a recipe leaves it before rounding, a unit at a time.
pub struct Restorer<'a> {
    float: &'a LoadedModel,
    cpu: Cpu,
    steps: Vec<ChangingStep>,
    /// What smoothing folded when the model was quantised.
    smoothing: Smoothing,
    dtype: Dtype,
}

impl std::fmt::Debug for Restorer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restorer").field("steps", &self.steps.len()).finish_non_exhaustive()
    }
}

impl<'a> Restorer<'a> {
    /// Of the float model that was quantised by the recipe into the bundle `quantised`; transforms run with the instructions of
    /// `cpu`.
    ///
    /// # Errors
    /// The recipe does not fit the model, or it smooths and the bundle does not say by what.
    pub fn new(float: &'a LoadedModel, quantised: &LoadedModel, recipe: &Recipe, cpu: Cpu) -> Result<Self> {
        let plan = recipe.check(&sites(&float.model))?;
        let steps = steps::of(recipe, &plan, &float.model)?;
        let mut smoothing = Smoothing::new();
        if steps.iter().any(|step| step.change.needs_activations()) {
            let bundle = quantised.checkpoint.dir();
            let missing = || PipelineError::Restore {
                recipe: recipe.name.clone(),
                bundle: bundle.display().to_string(),
                file: smoothing_file::FILE,
            };
            smoothing = smoothing_file::read(bundle).ok_or_else(missing)?;
        }
        Ok(Self { float, cpu, steps, smoothing, dtype: float.model.decoder.embedding.0.dtype() })
    }

    /// Changes sites of the quantised model.
    ///
    /// # Errors
    /// A transform that cannot treat the model, or weights that cannot be packed.
    pub fn restore(&self, quantised: &mut Model, wanted: &BTreeSet<SiteId>, restored: Restored) -> Result<()> {
        let mut floats = BTreeMap::new();
        if restored != Restored::PerToken {
            for unit in self.float.model.part_ids() {
                self.collect(unit, wanted, &mut floats)?;
            }
        }
        for model_part in quantised.parts() {
            for site in model_part.sites().into_iter().filter(|site| wanted.contains(&site.id)) {
                let id = site.id;
                let wrong = |source| PipelineError::Packed { site: id, source };
                match floats.get(&site.id) {
                    Some(float) if restored == Restored::Float => float.clone().put(site, self.dtype),
                    Some(float) => float.eight_bits(site, restored).map_err(wrong)?,
                    None => per_token(site),
                }
            }
        }
        Ok(())
    }

    /// The sites of a unit that are wanted, transformed.
    fn collect(&self, unit: PartId, wanted: &BTreeSet<SiteId>, floats: &mut BTreeMap<SiteId, FloatSite>) -> Result<()> {
        if unit == PartId::EMBEDDING {
            return Ok(());
        }
        let mut working = Working::of(unit, &self.float.model);
        if !working.part().sites().iter().any(|site| wanted.contains(&site.id)) {
            return Ok(());
        }
        for step in &self.steps {
            match &step.change {
                Change::Transform(transform) if !transform.needs_activations() => {
                    transform.apply(self.cpu, working.part(), &SeenChannels::new())?;
                }
                _ => {
                    let of_step = self.smoothing.iter().filter(|((index, _), _)| *index == step.index);
                    let scales = of_step.map(|((_, site), scales)| (*site, scales.clone())).collect();
                    fold_known_scales(working.part(), &scales)?;
                }
            }
        }
        let sites = working.part().sites();
        floats.extend(sites.iter().filter(|site| wanted.contains(&site.id)).map(|site| (site.id, FloatSite::of(site))));
        Ok(())
    }
}

/// A site before rounding.
#[derive(Clone)]
struct FloatSite {
    linears: Vec<Linear>,
    norm: Option<mquant_model::nn::Norm>,
    rotation: Option<std::sync::Arc<mquant_kernels::Hadamard>>,
}

impl FloatSite {
    fn of(site: &SiteMut<'_>) -> Self {
        Self { linears: site.linears.to_vec(), norm: site.norm.clone(), rotation: site.rotation.clone() }
    }

    fn put(self, site: SiteMut<'_>, dtype: Dtype) {
        for (linear, float) in site.linears.iter_mut().zip(self.linears) {
            let weight = float.weight.float().expect("a float model's").to_dtype(dtype);
            *linear = Linear::plain(Weight::Float(weight), float.bias);
        }
        *site.norm = self.norm;
        *site.rotation = self.rotation;
        // Float rows of every modality read what text reads: the text vector alone is folded, which changes nothing.
        *site.gains = None;
        *site.split = None;
        site.branches.clear();
        *site.input = InputQuant::Float;
    }

    /// Codes of 8 bits, with the scales and split channels that are there.
    fn eight_bits(&self, site: SiteMut<'_>, restored: Restored) -> Result<(), mquant_kernels::PackError> {
        let channels = site.split.as_ref().map_or(&[][..], |split| &split.channels);
        for (linear, float) in site.linears.iter_mut().zip(&self.linears) {
            let (main, _) = part(float.weight.float().expect("a float model's"), channels);
            // What cannot be coded has been refused when the model was quantised.
            let Ok(codes) = rtn(&main, IntFormat::per_channel(Bits::Eight)) else { continue };
            linear.weight = Weight::Int(PackedWeight::pack(&codes)?);
        }
        if restored == Restored::EightBitsPerToken {
            per_token(site);
        }
        Ok(())
    }
}

fn per_token(site: SiteMut<'_>) {
    if matches!(site.input, InputQuant::Float) {
        return;
    }
    *site.input = InputQuant::PerToken;
    if let Some(split) = site.split {
        split.input = InputQuant::PerToken;
    }
}
