//! The weights of a model as its sites take them, whatever the folder holds: floats, or codes that are laid out for the
//! kernels when they are asked for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use mquant_kernels::{Hadamard, Matrix, PackedWeight, Products};

use super::canonical::{Canonical, Zeros};
use super::packed_cache::{PackedCache, PackedCacheUse, PackedFile, PanelKey};
use super::specs::{self, Stored, bias_name, input_scale_name, side_input_scale_name, side_weight_name};
use super::{BundleError, InputFormat, NormFormat, Quantization, SiteQuant};
use crate::checkpoint::{Checkpoint, CheckpointError, Naming, Role, TensorSpec, Tensors};
use crate::input::Modality;
use crate::nn::{CacheFormat, ColumnSplit, InputQuant, Linear, ModalityScales, SiteId, Weight};

/// Everything a family builds its parts from. Names are the family's own, and those of a float checkpoint.
#[derive(Debug)]
pub struct Weights {
    tensors: Tensors,
    /// Float weights that are another tensor.
    tied: BTreeMap<String, String>,
    /// Names of the biases that are there.
    biases: BTreeSet<String>,
    codes: Option<Codes>,
}

/// What only a quantised model has.
#[derive(Debug)]
struct Codes {
    quantization: Quantization,
    /// By the name the weight has in a float checkpoint, or that of its side weight.
    weights: BTreeMap<String, Canonical>,
    inputs: BTreeMap<SiteId, InputQuant>,
    splits: BTreeMap<SiteId, ColumnSplit>,
    panels: RefCell<Panels>,
}

/// Panels that were asked for, and those that were kept.
#[derive(Debug)]
struct Panels {
    kept: Option<PackedFile>,
    taken: Vec<(PanelKey, PackedWeight)>,
    /// How many of the taken ones had to be made.
    made: usize,
}

impl Weights {
    /// Weights of a float checkpoint, none of them NaN or infinite.
    ///
    /// # Errors
    /// Tensors that are missing, unknown, of a wrong shape or type, or not finite: all of them at once.
    pub fn float(checkpoint: &Checkpoint, naming: &Naming, specs: &[TensorSpec]) -> Result<Self, CheckpointError> {
        let tensors = checkpoint.select(naming, specs)?;
        tensors.check_finite()?;
        let biases = biases(&tensors, specs);
        Ok(Self { tensors, tied: tied(specs).collect(), biases, codes: None })
    }

    /// Weights of a bundle. Codes are not read yet; tables are not checked for NaN, as they are read row by row.
    ///
    /// # Errors
    /// Sites that are missing or unknown; tensors that are missing, unknown, or of a wrong shape or type: all at once; then
    /// floats that are not finite, and the first integer weight or input scale the kernels would not accept.
    pub fn quantised(
        checkpoint: &Checkpoint,
        naming: &Naming,
        specs: &[TensorSpec],
        quantization: Quantization,
        cache: PackedCache,
    ) -> Result<Self, BundleError> {
        specs::check_sites(specs, &quantization)?;
        let stored = specs::stored(specs, &quantization);
        specs::refuse_reserved(checkpoint.entries())?;
        let tensors = checkpoint.select(naming, &stored)?;
        tensors.check_finite_but_tables()?;
        let kept = match cache {
            PackedCache::Enabled => PackedFile::open(checkpoint),
            PackedCache::Disabled => None,
        };
        let zeros = if kept.is_none() { Zeros::Checked } else { Zeros::Known };
        let mut weights = BTreeMap::new();
        for spec in specs {
            if let Some(of) = Stored::of(spec, &quantization) {
                weights.extend(Canonical::of(&tensors, spec, &of, zeros)?);
            }
        }
        let biases = biases(&tensors, &stored);
        // A head that was transformed or is not as the embedding is stored beside it.
        let tied = tied(specs).filter(|(name, _)| !weights.contains_key(name) && !tensors.has(name)).collect();
        let inputs = inputs(&tensors, &quantization)?;
        let splits = splits(&tensors, &quantization)?;
        let panels = RefCell::new(Panels { kept, taken: Vec::new(), made: 0 });
        Ok(Self { tensors, tied, biases, codes: Some(Codes { quantization, weights, inputs, splits, panels }) })
    }

    /// Values of a norm.
    ///
    /// # Panics
    /// If the name is none of the family's: a defect of the family, as in all that follow.
    pub fn vector(&self, name: &str) -> Vec<f32> {
        self.tensors.vector(name)
    }

    /// A table that rows are taken from, where it lies.
    pub fn table(&self, name: &str) -> Matrix {
        self.tensors.matrix(name)
    }

    /// The linear of that name: its weight, its bias if there is one, its side codes if its site has side columns.
    pub fn linear(&self, name: &str) -> Linear {
        let name = format!("{name}.weight");
        let (weight, side) = match self.canonical(&name) {
            Some((codes, canonical)) => {
                let all = 0..canonical.weight.rows;
                (Weight::Int(codes.packed(&name, canonical, all.clone())), self.side(&name, all))
            }
            None => (Weight::Float(self.float_weight(&name)), None),
        };
        Linear { weight, bias: self.bias(&name), side }
    }

    /// Some outputs of a fused linear.
    ///
    /// # Panics
    /// If the range is not inside.
    pub fn linear_rows(&self, name: &str, rows: Range<usize>) -> Linear {
        let name = format!("{name}.weight");
        let weight = match self.canonical(&name) {
            Some((codes, canonical)) => Weight::Int(codes.packed(&name, canonical, rows.clone())),
            None => Weight::Float(self.float_weight(&name).row_range(rows.clone())),
        };
        let bias = self.bias(&name).map(|bias| bias[rows.clone()].to_vec());
        Linear { weight, bias, side: self.side(&name, rows) }
    }

    fn side(&self, weight: &str, rows: Range<usize>) -> Option<PackedWeight> {
        let name = side_weight_name(weight);
        let (codes, canonical) = self.canonical(&name)?;
        Some(codes.packed(&name, canonical, rows))
    }

    fn bias(&self, weight: &str) -> Option<Vec<f32>> {
        let name = bias_name(weight);
        self.biases.contains(&name).then(|| self.tensors.vector(&name))
    }

    /// How the activation of a site becomes codes.
    pub fn input(&self, site: SiteId) -> InputQuant {
        match &self.codes {
            None => InputQuant::Float,
            Some(codes) => codes.inputs.get(&site).unwrap_or_else(|| panic!("{site} is in no spec")).clone(),
        }
    }

    /// The online rotation of a site's activation.
    pub fn rotation(&self, site: SiteId) -> Option<Arc<Hadamard>> {
        self.codes.as_ref()?.quantization.sites.get(&site)?.rotation.clone()
    }

    /// What became of the norm in front of a site.
    pub fn norm(&self, site: SiteId) -> NormFormat {
        let quant = self.codes.as_ref().and_then(|codes| codes.quantization.sites.get(&site));
        quant.map_or(NormFormat::Published, |quant| quant.norm)
    }

    /// The input channels of a site that are computed beside the main product.
    pub fn split(&self, site: SiteId) -> Option<ColumnSplit> {
        self.codes.as_ref()?.splits.get(&site).cloned()
    }

    /// How attention multiplies.
    pub fn products(&self) -> Products {
        if self.codes.is_some() { Products::Bf16 } else { Products::F32 }
    }

    /// How keys and values are remembered.
    pub fn kv_cache(&self) -> CacheFormat {
        self.codes.as_ref().map_or(CacheFormat::Float, |codes| codes.quantization.kv_cache)
    }

    /// Keeps the panels that were asked for beside the bundle, if any had to be made, and says what became of them.
    pub(crate) fn keep_panels(self, checkpoint: &Checkpoint, cache: PackedCache) -> PackedCacheUse {
        let Some(codes) = self.codes else { return PackedCacheUse::NotNeeded };
        let Panels { kept, taken, made } = codes.panels.into_inner();
        match (cache, kept) {
            (PackedCache::Disabled, _) => PackedCacheUse::Disabled,
            (PackedCache::Enabled, _) if taken.is_empty() => PackedCacheUse::NotNeeded,
            (PackedCache::Enabled, Some(kept)) if made == 0 => PackedCacheUse::Mapped { bytes: kept.byte_len() },
            (PackedCache::Enabled, _) => super::packed_cache::write(checkpoint, &taken),
        }
    }

    fn canonical(&self, name: &str) -> Option<(&Codes, &Canonical)> {
        let codes = self.codes.as_ref()?;
        Some((codes, codes.weights.get(name)?))
    }

    fn float_weight(&self, name: &str) -> Matrix {
        self.tensors.matrix(self.tied.get(name).map_or(name, String::as_str))
    }
}

impl Codes {
    fn packed(&self, name: &str, canonical: &Canonical, rows: Range<usize>) -> PackedWeight {
        let weight = canonical.weight.row_range(rows.clone());
        let key = PanelKey { tensor: name.to_owned(), rows: rows.clone() };
        let mut panels = self.panels.borrow_mut();
        let kept = panels.kept.as_ref().and_then(|kept| kept.panels(&key, &weight));
        let packed = kept.unwrap_or_else(|| {
            panels.made += 1;
            let packed = PackedWeight::pack(&weight).expect("weights were checked when they were opened");
            let row = canonical.weight.row_bytes();
            canonical.place.release(rows.start * row..rows.end * row);
            packed
        });
        panels.taken.push((key, packed.clone()));
        packed
    }
}

fn tied(specs: &[TensorSpec]) -> impl Iterator<Item = (String, String)> {
    specs.iter().filter_map(|spec| match &spec.role {
        Role::TiedWeight(_, to) => Some((spec.name.clone(), to.clone())),
        _ => None,
    })
}

fn biases(tensors: &Tensors, specs: &[TensorSpec]) -> BTreeSet<String> {
    let biases = specs.iter().filter(|spec| matches!(spec.role, Role::Bias(_)) && tensors.has(&spec.name));
    biases.map(|spec| spec.name.clone()).collect()
}

fn inputs(tensors: &Tensors, quantization: &Quantization) -> Result<BTreeMap<SiteId, InputQuant>, BundleError> {
    let input = |(site, quant): (&SiteId, &SiteQuant)| {
        let input = input(tensors, &input_scale_name(*site), quant.input, &quantization.modalities)?;
        Ok((*site, input))
    };
    quantization.sites.iter().map(input).collect()
}

fn splits(tensors: &Tensors, quantization: &Quantization) -> Result<BTreeMap<SiteId, ColumnSplit>, BundleError> {
    let split = |(site, quant): (&SiteId, &SiteQuant)| {
        let input = input(tensors, &side_input_scale_name(*site), quant.input, &quantization.modalities)?;
        Ok((*site, ColumnSplit { channels: quant.side_columns.clone(), input }))
    };
    quantization.sites.iter().filter(|(_, quant)| !quant.side_columns.is_empty()).map(split).collect()
}

/// A format with its scales, if they are static: those of tensor `name`.
fn input(
    tensors: &Tensors,
    name: &str,
    format: InputFormat,
    modalities: &[Modality],
) -> Result<InputQuant, BundleError> {
    Ok(match format {
        InputFormat::Float => InputQuant::Float,
        InputFormat::PerToken => InputQuant::PerToken,
        InputFormat::PerTensor => InputQuant::PerTensor(input_scales(tensors, name)?[0]),
        InputFormat::PerModality => {
            let scales = input_scales(tensors, name)?;
            // Of a modality that is not listed, there are no rows.
            let of = |modality: Modality| {
                let at = modalities.iter().position(|m| *m == modality);
                scales[at.unwrap_or(0)]
            };
            let (text, vision, audio) = (of(Modality::Text), of(Modality::Vision), of(Modality::Audio));
            InputQuant::PerModality(ModalityScales { text, vision, audio })
        }
    })
}

fn input_scales(tensors: &Tensors, name: &str) -> Result<Vec<f32>, BundleError> {
    let scales = tensors.vector(name);
    match scales.iter().position(|s| !(s.is_finite() && *s > 0.0)) {
        None => Ok(scales),
        Some(index) => {
            let file = tensors.stored(name).file.to_string();
            Err(BundleError::InputScale { file, tensor: name.to_owned(), index, found: scales[index] })
        }
    }
}
