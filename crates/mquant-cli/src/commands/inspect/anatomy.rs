//! A model counted: its sites in the order they run, and sums for each component.

use mquant::kernels::{Bits, Dtype, HeadShape, Matrix};
use mquant::models::Model;
use mquant::nn::{NormKind, Part, SiteId, SiteMut, Stage, Tower, Weight};
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
    let mut towers: Vec<TowerRow> = model.encoders.iter_mut().map(|e| tower(e.tower, e.heads, e.parts())).collect();
    towers.push(tower(Tower::Language, model.decoder.heads, model.decoder.parts()));
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
    let mut components = vec![
        sum("vision", |id| id.tower() == Tower::Vision && id.part.stage != Stage::Projector),
        sum("projector", |id| id.part.stage == Stage::Projector),
        Component { name: "embedding", parameters: elements(&embedding), weights_bytes: embedding.byte_len() as u64 },
        sum("language", |id| id.tower() == Tower::Language && id != SiteId::HEAD),
        sum("head", |id| id == SiteId::HEAD),
    ];
    if model.encoder(Tower::Audio).is_some() {
        components.insert(1, sum("audio", |id| id.tower() == Tower::Audio && id.part.stage != Stage::Projector));
    }
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

fn tower(tower: Tower, heads: HeadShape, parts: Vec<&mut dyn Part>) -> TowerRow {
    let (mut blocks, mut features) = (0, 0);
    for part in parts {
        blocks += usize::from(matches!(part.id().stage, Stage::Block(_)));
        for writer in part.writers().into_iter().filter(|writer| writer.stream.0 == tower) {
            features = writer.output.features();
        }
    }
    let HeadShape { heads, kv_heads, head_dim } = heads;
    TowerRow { name: tower.to_string(), blocks, features, heads, kv_heads, head_features: head_dim }
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
