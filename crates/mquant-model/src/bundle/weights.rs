//! The weights of a model as its sites take them, whatever the folder holds: floats, or codes that are laid out for the
//! kernels when they are asked for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use mquant_kernels::{Hadamard, Matrix, PackedWeight, Products};

use super::canonical::{Canonical, Zeros};
use super::packed_cache::{PackedCache, PackedCacheUse, PackedFile, PanelKey};
use super::specs::{
    self, Stored, bias_name, gain_name, input_scale_name, low_rank_a_name, low_rank_b_name, side_input_scale_name,
    side_weight_name,
};
use super::{BundleError, InputFormat, NormFormat, Quantization, SiteQuant};
use crate::checkpoint::{Checkpoint, CheckpointError, HeadNormOf, Naming, NormValue, Role, TensorSpec, Tensors};
use crate::input::Modality;
use crate::nn::{
    Branch, CacheFormat, ColumnSplit, HeadNorms, InputQuant, Linear, ModalityGains, ModalityScales, Norm, NormKind,
    PartId, Site, SiteId, Weight,
};

/// Everything a family builds its parts from. Names are the family's own, and those of a float checkpoint.
#[derive(Debug)]
pub struct Weights {
    tensors: Tensors,
    /// The family's table.
    specs: Vec<TensorSpec>,
    /// Float weights that are another tensor.
    tied: BTreeMap<String, String>,
    /// Names of the biases that are there.
    biases: BTreeSet<String>,
    codes: Option<Codes>,
}

/// What a family knows of a norm beside its tensors.
#[derive(Clone, Copy, Debug)]
pub struct NormShape {
    /// Added to the variance or mean square.
    pub eps: f32,
    /// Consecutive normed rows that the site reads as one row: 1, or a merger's k².
    pub repeat: usize,
}

/// What only a quantised model has.
#[derive(Debug)]
struct Codes {
    quantization: Quantization,
    /// By the name the weight has in a float checkpoint, or that of its side weight.
    weights: BTreeMap<String, Canonical>,
    inputs: BTreeMap<SiteId, InputQuant>,
    splits: BTreeMap<SiteId, ColumnSplit>,
    gains: BTreeMap<SiteId, BTreeMap<Modality, Vec<f32>>>,
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
        Ok(Self { tensors, specs: specs.to_vec(), tied: tied(specs).collect(), biases, codes: None })
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
        specs::refuse_reserved(checkpoint.entries(), &quantization)?;
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
        let gains = gains(&tensors, &quantization)?;
        let panels = RefCell::new(Panels { kept, taken: Vec::new(), made: 0 });
        let codes = Some(Codes { quantization, weights, inputs, splits, gains, panels });
        Ok(Self { tensors, specs: specs.to_vec(), tied, biases, codes })
    }

    /// A table that rows are taken from, where it lies.
    ///
    /// # Panics
    /// If the name is none of the family's: a defect of the family, as in all that follow.
    pub fn table(&self, name: &str) -> Matrix {
        self.tensors.matrix(name)
    }

    /// The norms of the heads of a block's queries and keys, each of `head_dim` features.
    ///
    /// # Panics
    /// If the table gives the part no such norms.
    pub fn head_norms(&self, part: PartId, eps: f32) -> HeadNorms {
        let gain = |of| {
            let spec = self.specs.iter().find(|spec| spec.role == Role::HeadNorm(part, of));
            self.tensors.vector(&spec.unwrap_or_else(|| panic!("{part}: no norm of {of:?}")).name)
        };
        HeadNorms { q: gain(HeadNormOf::Queries), k: gain(HeadNormOf::Keys), eps }
    }

    /// The map behind what writes a part's stream, if a bundle has one.
    pub fn map(&self, part: PartId) -> Option<Linear> {
        let spec = self.specs.iter().find(|spec| spec.role == Role::Map(part))?;
        Some(Linear::plain(Weight::Float(self.tensors.optional_matrix(&spec.name)?), None))
    }

    /// A site without a norm in front, put together from the tensors that the family's table gives it.
    ///
    /// # Panics
    /// If the table does not give the site `N` linears.
    pub fn site<const N: usize>(&self, id: SiteId) -> Site<N> {
        self.site_with(id, None)
    }

    /// A site behind a norm over `features`: what the family's table gives it, or what a bundle has in its place.
    ///
    /// # Panics
    /// If the table gives the site no gain, or not `N` linears.
    pub fn normed_site<const N: usize>(&self, id: SiteId, norm: NormShape) -> Site<N> {
        let NormShape { eps, repeat } = norm;
        let (gain_name, features) = self.norm_value(id, NormValue::Gain).expect("a norm has a gain");
        let (kind, gain) = match self.norm_format(id) {
            NormFormat::Rms => (NormKind::Rms, vec![1.0; features]),
            NormFormat::Published => {
                let kind = match self.norm_value(id, NormValue::Bias) {
                    None => NormKind::Rms,
                    Some((name, _)) => NormKind::Layer { bias: self.tensors.vector(name) },
                };
                (kind, self.tensors.vector(gain_name))
            }
        };
        self.site_with(id, Some(Norm { kind, gain, eps, repeat }))
    }

    fn site_with<const N: usize>(&self, id: SiteId, norm: Option<Norm>) -> Site<N> {
        let linears = std::array::from_fn(|i| self.linear(id, i));
        let gains = self.codes.as_ref().and_then(|codes| codes.gains.get(&id));
        let gains = gains.map(|factors| ModalityGains::new(factors.clone(), norm.as_ref()));
        let (rotation, split, branches) = (self.rotation(id), self.split(id), self.branches(id));
        Site { id, norm, gains, rotation, split, branches, input: self.input(id), linears }
    }

    fn norm_value(&self, site: SiteId, value: NormValue) -> Option<(&str, usize)> {
        let spec = self.specs.iter().find(|spec| spec.role == Role::Norm(site, value))?;
        Some((&spec.name, spec.shape.iter().product()))
    }

    /// Linear `index` of a site: its weight, its bias if there is one, its side codes if the site has side columns.
    fn linear(&self, site: SiteId, index: usize) -> Linear {
        let of = |spec: &&TensorSpec| spec.site() == Some(site);
        let mut cuts = self.specs.iter().filter(of).flat_map(|spec| spec.cuts.iter().map(move |cut| (&spec.name, cut)));
        let (name, cut) = cuts
            .find(|(_, cut)| cut.linear == index)
            .unwrap_or_else(|| panic!("{site}: no tensor has outputs for linear {index}"));
        let rows = cut.rows.clone();
        let weight = match self.canonical(name) {
            Some((codes, canonical)) => Weight::Int(codes.packed(name, canonical, rows.clone())),
            None => {
                let weight = self.float_weight(name);
                let is_whole = rows == (0..weight.rows());
                Weight::Float(if is_whole { weight } else { weight.row_range(rows.clone()) })
            }
        };
        let bias = self.bias(name).map(|bias| bias[rows.clone()].to_vec());
        let of = |modality| self.packed(&low_rank_b_name(name, modality), rows.clone());
        let branches = self.branch_ranks(site).into_keys().filter_map(of).collect();
        Linear { weight, bias, side: self.packed(&side_weight_name(name), rows.clone()), branches }
    }

    /// The first halves of a site's low-rank branches.
    fn branches(&self, site: SiteId) -> Vec<Branch> {
        let branch = |(modality, rank)| {
            Some(Branch { modality, weight: self.packed(&low_rank_a_name(site, modality), 0..rank)? })
        };
        self.branch_ranks(site).into_iter().filter_map(branch).collect()
    }

    fn branch_ranks(&self, site: SiteId) -> BTreeMap<Modality, usize> {
        let quant = self.codes.as_ref().and_then(|codes| codes.quantization.sites.get(&site));
        quant.map(|quant| quant.branches.clone()).unwrap_or_default()
    }

    /// Outputs of the codes of that name, if there are any.
    fn packed(&self, name: &str, rows: Range<usize>) -> Option<PackedWeight> {
        let (codes, canonical) = self.canonical(name)?;
        Some(codes.packed(name, canonical, rows))
    }

    fn bias(&self, weight: &str) -> Option<Vec<f32>> {
        let name = bias_name(weight);
        self.biases.contains(&name).then(|| self.tensors.vector(&name))
    }

    /// How the activation of a site becomes codes.
    fn input(&self, site: SiteId) -> InputQuant {
        match &self.codes {
            None => InputQuant::Float,
            Some(codes) => codes.inputs.get(&site).unwrap_or_else(|| panic!("{site} is in no spec")).clone(),
        }
    }

    /// The online rotation of a site's activation.
    fn rotation(&self, site: SiteId) -> Option<Arc<Hadamard>> {
        self.codes.as_ref()?.quantization.sites.get(&site)?.rotation.clone()
    }

    /// What became of the norm in front of a site.
    fn norm_format(&self, site: SiteId) -> NormFormat {
        let quant = self.codes.as_ref().and_then(|codes| codes.quantization.sites.get(&site));
        quant.map_or(NormFormat::Published, |quant| quant.norm)
    }

    /// The input channels of a site that are computed beside the main product.
    fn split(&self, site: SiteId) -> Option<ColumnSplit> {
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

fn gains(
    tensors: &Tensors,
    quantization: &Quantization,
) -> Result<BTreeMap<SiteId, BTreeMap<Modality, Vec<f32>>>, BundleError> {
    let of = |(site, quant): (&SiteId, &SiteQuant)| {
        let gain = |modality: &Modality| Ok((*modality, input_scales(tensors, &gain_name(*site, *modality))?));
        Ok((*site, quant.gains.iter().map(gain).collect::<Result<_, BundleError>>()?))
    };
    quantization.sites.iter().filter(|(_, quant)| !quant.gains.is_empty()).map(of).collect()
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
        InputFormat::PerTokenSix => InputQuant::PerTokenSix,
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
