//! From the tensors of a float checkpoint to those of a bundle: one list for loading, checking and writing.

use std::collections::BTreeSet;

use mquant_kernels::Bits;

use super::config::FIELD;
use super::{BundleError, Quantization, WeightFormat};
use crate::checkpoint::{Elements, Presence, Role, StoredDtype, StoredTensor, TensorSpec};
use crate::excerpt::excerpt;
use crate::nn::SiteId;
use crate::quantize::IntFormat;

/// Name of the tensor that holds the static scales of a site's input.
pub fn input_scale_name(site: SiteId) -> String {
    format!("{site}.input_scale")
}

/// Names of the tensors that an integer weight becomes: codes and scales.
pub(super) fn weight_names(weight: &str, bits: Bits) -> [String; 2] {
    let base = weight.strip_suffix(".weight").expect("a family's weights are called X.weight");
    let codes = match bits {
        Bits::Four => format!("{base}.weight_packed"),
        Bits::Eight => weight.to_owned(),
    };
    [codes, format!("{base}.weight_scale")]
}

/// What a bundle stores for each of a family's tensors, in their order, and the input scales after them.
pub(super) fn stored(specs: &[TensorSpec], quantization: &Quantization) -> Vec<TensorSpec> {
    let mut out: Vec<TensorSpec> = specs.iter().flat_map(|spec| of_one(spec, quantization)).collect();
    for (site, quant) in &quantization.sites {
        let scales = quant.input.scales(&quantization.modalities);
        if scales > 0 {
            out.push(TensorSpec::required(input_scale_name(*site), [scales]).of(StoredDtype::F32));
        }
    }
    out
}

fn of_one(spec: &TensorSpec, quantization: &Quantization) -> Vec<TensorSpec> {
    let format = int_format(spec, quantization);
    let Some(IntFormat { bits, group }) = format else { return vec![spec.clone()] };
    let (rows, cols) = spec.matrix_shape();
    let (dtype, width) = match bits {
        Bits::Four => (StoredDtype::I32, cols.div_ceil(8)),
        Bits::Eight => (StoredDtype::I8, cols),
    };
    let [codes, scale] = weight_names(&spec.name, bits);
    let required = |name, width, dtype| TensorSpec {
        name,
        shape: vec![rows, width],
        elements: Elements::Exactly(dtype),
        presence: Presence::Required,
        role: spec.role.clone(),
    };
    let groups = group.map_or(1, |group| cols.div_ceil(group));
    vec![required(codes, width, dtype), TensorSpec { role: Role::Vector, ..required(scale, groups, StoredDtype::F32) }]
}

/// How a tensor is stored as an integer weight, if it is one.
pub(super) fn int_format(spec: &TensorSpec, quantization: &Quantization) -> Option<IntFormat> {
    match quantization.sites.get(&spec.site()?)?.weight {
        WeightFormat::Float => None,
        WeightFormat::Int(format) => Some(format),
    }
}

/// Refuses a quantisation that does not list exactly the sites that `specs` name, or rotates other numbers of features.
pub(super) fn check_sites(specs: &[TensorSpec], quantization: &Quantization) -> Result<(), BundleError> {
    let wanted: BTreeSet<SiteId> = specs.iter().filter_map(TensorSpec::site).collect();
    let missing: Vec<String> =
        wanted.iter().filter(|id| !quantization.sites.contains_key(id)).map(ToString::to_string).collect();
    let unknown: Vec<String> =
        quantization.sites.keys().filter(|id| !wanted.contains(id)).map(ToString::to_string).collect();
    let (file, field) = ("config.json".to_owned(), format!("{FIELD}.sites"));
    if !(missing.is_empty() && unknown.is_empty()) {
        return Err(BundleError::Sites { file, field, missing, unknown });
    }
    for spec in specs {
        let Some((site, rotation)) = spec.site().and_then(|id| Some((id, quantization.sites[&id].rotation.as_ref()?)))
        else {
            continue;
        };
        let (_, expected) = spec.matrix_shape();
        if rotation.features() != expected {
            let (field, tensor, found) = (format!("{field}.{site}.rotation"), spec.name.clone(), rotation.features());
            return Err(BundleError::RotationSize { file, field, tensor, expected, found });
        }
    }
    Ok(())
}

/// Refuses tensors of format version 1 that this version cannot compute with, by name, before they are counted as unexpected.
pub(super) fn refuse_reserved(tensors: &[StoredTensor]) -> Result<(), BundleError> {
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
        "side_columns" | "side_weight" | "side_scale" | "side_input_scale" => Some("side columns"),
        "text" | "vision" | "audio" if base.ends_with(".low_rank_a") || base.ends_with(".low_rank_b") => {
            Some("a low-rank branch")
        }
        "text" | "vision" | "audio" if base.ends_with(".weight") || base.ends_with(".bias") => {
            Some("a norm of one modality")
        }
        _ => None,
    }
}
