//! A quantised unit as bytes and back: a safetensors file whose metadata say what its tensors are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mquant_kernels::{Bits, Bytes, Dtype, Hadamard, IntWeight, Matrix, Values};
use safetensors::tensor::TensorView;
use safetensors::{Dtype as StDtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::report::{SiteReport, UnitReport};
use super::result::{QuantizedBranch, QuantizedLinear, QuantizedSite, QuantizedUnit, QuantizedWeight};
use crate::quantize::IntFormat;
use mquant_model::nn::{ColumnSplit, InputQuant, Modality, ModalityGains, ModalityScales, Norm, NormKind, SiteId};

/// The key of the metadata.
const KEY: &str = "unit";

#[derive(Serialize, Deserialize)]
struct Head {
    sites: Vec<SiteHead>,
    /// Data type, rows and columns of its table.
    table: Option<(String, usize, usize)>,
    /// The same of its map.
    #[serde(default)]
    map: Option<(String, usize, usize)>,
    /// Steps and sites of what smoothing folded.
    #[serde(default)]
    smoothing: Vec<(usize, String)>,
    report: UnitReport,
}

#[derive(Serialize, Deserialize)]
struct SiteHead {
    id: String,
    linears: Vec<LinearHead>,
    norm: Option<NormHead>,
    rotation: Option<(usize, Vec<usize>)>,
    input: InputHead,
    split: Option<(Vec<u32>, InputHead)>,
    /// Modalities with gains.
    #[serde(default)]
    gains: Vec<String>,
    /// Modalities and ranks of low-rank branches.
    #[serde(default)]
    branches: Vec<(String, usize)>,
    report: SiteReport,
}

#[derive(Serialize, Deserialize)]
struct LinearHead {
    rows: usize,
    cols: usize,
    /// None of a float weight.
    bits: Option<u32>,
    group: Option<usize>,
    bias: bool,
    /// Channels beside the main product.
    side: Option<usize>,
}

#[derive(Serialize, Deserialize)]
struct NormHead {
    layer: bool,
    eps_bits: u32,
    repeat: usize,
}

/// Scales as bits: JSON numbers would not bring them back whole.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum InputHead {
    Float,
    PerTensor(u32),
    PerModality([u32; 3]),
    PerToken,
    PerTokenSix,
}

impl InputHead {
    fn of(input: &InputQuant) -> Self {
        match input {
            InputQuant::Float => Self::Float,
            InputQuant::PerTensor(scale) => Self::PerTensor(scale.to_bits()),
            InputQuant::PerModality(s) => Self::PerModality([s.text, s.vision, s.audio].map(f32::to_bits)),
            InputQuant::PerToken => Self::PerToken,
            InputQuant::PerTokenSix => Self::PerTokenSix,
        }
    }

    fn input(&self) -> InputQuant {
        match self {
            Self::Float => InputQuant::Float,
            Self::PerTensor(scale) => InputQuant::PerTensor(f32::from_bits(*scale)),
            Self::PerModality(scales) => {
                let [text, vision, audio] = scales.map(f32::from_bits);
                InputQuant::PerModality(ModalityScales { text, vision, audio })
            }
            Self::PerToken => InputQuant::PerToken,
            Self::PerTokenSix => InputQuant::PerTokenSix,
        }
    }
}

/// One tensor of the file.
struct Stored<'a> {
    name: String,
    dtype: StDtype,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

/// The file.
pub(super) fn to_bytes(unit: &QuantizedUnit) -> Vec<u8> {
    let mut tensors = Vec::new();
    let mut sites = Vec::new();
    for site in &unit.sites {
        sites.push(site_head(site));
        store_site(site, &mut tensors);
    }
    let [table, map] = [("table", &unit.table), ("map", &unit.map)].map(|(name, floats)| {
        floats.as_ref().map(|floats| {
            tensors.push(matrix(name.to_owned(), floats));
            (floats.dtype().to_string(), floats.rows(), floats.cols())
        })
    });
    let smoothing: Vec<(usize, String)> = unit.smoothing.keys().map(|(step, site)| (*step, site.to_string())).collect();
    for ((step, site), scales) in &unit.smoothing {
        let (name, bytes) = (format!("smoothing/{step}/{site}"), bytemuck::cast_slice(scales));
        tensors.push(Stored { name, dtype: StDtype::F64, shape: vec![scales.len()], bytes });
    }
    let head = Head { sites, table, map, smoothing, report: unit.report.clone() };
    let head = serde_json::to_string(&head).expect("numbers and strings");
    let views = tensors.iter().map(|t| {
        let view = TensorView::new(t.dtype, t.shape.clone(), t.bytes).expect("as many bytes as the shape says");
        (t.name.as_str(), view)
    });
    let metadata = HashMap::from([(KEY.to_owned(), head)]);
    safetensors::serialize(views, Some(metadata)).expect("distinct names")
}

fn site_head(site: &QuantizedSite) -> SiteHead {
    let linear = |linear: &QuantizedLinear| {
        let (rows, cols, bits, group) = match &linear.weight {
            QuantizedWeight::Float(w) => (w.rows(), w.cols(), None, None),
            QuantizedWeight::Int(w) => (w.rows, w.cols, Some(w.bits.count()), w.group),
        };
        let side = linear.side.as_ref().map(|side| side.cols);
        LinearHead { rows, cols, bits, group, bias: linear.bias.is_some(), side }
    };
    let norm = site.norm.as_ref().map(|norm| NormHead {
        layer: matches!(norm.kind, NormKind::Layer { .. }),
        eps_bits: norm.eps.to_bits(),
        repeat: norm.repeat,
    });
    SiteHead {
        id: site.id.to_string(),
        linears: site.linears.iter().map(linear).collect(),
        norm,
        rotation: site.rotation.as_ref().map(|rotation| rotation.parts()),
        input: InputHead::of(&site.input),
        split: site.split.as_ref().map(|split| (split.channels.clone(), InputHead::of(&split.input))),
        gains: site.gains.iter().flat_map(|gains| gains.factors().keys()).map(ToString::to_string).collect(),
        branches: site.branches.iter().map(|branch| (branch.modality.to_string(), branch.weight.rows)).collect(),
        report: site.report.clone(),
    }
}

fn codes<'a>(name: String, weight: &'a IntWeight, tensors: &mut Vec<Stored<'a>>) {
    let bytes = weight.codes.as_ref();
    let scales = floats(format!("{name}_scales"), &weight.scales);
    tensors.push(Stored { name, dtype: StDtype::U8, shape: vec![bytes.len()], bytes });
    tensors.push(scales);
}

fn modality_of(name: &str) -> Option<Modality> {
    [Modality::Text, Modality::Vision, Modality::Audio].into_iter().find(|modality| modality.to_string() == name)
}

fn floats(name: String, values: &[f32]) -> Stored<'_> {
    Stored { name, dtype: StDtype::F32, shape: vec![values.len()], bytes: bytemuck::cast_slice(values) }
}

fn matrix(name: String, matrix: &Matrix) -> Stored<'_> {
    let (dtype, bytes): (_, &[u8]) = match matrix.values() {
        Values::F32(v) => (StDtype::F32, bytemuck::cast_slice(v)),
        Values::F16(v) => (StDtype::F16, bytemuck::cast_slice(v)),
        Values::Bf16(v) => (StDtype::BF16, bytemuck::cast_slice(v)),
    };
    Stored { name, dtype, shape: vec![matrix.rows(), matrix.cols()], bytes }
}

fn store_site<'a>(site: &'a QuantizedSite, tensors: &mut Vec<Stored<'a>>) {
    let id = site.id;
    for (i, linear) in site.linears.iter().enumerate() {
        if let QuantizedWeight::Int(weight) = &linear.weight {
            codes(format!("{id}/{i}/codes"), weight, tensors);
        }
        if let Some(side) = &linear.side {
            codes(format!("{id}/{i}/side"), side, tensors);
        }
        for (branch, weight) in site.branches.iter().zip(&linear.branches) {
            codes(format!("{id}/{i}/branch/{}", branch.modality), weight, tensors);
        }
        if let QuantizedWeight::Float(weight) = &linear.weight {
            tensors.push(matrix(format!("{id}/{i}/weight"), weight));
        }
        if let Some(bias) = &linear.bias {
            tensors.push(floats(format!("{id}/{i}/bias"), bias));
        }
    }
    for branch in &site.branches {
        codes(format!("{id}/branch/{}", branch.modality), &branch.weight, tensors);
    }
    for (modality, factors) in site.gains.iter().flat_map(ModalityGains::factors) {
        tensors.push(floats(format!("{id}/gains/{modality}"), factors));
    }
    if let Some(norm) = &site.norm {
        tensors.push(floats(format!("{id}/gain"), &norm.gain));
        if let NormKind::Layer { bias } = &norm.kind {
            tensors.push(floats(format!("{id}/norm_bias"), bias));
        }
    }
}

/// Puts the reports as [`to_bytes`] wrote them in place of those they were made of.
pub(super) fn read_reports(bytes: &[u8], unit: &mut QuantizedUnit) {
    let Some(head) = read_head(bytes) else { return };
    unit.report = head.report;
    for (site, head) in unit.sites.iter_mut().zip(head.sites) {
        site.report = head.report;
    }
}

fn read_head(bytes: &[u8]) -> Option<Head> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
    serde_json::from_str(metadata.metadata().as_ref()?.get(KEY)?).ok()
}

/// The unit that [`to_bytes`] wrote; None of other bytes.
pub(super) fn from_bytes(bytes: &[u8]) -> Option<QuantizedUnit> {
    let head = read_head(bytes)?;
    let file = SafeTensors::deserialize(bytes).ok()?;
    let sites = head.sites.into_iter().map(|site| load_site(site, &file)).collect::<Option<Vec<_>>>()?;
    let kept = |name: &str, shape: Option<(String, usize, usize)>| match shape {
        None => Some(None),
        Some((_, rows, cols)) => load_matrix(&file, name, rows, cols).map(Some),
    };
    let (table, map) = (kept("table", head.table)?, kept("map", head.map)?);
    let vector = |(step, site): (usize, String)| {
        let tensor = file.tensor(&format!("smoothing/{step}/{site}")).ok()?;
        let scales = (tensor.dtype() == StDtype::F64).then(|| bytemuck::pod_collect_to_vec(tensor.data()))?;
        Some(((step, SiteId::parse(&site)?), scales))
    };
    let smoothing = head.smoothing.into_iter().map(vector).collect::<Option<_>>()?;
    Some(QuantizedUnit { sites, table, map, smoothing, report: head.report })
}

fn load_floats(file: &SafeTensors<'_>, name: &str) -> Option<Vec<f32>> {
    let tensor = file.tensor(name).ok()?;
    (tensor.dtype() == StDtype::F32).then(|| bytemuck::pod_collect_to_vec(tensor.data()))
}

fn load_matrix(file: &SafeTensors<'_>, name: &str, rows: usize, cols: usize) -> Option<Matrix> {
    let tensor = file.tensor(name).ok()?;
    let dtype = match tensor.dtype() {
        StDtype::F32 => Dtype::F32,
        StDtype::F16 => Dtype::F16,
        StDtype::BF16 => Dtype::Bf16,
        _ => return None,
    };
    (tensor.shape() == [rows, cols]).then_some(())?;
    if dtype == Dtype::F32 {
        return Some(Matrix::from_f32(bytemuck::pod_collect_to_vec(tensor.data()), rows, cols));
    }
    let words: Vec<u16> = bytemuck::pod_collect_to_vec(tensor.data());
    Some(Matrix::from_bytes(Bytes::new(Arc::new(Words(words))), dtype, rows, cols))
}

/// 16-bit values, aligned.
struct Words(Vec<u16>);

impl AsRef<[u8]> for Words {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

fn load_codes(
    file: &SafeTensors<'_>,
    name: &str,
    (rows, cols): (usize, usize),
    IntFormat { bits, group }: IntFormat,
) -> Option<IntWeight> {
    let codes = file.tensor(name).ok()?.data().to_vec();
    let scales = load_floats(file, &format!("{name}_scales"))?;
    let weight = IntWeight { bits, rows, cols, codes: Bytes::new(Arc::new(codes)), scales, group };
    weight.check().ok()?;
    Some(weight)
}

fn load_site(head: SiteHead, file: &SafeTensors<'_>) -> Option<QuantizedSite> {
    let id = SiteId::parse(&head.id)?;
    let site_head = &head;
    let linear = |(i, head): (usize, &LinearHead)| {
        let codes = |what: &str, bits: Bits, cols: usize, group: Option<usize>| {
            load_codes(file, &format!("{id}/{i}/{what}"), (head.rows, cols), IntFormat { bits, group })
        };
        let weight = match head.bits {
            None => QuantizedWeight::Float(load_matrix(file, &format!("{id}/{i}/weight"), head.rows, head.cols)?),
            Some(bits) => {
                let bits = [Bits::Four, Bits::Eight].into_iter().find(|b| b.count() == bits)?;
                QuantizedWeight::Int(codes("codes", bits, head.cols, head.group)?)
            }
        };
        let side = match head.side {
            None => None,
            Some(cols) => Some(codes("side", Bits::Eight, cols, None)?),
        };
        let bias = match head.bias {
            false => None,
            true => Some(load_floats(file, &format!("{id}/{i}/bias"))?),
        };
        let branch =
            |(modality, rank): &(String, usize)| codes(&format!("branch/{modality}"), Bits::Eight, *rank, None);
        let branches = site_head.branches.iter().map(branch).collect::<Option<Vec<_>>>()?;
        Some(QuantizedLinear { weight, bias, side, branches })
    };
    let linears = head.linears.iter().enumerate().map(linear).collect::<Option<Vec<_>>>()?;
    let norm = match &head.norm {
        None => None,
        Some(norm) => {
            let kind = match norm.layer {
                false => NormKind::Rms,
                true => NormKind::Layer { bias: load_floats(file, &format!("{id}/norm_bias"))? },
            };
            let gain = load_floats(file, &format!("{id}/gain"))?;
            Some(Norm { kind, gain, eps: f32::from_bits(norm.eps_bits), repeat: norm.repeat })
        }
    };
    let rotation = match head.rotation {
        None => None,
        Some((blocks, factors)) => Some(Arc::new(Hadamard::from_parts(blocks, &factors).ok()?)),
    };
    let inputs = head.linears.first().map_or(0, |linear| linear.cols);
    let branch = |(modality, rank): &(String, usize)| {
        let format = IntFormat::per_channel(Bits::Eight);
        let weight = load_codes(file, &format!("{id}/branch/{modality}"), (*rank, inputs), format)?;
        Some(QuantizedBranch { modality: modality_of(modality)?, weight })
    };
    let branches = head.branches.iter().map(branch).collect::<Option<Vec<_>>>()?;
    let factors = |name: &String| Some((modality_of(name)?, load_floats(file, &format!("{id}/gains/{name}"))?));
    let factors = head.gains.iter().map(factors).collect::<Option<BTreeMap<_, _>>>()?;
    let gains = (!factors.is_empty()).then(|| ModalityGains::new(factors, norm.as_ref()));
    let split = head.split.map(|(channels, input)| ColumnSplit { channels, input: input.input() });
    let (input, report) = (head.input.input(), head.report);
    Some(QuantizedSite { id, linears, norm, gains, rotation, input, split, branches, report })
}
