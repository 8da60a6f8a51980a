//! A model counted: its sites in the order they run, and sums for each component.

use mquant::kernels::{Bits, Dtype, HeadShape, Matrix};
use mquant::models::Model;
use mquant::nn::{NormKind, Output, Part, PartId, SiteId, SiteKind, SiteMut, Stage, Tower, Weight};
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
    let (mut sites, mut beside) = (Vec::new(), Vec::new());
    for part in model.parts() {
        sites.extend(part.sites().iter().map(|site| row(site, &embedding)));
        beside.extend(beside_sites(part));
    }
    let sum = |name, belongs: &dyn Fn(SiteId) -> bool| {
        let rows =
            sites.iter().map(|site| (site.id, site.parameters, site.weights_bytes)).chain(beside.iter().copied());
        rows.filter(|(id, _, _)| belongs(*id)).fold(
            Component { name, parameters: 0, weights_bytes: 0 },
            |sum, (_, parameters, bytes)| Component {
                parameters: sum.parameters + parameters,
                weights_bytes: sum.weights_bytes + bytes,
                name,
            },
        )
    };
    let is_projector = |id: SiteId| matches!(id.part.stage, Stage::Projector | Stage::Deepstack(_));
    let mut components = vec![
        sum("vision", &|id| id.tower() == Tower::Vision && !is_projector(id)),
        sum("audio", &|id| id.tower() == Tower::Audio && !is_projector(id)),
        sum("projector", &is_projector),
        Component { name: "embedding", parameters: elements(&embedding), weights_bytes: embedding.byte_len() as u64 },
        sum("language", &|id| id.tower() == Tower::Language && id != SiteId::HEAD),
        sum("head", &|id| id == SiteId::HEAD),
    ];
    // A model that hears nothing has no row for it.
    components.retain(|component| component.name != "audio" || component.parameters > 0);
    Anatomy { components, towers, sites, head_tied }
}

/// Parameters and bytes of a part that no site has, with the name of a site of that part: a table of positions, norms of heads,
/// the map of a stream.
fn beside_sites(part: &mut dyn Part) -> Vec<(SiteId, u64, u64)> {
    let id = SiteId { part: part.id(), kind: SiteKind::Qkv };
    let mut found = Vec::new();
    if let Some(norms) = part.attention().and_then(|attention| attention.head_norms.as_ref()) {
        let values = (norms.q.len() + norms.k.len()) as u64;
        found.push((id, values, values * VECTOR_BYTES));
    }
    for writer in part.writers().into_iter().filter(|_| id.part != PartId::EMBEDDING) {
        match writer.output {
            Output::Table(table) => found.push((id, elements(table), table.byte_len() as u64)),
            Output::Map { map: Some(map), .. } => {
                let weight = &map.weight;
                found.push((id, (weight.rows() * weight.cols()) as u64, weight.byte_len() as u64));
            }
            Output::Map { map: None, .. } | Output::Linear(_) => {}
        }
    }
    found
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
