//! From the tensors of a float checkpoint to those of a bundle: one list for loading, checking and writing.

use std::collections::{BTreeMap, BTreeSet};

use mquant_kernels::Bits;

use super::config::FIELD;
use super::{BundleError, NormFormat, Quantization, SiteQuant, WeightFormat};
use crate::bundle::IntFormat;
use crate::checkpoint::{Elements, Presence, Role, StoredDtype, StoredTensor, TensorSpec};
use crate::excerpt::excerpt;
use crate::input::Modality;
use crate::nn::SiteId;

/// Name of the tensor that holds the static scales of a site's input.
pub fn input_scale_name(site: SiteId) -> String {
    format!("{site}.input_scale")
}

/// Name of the tensor that holds the static scales of a site's side channels.
pub fn side_input_scale_name(site: SiteId) -> String {
    format!("{site}.side_input_scale")
}

/// Name of the tensor that holds the codes of a weight for its site's side columns.
///
/// # Panics
/// If the weight is not called `X.weight`, as in all that follow.
pub fn side_weight_name(weight: &str) -> String {
    format!("{}.side_weight", base(weight))
}

/// Name of the bias of a weight's linear.
pub fn bias_name(weight: &str) -> String {
    format!("{}.bias", base(weight))
}

/// Name of the tensor that holds the gains of a site for rows of a modality.
pub fn gain_name(site: SiteId, modality: Modality) -> String {
    format!("{site}.gain.{modality}")
}

/// Name of the tensor that holds the codes of the first half of a site's low-rank branch.
pub fn low_rank_a_name(site: SiteId, modality: Modality) -> String {
    format!("{site}.low_rank_a.{modality}")
}

/// Name of the tensor that holds the codes of the second half of a low-rank branch for a weight's linear.
pub fn low_rank_b_name(weight: &str, modality: Modality) -> String {
    format!("{}.low_rank_b.{modality}", base(weight))
}

/// Names of the tensors that the first half of a branch becomes: codes and scales.
pub(super) fn low_rank_a_names(site: SiteId, modality: Modality) -> [String; 2] {
    [low_rank_a_name(site, modality), format!("{site}.low_rank_a_scale.{modality}")]
}

/// Names of the tensors that the second half of a branch becomes: codes and scales.
pub(super) fn low_rank_b_names(weight: &str, modality: Modality) -> [String; 2] {
    [low_rank_b_name(weight, modality), format!("{}.low_rank_b_scale.{modality}", base(weight))]
}

fn base(weight: &str) -> &str {
    weight.strip_suffix(".weight").expect("a family's weights are called X.weight")
}

/// Names of the tensors that an integer weight becomes: codes and scales.
pub(super) fn weight_names(weight: &str, bits: Bits) -> [String; 2] {
    let codes = match bits {
        Bits::Four => format!("{}.weight_packed", base(weight)),
        Bits::Eight => weight.to_owned(),
    };
    [codes, format!("{}.weight_scale", base(weight))]
}

/// Names of the tensors that its side columns become: codes and scales.
pub(super) fn side_names(weight: &str) -> [String; 2] {
    [side_weight_name(weight), format!("{}.side_scale", base(weight))]
}

/// What becomes of the weight of a site's linear.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored<'q> {
    /// Outputs.
    pub(super) rows: usize,
    /// Inputs, those that the rotation fills up included.
    pub(super) cols: usize,
    /// As integers, if it is.
    pub(super) format: Option<IntFormat>,
    /// Inputs with codes of their own.
    pub(super) side: &'q [u32],
    /// Ranks of its site's branches.
    pub(super) branches: &'q BTreeMap<Modality, usize>,
    /// The site, where the tensor has its first linear: the first halves of branches follow that one.
    pub(super) first_of: Option<SiteId>,
    pub(super) presence: Presence,
}

/// 8-bit codes beside a weight: the name, the tensors they become, rows and inputs.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) name: String,
    pub(super) names: [String; 2],
    pub(super) rows: usize,
    pub(super) cols: usize,
}

impl<'q> Stored<'q> {
    /// Of a tensor; None if it is not the weight of a linear.
    pub(super) fn of(spec: &TensorSpec, quantization: &'q Quantization) -> Option<Self> {
        let quant = quantization.sites.get(&spec.site()?)?;
        let (rows, inputs) = spec.matrix_shape();
        let cols = quant.rotation.as_ref().map_or(inputs, |rotation| rotation.features());
        let format = match quant.weight {
            WeightFormat::Float => None,
            WeightFormat::Int(format) => Some(format),
        };
        // What another tensor holds is neither rotated nor has a norm folded in.
        let is_own = format.is_some() || quant.rotation.is_some() || quant.norm != NormFormat::Published;
        let presence = if is_own { Presence::Required } else { spec.presence };
        let first_of = spec.cuts.iter().any(|cut| cut.linear == 0).then_some(spec.site()?);
        let (side, branches) = (&quant.side_columns, &quant.branches);
        Some(Self { rows, cols, format, side, branches, first_of, presence })
    }

    /// What follows the codes of the weight, in this order.
    pub(super) fn beside(&self, spec: &TensorSpec) -> Vec<Beside> {
        let weight = &spec.name;
        let side = (!self.side.is_empty()).then(|| Beside {
            name: side_weight_name(weight),
            names: side_names(weight),
            rows: self.rows,
            cols: self.side.len(),
        });
        let second = self.branches.iter().map(|(modality, rank)| Beside {
            name: low_rank_b_name(weight, *modality),
            names: low_rank_b_names(weight, *modality),
            rows: self.rows,
            cols: *rank,
        });
        let first = self.first_of.into_iter().flat_map(|site| {
            self.branches.iter().map(move |(modality, rank)| Beside {
                name: low_rank_a_name(site, *modality),
                names: low_rank_a_names(site, *modality),
                rows: *rank,
                cols: self.cols,
            })
        });
        side.into_iter().chain(second).chain(first).collect()
    }

    fn tensors(self, spec: &TensorSpec) -> Vec<TensorSpec> {
        let Some(IntFormat { bits, group }) = self.format else {
            let is_padded = spec.matrix_shape().1 != self.cols;
            let shape = if is_padded { vec![self.rows, self.cols] } else { spec.shape.clone() };
            return vec![TensorSpec { shape, presence: self.presence, ..spec.clone() }];
        };
        let of = |[codes, scale]: [String; 2], rows, (dtype, width), groups| {
            let weight = TensorSpec { shape: vec![rows, width], presence: Presence::Required, ..spec.clone() };
            let codes = TensorSpec { name: codes, elements: Elements::Exactly(dtype), ..weight };
            [codes, TensorSpec::required(scale, [rows, groups]).of(StoredDtype::F32)]
        };
        let width = match bits {
            Bits::Four => (StoredDtype::I32, self.cols.div_ceil(8)),
            Bits::Eight => (StoredDtype::I8, self.cols),
        };
        let groups = group.map_or(1, |group| self.cols.div_ceil(group));
        let mut out = of(weight_names(&spec.name, bits), self.rows, width, groups).to_vec();
        for Beside { names, rows, cols, .. } in self.beside(spec) {
            out.extend(of(names, rows, (StoredDtype::I8, cols), 1));
        }
        out
    }
}

/// Whether a tensor is of a norm that a bundle has not.
pub(super) fn is_folded(spec: &TensorSpec, quantization: &Quantization) -> bool {
    let Role::Norm(site, _) = spec.role else { return false };
    quantization.sites.get(&site).is_some_and(|quant| quant.norm == NormFormat::Rms)
}

/// What a bundle stores for each of a family's tensors, in their order, and the input scales after them. A linear without a
/// bias may have got one.
pub(super) fn stored(specs: &[TensorSpec], quantization: &Quantization) -> Vec<TensorSpec> {
    let names: BTreeSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let mut out = Vec::new();
    for spec in specs.iter().filter(|spec| !is_folded(spec, quantization)) {
        let Some((site, weight)) = spec.site().zip(Stored::of(spec, quantization)) else {
            out.push(spec.clone());
            continue;
        };
        out.extend(weight.tensors(spec));
        let bias = bias_name(&spec.name);
        if !names.contains(bias.as_str()) {
            let made = TensorSpec::bias_of(site, bias, weight.rows);
            out.push(TensorSpec { presence: Presence::Optional, cuts: spec.cuts.clone(), ..made });
        }
    }
    for (site, quant) in &quantization.sites {
        let scales = [
            (input_scale_name(*site), quant.input.scales(&quantization.modalities)),
            (side_input_scale_name(*site), quant.side_scales(&quantization.modalities)),
        ];
        let scales = scales.into_iter().filter(|(_, count)| *count > 0);
        let inputs = inputs_of(specs, *site);
        let gains = quant.gains.iter().map(|modality| (gain_name(*site, *modality), inputs));
        let scales = scales.chain(gains);
        out.extend(scales.map(|(name, count)| TensorSpec::required(name, [count]).of(StoredDtype::F32)));
    }
    out
}

/// Features of the activation of a site, before a rotation fills it up.
pub(super) fn inputs_of(specs: &[TensorSpec], site: SiteId) -> usize {
    let of_site = specs.iter().find(|spec| spec.site() == Some(site));
    of_site.map_or(0, |spec| spec.matrix_shape().1)
}

/// Refuses a quantisation that does not list exactly the sites that `specs` name, or that does not fit their shapes and norms.
pub(super) fn check_sites(specs: &[TensorSpec], quantization: &Quantization) -> Result<(), BundleError> {
    let wanted: BTreeSet<SiteId> = specs.iter().filter_map(TensorSpec::site).collect();
    let missing: Vec<String> =
        wanted.iter().filter(|id| !quantization.sites.contains_key(id)).map(ToString::to_string).collect();
    let unknown: Vec<String> =
        quantization.sites.keys().filter(|id| !wanted.contains(id)).map(ToString::to_string).collect();
    if !(missing.is_empty() && unknown.is_empty()) {
        let (file, field) = ("config.json".to_owned(), format!("{FIELD}.sites"));
        return Err(BundleError::Sites { file, field, missing, unknown });
    }
    for (id, quant) in &quantization.sites {
        let has_norm = specs.iter().any(|spec| matches!(spec.role, Role::Norm(site, _) if site == *id));
        if quant.norm == NormFormat::Rms && !has_norm {
            return Err(BundleError::Norm {
                file: "config.json".to_owned(),
                field: format!("{FIELD}.sites.{id}.norm"),
            });
        }
    }
    specs.iter().try_for_each(|spec| match spec.site() {
        Some(id) => check_shape(spec, id, &quantization.sites[&id]),
        None => Ok(()),
    })
}

/// Refuses a rotation of fewer features than a weight of the site has inputs, and side columns that it has not.
fn check_shape(spec: &TensorSpec, id: SiteId, quant: &SiteQuant) -> Result<(), BundleError> {
    let (_, expected) = spec.matrix_shape();
    let inputs = quant.rotation.as_ref().map_or(expected, |rotation| rotation.features());
    let (file, tensor) = ("config.json".to_owned(), spec.name.clone());
    let field = |key: &str| format!("{FIELD}.sites.{id}.{key}");
    if inputs < expected {
        return Err(BundleError::RotationSize { file, field: field("rotation"), tensor, expected, found: inputs });
    }
    match quant.side_columns.iter().find(|column| **column as usize >= inputs) {
        None => Ok(()),
        Some(&found) => Err(BundleError::SideColumn { file, field: field("side_columns"), tensor, inputs, found }),
    }
}

/// Refuses tensors that format version 1 reserved, by name, before they are counted as unexpected.
pub(super) fn refuse_reserved(tensors: &[StoredTensor], quantization: &Quantization) -> Result<(), BundleError> {
    if quantization.version() > 1 {
        return Ok(());
    }
    match tensors.iter().find_map(|tensor| Some((tensor, reserved(&tensor.name)?))) {
        None => Ok(()),
        Some((tensor, what)) => {
            Err(BundleError::NotSupported { file: tensor.file.to_string(), name: excerpt(&tensor.name), what })
        }
    }
}

fn reserved(name: &str) -> Option<&'static str> {
    let (base, last) = name.rsplit_once('.')?;
    match last {
        "text" | "vision" | "audio" if base.ends_with(".low_rank_a") || base.ends_with(".low_rank_b") => {
            Some("a low-rank branch")
        }
        "text" | "vision" | "audio" if base.ends_with(".weight") || base.ends_with(".bias") => {
            Some("a norm of one modality")
        }
        _ => None,
    }
}
