//! How one site is quantised: its entry in the table of sites.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mquant_kernels::{Bits, Hadamard};
use serde_json::{Value, json};

use super::BundleError;
use crate::bundle::IntFormat;
use crate::checkpoint::{FieldError, Fields};
use crate::input::Modality;
use crate::nn::{SiteId, Tower};

/// Orders of a Kronecker product at most.
const MAX_FACTORS: usize = 8;
/// Input channels beside the main product at most.
const MAX_SIDE_COLUMNS: usize = 256;
/// Rank of a low-rank branch at most: inputs of a product with 8-bit codes.
const MAX_RANK: usize = 131_071;

/// How one site is quantised.
#[derive(Clone, Debug)]
pub struct SiteQuant {
    /// How its linears' weights are stored.
    pub weight: WeightFormat,
    /// How its activation becomes codes.
    pub input: InputFormat,
    /// What becomes of the norm in front, if there is one.
    pub norm: NormFormat,
    /// Online rotation of the activation, which may fill it up to more features.
    pub rotation: Option<Arc<Hadamard>>,
    /// Input channels with codes of their own, after the rotation: ascending; only where the activation becomes codes.
    pub side_columns: Vec<u32>,
    /// The modalities whose rows are multiplied by gains of their own; only in blocks of the decoder.
    pub gains: BTreeSet<Modality>,
    /// The ranks of low-rank branches by the modality of their rows; only in blocks of the decoder, where weights are codes.
    pub branches: BTreeMap<Modality, usize>,
}

/// The modalities by name.
const MODALITIES: [(&str, Modality); 3] =
    [("text", Modality::Text), ("vision", Modality::Vision), ("audio", Modality::Audio)];

/// How the weights of a site are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightFormat {
    /// As published.
    Float,
    /// As integer codes with scales.
    Int(IntFormat),
}

/// What becomes of the norm in front of a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NormFormat {
    /// It stays as published.
    #[default]
    Published,
    /// An RMSNorm without gain takes its place: the rest of it was folded into the site's linears, and is not stored.
    Rms,
}

/// How the activation of a site becomes codes, without the scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputFormat {
    /// Not at all.
    Float,
    /// One static scale.
    PerTensor,
    /// One static scale for each modality.
    PerModality,
    /// Each row by its own largest magnitude.
    PerToken,
    /// The same in 6 bits.
    PerTokenSix,
}

/// Every way an input is quantised, by its name.
const INPUTS: [(&str, InputFormat); 5] = [
    ("float", InputFormat::Float),
    ("per_tensor", InputFormat::PerTensor),
    ("per_modality", InputFormat::PerModality),
    ("per_token", InputFormat::PerToken),
    ("per_token_6bit", InputFormat::PerTokenSix),
];

impl InputFormat {
    /// Static scales a site stores.
    pub fn scales(self, modalities: &[Modality]) -> usize {
        match self {
            InputFormat::Float | InputFormat::PerToken | InputFormat::PerTokenSix => 0,
            InputFormat::PerTensor => 1,
            InputFormat::PerModality => modalities.len(),
        }
    }
}

impl SiteQuant {
    /// A site with its norm as published, no rotation and no side columns.
    pub fn new(weight: WeightFormat, input: InputFormat) -> Self {
        Self {
            weight,
            input,
            norm: NormFormat::Published,
            rotation: None,
            side_columns: Vec::new(),
            gains: BTreeSet::new(),
            branches: BTreeMap::new(),
        }
    }

    /// Whether it has something that format version 1 has not.
    pub(super) fn needs_version_2(&self) -> bool {
        !(self.gains.is_empty() && self.branches.is_empty()) || self.input == InputFormat::PerTokenSix
    }

    /// Static scales of side channels that the site stores.
    pub(super) fn side_scales(&self, modalities: &[Modality]) -> usize {
        if self.side_columns.is_empty() { 0 } else { self.input.scales(modalities) }
    }

    /// The entry of a site in a format of `version`.
    pub(super) fn read(fields: &Fields, id: SiteId, version: usize) -> Result<Self, BundleError> {
        const KEYS: [&str; 8] =
            ["weight_bits", "group_size", "input", "norm", "rotation", "side_columns", "gains", "branches"];
        fields.only(if version == 1 { &KEYS[..6] } else { &KEYS })?;
        let group = fields.opt_usize("group_size", 1..=usize::MAX)?;
        if group.is_some_and(|group| ![32, 64, 128].contains(&group)) {
            return Err(fields.unsupported("group_size", "32, 64, 128 or null").into());
        }
        let weight = match fields.usize("weight_bits", 1..=64)? {
            4 => WeightFormat::Int(IntFormat { bits: Bits::Four, group }),
            8 => WeightFormat::Int(IntFormat { bits: Bits::Eight, group }),
            16 => WeightFormat::Float,
            _ => return Err(fields.unsupported("weight_bits", "4, 8 or 16").into()),
        };
        // The last one came with version 2.
        let inputs = if version == 1 { &INPUTS[..4] } else { &INPUTS };
        let input = fields.choice("input", inputs)?;
        if weight == WeightFormat::Float {
            if group.is_some() {
                return Err(fields.conflict("group_size", "null where weight_bits is 16").into());
            }
            if input != InputFormat::Float {
                return Err(fields.conflict("input", "\"float\" where weight_bits is 16").into());
            }
        }
        let norm = fields.opt_choice("norm", &[("rms", NormFormat::Rms)])?.unwrap_or_default();
        let (rotation, side_columns) = (rotation(fields)?, side_columns(fields)?);
        if input == InputFormat::Float && !side_columns.is_empty() {
            return Err(fields.conflict("side_columns", "null where input is \"float\"").into());
        }
        let (gains, branches) = (gains(fields)?, branches(fields)?);
        let is_decoder_block = id.tower() == Tower::Language && id.block_index().is_some();
        for (key, is_absent) in [("gains", gains.is_empty()), ("branches", branches.is_empty())] {
            if !is_absent && !is_decoder_block {
                return Err(fields.conflict(key, "null outside the blocks of the decoder").into());
            }
        }
        if weight == WeightFormat::Float && !branches.is_empty() {
            return Err(fields.conflict("branches", "null where weight_bits is 16").into());
        }
        Ok(Self { weight, input, norm, rotation, side_columns, gains, branches })
    }

    pub(super) fn to_json(&self) -> Value {
        let (bits, group) = match self.weight {
            WeightFormat::Float => (16, None),
            WeightFormat::Int(IntFormat { bits, group }) => (bits.count(), group),
        };
        let (input, _) = INPUTS.iter().find(|(_, input)| *input == self.input).expect("every input format has a name");
        let rotation = self.rotation.as_ref().map(|rotation| {
            let (blocks, factors) = rotation.parts();
            json!({"blocks": blocks, "factors": factors})
        });
        let norm = match self.norm {
            NormFormat::Published => None,
            NormFormat::Rms => Some("rms"),
        };
        let side_columns = Some(&self.side_columns).filter(|columns| !columns.is_empty());
        let mut site = json!({
            "weight_bits": bits, "group_size": group, "input": input, "norm": norm, "rotation": rotation,
            "side_columns": side_columns
        });
        if !self.gains.is_empty() {
            site["gains"] = self.gains.iter().map(ToString::to_string).collect();
        }
        if !self.branches.is_empty() {
            site["branches"] = self.branches.iter().map(|(modality, rank)| (modality.to_string(), *rank)).collect();
        }
        site
    }
}

/// The modalities with gains of their own.
fn gains(fields: &Fields) -> Result<BTreeSet<Modality>, FieldError> {
    let expected = "a list of modalities, each once";
    let names = fields.opt_string_list("gains", 1..=MODALITIES.len())?.unwrap_or_default();
    let found: BTreeSet<Modality> = names.iter().filter_map(|name| modality(name)).collect();
    if found.len() == names.len() { Ok(found) } else { Err(fields.conflict("gains", expected)) }
}

/// The ranks of low-rank branches.
fn branches(fields: &Fields) -> Result<BTreeMap<Modality, usize>, FieldError> {
    let Some(ranks) = fields.opt_object("branches")? else { return Ok(BTreeMap::new()) };
    ranks.only(&MODALITIES.map(|(name, _)| name))?;
    let mut found = BTreeMap::new();
    for (name, modality) in MODALITIES {
        if let Some(rank) = ranks.opt_usize(name, 1..=MAX_RANK)? {
            found.insert(modality, rank);
        }
    }
    if found.is_empty() { Err(fields.conflict("branches", "null or at least one modality")) } else { Ok(found) }
}

fn modality(name: &str) -> Option<Modality> {
    MODALITIES.into_iter().find(|(known, _)| *known == name).map(|(_, modality)| modality)
}

/// The online rotation of a site.
fn rotation(fields: &Fields) -> Result<Option<Arc<Hadamard>>, BundleError> {
    let Some(parts) = fields.opt_object("rotation")? else { return Ok(None) };
    parts.only(&["blocks", "factors"])?;
    let blocks = parts.usize("blocks", 1..=usize::MAX)?;
    let factors = parts.usize_list("factors", 1..=MAX_FACTORS, 1..=usize::MAX)?;
    let rotation = Hadamard::from_parts(blocks, &factors).map_err(|source| {
        let (file, field) = (fields.file().to_owned(), fields.field("rotation"));
        BundleError::Rotation { file, field, source }
    })?;
    Ok(Some(Arc::new(rotation)))
}

/// The input channels with codes of their own.
fn side_columns(fields: &Fields) -> Result<Vec<u32>, FieldError> {
    let key = "side_columns";
    let found = fields.opt_usize_list(key, 1..=MAX_SIDE_COLUMNS, 0..=u32::MAX as usize)?.unwrap_or_default();
    if found.is_sorted_by(|a, b| a < b) {
        Ok(found.into_iter().map(|channel| channel as u32).collect())
    } else {
        Err(fields.conflict(key, "ascending channels, each once"))
    }
}
