//! The weights of a model as its sites take them, whatever the folder holds: floats, or codes that are laid out for the
//! kernels when they are asked for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use mquant_kernels::{Bits, Hadamard, IntWeight, Matrix, PackedWeight, Products};

use super::packed_cache::{PackedCache, PackedCacheUse, PackedFile, PanelKey};
use super::specs::{self, input_scale_name};
use super::{BundleError, InputFormat, Quantization};
use crate::checkpoint::{Checkpoint, CheckpointError, Naming, Place, Role, TensorSpec, Tensors};
use crate::excerpt::excerpt;
use crate::input::Modality;
use crate::nn::{CacheFormat, InputQuant, ModalityScales, SiteId, Weight};

/// Everything a family builds its parts from. Names are the family's own, and those of a float checkpoint.
#[derive(Debug)]
pub struct Weights {
    tensors: Tensors,
    /// Float weights that are another tensor.
    tied: BTreeMap<String, String>,
    codes: Option<Codes>,
}

/// What only a quantised model has.
#[derive(Debug)]
struct Codes {
    quantization: Quantization,
    /// By the name the weight has in a float checkpoint.
    weights: BTreeMap<String, Canonical>,
    inputs: BTreeMap<SiteId, InputQuant>,
    panels: RefCell<Panels>,
}

/// Canonical codes where they lie in their file.
#[derive(Debug)]
struct Canonical {
    weight: IntWeight,
    place: Place,
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
        Ok(Self { tensors, tied: tied(specs), codes: None })
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
        let mut weights = BTreeMap::new();
        for spec in specs {
            if let Some(format) = specs::int_format(spec, &quantization) {
                let [codes, scale] = specs::weight_names(&spec.name, format.bits);
                let (stored, (rows, cols)) = (tensors.stored(&codes), spec.matrix_shape());
                let (codes, scales) = (stored.bytes.clone(), tensors.vector(&scale));
                let weight = IntWeight { bits: format.bits, rows, cols, codes, scales, group: format.group };
                weight.check().map_err(|source| BundleError::Weight {
                    file: stored.file.to_string(),
                    tensor: excerpt(&stored.name),
                    source,
                })?;
                // Panels that were kept were made of codes that had been checked.
                if kept.is_none()
                    && let Some((output, found)) = padding_fault(&weight)
                {
                    let (file, tensor) = (stored.file.to_string(), excerpt(&stored.name));
                    return Err(BundleError::Padding { file, tensor, output, found });
                }
                weights.insert(spec.name.clone(), Canonical { weight, place: stored.place.clone() });
            }
        }
        let inputs = inputs(&tensors, &quantization)?;
        let panels = RefCell::new(Panels { kept, taken: Vec::new(), made: 0 });
        Ok(Self { tensors, tied: tied(specs), codes: Some(Codes { quantization, weights, inputs, panels }) })
    }

    /// A bias, or values of a norm.
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

    /// The weight of a linear.
    pub fn weight(&self, name: &str) -> Weight {
        match self.canonical(name) {
            Some((codes, canonical)) => Weight::Int(codes.packed(name, canonical, 0..canonical.weight.rows)),
            None => Weight::Float(self.float_weight(name)),
        }
    }

    /// Some outputs of a fused weight.
    ///
    /// # Panics
    /// If the range is not inside.
    pub fn weight_rows(&self, name: &str, rows: Range<usize>) -> Weight {
        match self.canonical(name) {
            Some((codes, canonical)) => Weight::Int(codes.packed(name, canonical, rows)),
            None => Weight::Float(self.float_weight(name).row_range(rows)),
        }
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

fn tied(specs: &[TensorSpec]) -> BTreeMap<String, String> {
    let tied = specs.iter().filter_map(|spec| match &spec.role {
        Role::TiedWeight(_, to) => Some((spec.name.clone(), to.clone())),
        _ => None,
    });
    tied.collect()
}

/// The first output that is padded with another code than 0, and that code: two readers of one file must never see two models.
fn padding_fault(weight: &IntWeight) -> Option<(usize, i8)> {
    if weight.bits != Bits::Four || weight.cols.is_multiple_of(8) {
        return None;
    }
    let padding = weight.cols..weight.cols.next_multiple_of(8);
    let rows = weight.codes.as_ref().chunks_exact(weight.row_bytes()).enumerate();
    rows.flat_map(|(output, row)| padding.clone().map(move |input| (output, nibble(row, input))))
        .find(|(_, code)| *code != 0)
}

/// The code of an input in a row of packed nibbles.
fn nibble(row: &[u8], input: usize) -> i8 {
    let byte = row[input / 2];
    (if input.is_multiple_of(2) { byte & 15 } else { byte >> 4 }) as i8 - 8
}

fn inputs(tensors: &Tensors, quantization: &Quantization) -> Result<BTreeMap<SiteId, InputQuant>, BundleError> {
    let mut inputs = BTreeMap::new();
    for (site, quant) in &quantization.sites {
        let input = match quant.input {
            InputFormat::Float => InputQuant::Float,
            InputFormat::PerToken => InputQuant::PerToken,
            InputFormat::PerTensor => InputQuant::PerTensor(input_scales(tensors, *site)?[0]),
            InputFormat::PerModality => {
                let scales = input_scales(tensors, *site)?;
                // Of a modality that is not listed, there are no rows.
                let of = |modality: Modality| {
                    let at = quantization.modalities.iter().position(|m| *m == modality);
                    scales[at.unwrap_or(0)]
                };
                let (text, vision, audio) = (of(Modality::Text), of(Modality::Vision), of(Modality::Audio));
                InputQuant::PerModality(ModalityScales { text, vision, audio })
            }
        };
        inputs.insert(*site, input);
    }
    Ok(inputs)
}

fn input_scales(tensors: &Tensors, site: SiteId) -> Result<Vec<f32>, BundleError> {
    let name = input_scale_name(site);
    let scales = tensors.vector(&name);
    match scales.iter().position(|s| !(s.is_finite() && *s > 0.0)) {
        None => Ok(scales),
        Some(index) => {
            let file = tensors.stored(&name).file.to_string();
            Err(BundleError::InputScale { file, tensor: name, index, found: scales[index] })
        }
    }
}

#[cfg(test)]
mod tests {
    use mquant_kernels::Bytes;

    use super::*;

    #[test]
    fn padding_that_is_not_zero_is_found() {
        for cols in 1..=17usize {
            let (rows, row_bytes) = (3, cols.div_ceil(8) * 4);
            let weight = |codes: Vec<u8>| {
                let codes = Bytes::new(Arc::new(codes));
                IntWeight { bits: Bits::Four, rows, cols, codes, scales: vec![1.0; rows], group: None }
            };
            let good = vec![0x88; rows * row_bytes];
            assert_eq!(padding_fault(&weight(good.clone())), None);
            for input in 0..cols.next_multiple_of(8) {
                let mut codes = good.clone();
                codes[row_bytes + input / 2] ^= if input % 2 == 0 { 0x0f } else { 0xf0 };
                let expected = (input >= cols).then_some((1, -1));
                assert_eq!(padding_fault(&weight(codes)), expected, "{cols} inputs, input {input}");
            }
        }
    }
}
