//! A model counted: its sites in the order they run, and sums for each component.

use mquant::kernels::{Bits, Dtype, Matrix};
use mquant::models::Model;
use mquant::nn::{Block, NormKind, SiteId, SiteMut, Tower, Weight};
use serde::Serialize;

/// Everything counted.
#[derive(Debug)]
pub(super) struct Anatomy {
    pub(super) components: Vec<Component>,
    pub(super) towers: Vec<TowerRow>,
    pub(super) sites: Vec<SiteRow>,
    pub(super) head_tied: bool,
}

/// A part of the model that people ask the size of.
#[derive(Debug, Serialize)]
pub(super) struct Component {
    pub(super) name: &'static str,
    pub(super) parameters: u64,
    pub(super) weights_bytes: u64,
}

/// A stack of blocks.
#[derive(Debug, Serialize)]
pub(super) struct TowerRow {
    pub(super) name: String,
    pub(super) blocks: usize,
    /// Of its residual stream.
    pub(super) features: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_features: usize,
}

/// A site with its norm.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SiteRow {
    #[serde(rename = "name", serialize_with = "as_text")]
    pub(super) id: SiteId,
    pub(super) inputs: usize,
    /// Of each linear.
    pub(super) outputs: Vec<usize>,
    pub(super) dtype: &'static str,
    /// Weights, biases and norm; a tied head's weight is counted with the embedding.
    pub(super) parameters: u64,
    pub(super) weights_bytes: u64,
}

fn as_text<S: serde::Serializer>(id: &SiteId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// Bytes of a bias or norm value in memory.
const VECTOR_BYTES: u64 = size_of::<f32>() as u64;

/// Counts `model`.
pub(super) fn of(model: &Model) -> Anatomy {
    // Parts are reached through exclusive references; the copy shares the weights.
    let mut model = model.clone();
    let towers = vec![
        tower(Tower::Vision, &model.vision.blocks, model.vision.patch.site.linears[0].weight.rows()),
        tower(Tower::Language, &model.decoder.blocks, model.decoder.embedding.0.cols()),
    ];
    let embedding = model.decoder.embedding.0.clone();
    let head_tied = is_tied(&model.decoder.head.0.linears[0].weight, &embedding);
    let mut sites = Vec::new();
    for part in model.parts() {
        sites.extend(part.sites().iter().map(|site| row(site, &embedding)));
    }
    let sum = |name, belongs: fn(SiteId) -> bool| {
        let rows = sites.iter().filter(|site| belongs(site.id));
        rows.fold(Component { name, parameters: 0, weights_bytes: 0 }, |sum, site| Component {
            parameters: sum.parameters + site.parameters,
            weights_bytes: sum.weights_bytes + site.weights_bytes,
            name,
        })
    };
    let components = vec![
        sum("vision", |id| matches!(id, SiteId::Patch(_) | SiteId::Block(Tower::Vision, ..))),
        sum("projector", |id| matches!(id, SiteId::Projector(_))),
        Component { name: "embedding", parameters: elements(&embedding), weights_bytes: embedding.byte_len() as u64 },
        sum("language", |id| matches!(id, SiteId::Block(Tower::Language, ..))),
        sum("head", |id| id == SiteId::Head),
    ];
    Anatomy { components, towers, sites, head_tied }
}

fn row(site: &SiteMut<'_>, embedding: &Matrix) -> SiteRow {
    let first = site.linears.first().map(|linear| &linear.weight);
    let (mut parameters, mut weights_bytes) = (0, 0);
    let mut vector = |values: usize| {
        parameters += values as u64;
        weights_bytes += values as u64 * VECTOR_BYTES;
    };
    if let Some(norm) = site.norm.as_ref() {
        vector(norm.gain.len());
        if let NormKind::Layer { bias } = &norm.kind {
            vector(bias.len());
        }
    }
    site.linears.iter().filter_map(|linear| linear.bias.as_ref()).for_each(|bias| vector(bias.len()));
    for linear in site.linears.iter().filter(|linear| !is_tied(&linear.weight, embedding)) {
        parameters += (linear.weight.rows() * linear.weight.cols()) as u64;
        weights_bytes += linear.weight.byte_len() as u64;
    }
    SiteRow {
        id: site.id,
        inputs: first.map_or(0, Weight::cols),
        outputs: site.linears.iter().map(|linear| linear.weight.rows()).collect(),
        dtype: first.map_or("", format_name),
        parameters,
        weights_bytes,
    }
}

fn tower(tower: Tower, blocks: &[Block], features: usize) -> TowerRow {
    let shape = blocks.first().map(|block| block.attention.shape);
    TowerRow {
        name: tower.to_string(),
        blocks: blocks.len(),
        features,
        heads: shape.map_or(0, |s| s.heads),
        kv_heads: shape.map_or(0, |s| s.kv_heads),
        head_features: shape.map_or(0, |s| s.head_dim),
    }
}

fn elements(matrix: &Matrix) -> u64 {
    matrix.rows() as u64 * matrix.cols() as u64
}

fn is_tied(weight: &Weight, embedding: &Matrix) -> bool {
    weight.float().is_some_and(|weight| weight.shares_values(embedding))
}

fn format_name(weight: &Weight) -> &'static str {
    match weight {
        Weight::Float(matrix) => match matrix.dtype() {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
        },
        Weight::Int(codes) => match codes.bits() {
            Bits::Four => "int4",
            Bits::Eight => "int8",
        },
    }
}
