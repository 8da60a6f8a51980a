//! What quantising a unit gives: everything that a bundle, or the unit itself, needs to run on integers.

use std::sync::Arc;

use mquant_kernels::{Dtype, Hadamard, IntWeight, Matrix, PackError, PackedWeight, Products};

use super::report::{SiteReport, UnitReport};
use super::smoothing_file::Smoothing;
use mquant_model::nn::{
    Branch, ColumnSplit, InputQuant, Linear, Modality, ModalityGains, Norm, Output, Part, SiteId, SiteMut, Weight,
};

/// A unit, quantised.
#[derive(Clone, Debug)]
pub(super) struct QuantizedUnit {
    /// In the part's order.
    pub(super) sites: Vec<QuantizedSite>,
    /// The rows of its table: of an embedding, or of positions.
    pub(super) table: Option<Matrix>,
    /// The map behind what writes its stream.
    pub(super) map: Option<Matrix>,
    /// What smoothing folded.
    pub(super) smoothing: Smoothing,
    pub(super) report: UnitReport,
}

/// A site, quantised.
#[derive(Clone, Debug)]
pub(super) struct QuantizedSite {
    pub(super) id: SiteId,
    pub(super) linears: Vec<QuantizedLinear>,
    /// The norm in front, as it is now.
    pub(super) norm: Option<Norm>,
    pub(super) gains: Option<ModalityGains>,
    pub(super) rotation: Option<Arc<Hadamard>>,
    pub(super) input: InputQuant,
    pub(super) split: Option<ColumnSplit>,
    pub(super) branches: Vec<QuantizedBranch>,
    pub(super) report: SiteReport,
}

/// The first half of a low-rank branch.
#[derive(Clone, Debug)]
pub(super) struct QuantizedBranch {
    pub(super) modality: Modality,
    /// Rank × inputs.
    pub(super) weight: IntWeight,
}

/// A linear, quantised.
#[derive(Clone, Debug)]
pub(super) struct QuantizedLinear {
    pub(super) weight: QuantizedWeight,
    pub(super) bias: Option<Vec<f32>>,
    /// Codes of the channels that are computed beside the main product.
    pub(super) side: Option<IntWeight>,
    /// Second halves of the site's branches, in their order: out × rank.
    pub(super) branches: Vec<IntWeight>,
}

/// A weight in the form it is stored in.
#[derive(Clone, Debug)]
pub(super) enum QuantizedWeight {
    Float(Matrix),
    Int(IntWeight),
}

impl QuantizedSite {
    /// Puts it in place of the float site.
    pub(super) fn install(&self, site: SiteMut<'_>) -> Result<(), PackError> {
        for (linear, quantized) in site.linears.iter_mut().zip(&self.linears) {
            let weight = match &quantized.weight {
                QuantizedWeight::Float(matrix) => Weight::Float(matrix.clone()),
                QuantizedWeight::Int(codes) => Weight::Int(PackedWeight::pack(codes)?),
            };
            let side = quantized.side.as_ref().map(PackedWeight::pack).transpose()?;
            let branches = quantized.branches.iter().map(PackedWeight::pack).collect::<Result<_, _>>()?;
            *linear = Linear { weight, bias: quantized.bias.clone(), side, branches };
        }
        *site.norm = self.norm.clone();
        *site.gains = self.gains.clone();
        *site.rotation = self.rotation.clone();
        *site.input = self.input.clone();
        *site.split = self.split.clone();
        *site.branches = self.packed_branches()?;
        Ok(())
    }
}

impl QuantizedSite {
    /// The first halves of its branches as the kernels take them.
    pub(super) fn packed_branches(&self) -> Result<Vec<Branch>, PackError> {
        let packed = |branch: &QuantizedBranch| {
            Ok(Branch { modality: branch.modality, weight: PackedWeight::pack(&branch.weight)? })
        };
        self.branches.iter().map(packed).collect()
    }
}

impl QuantizedUnit {
    /// Puts all of it in place of the float part, which then computes as the bundle will.
    pub(super) fn install(&self, part: &mut dyn Part) -> Result<(), PackError> {
        for site in part.sites() {
            let quantized = self.sites.iter().find(|quantized| quantized.id == site.id);
            quantized.expect("every site of a unit is decided").install(site)?;
        }
        if let Some(table) = &self.table {
            for writer in part.writers() {
                if let Output::Table(matrix) = writer.output {
                    *matrix = table.clone();
                }
            }
        }
        if let Some(matrix) = &self.map {
            for writer in part.writers() {
                if let Output::Map { map, .. } = writer.output {
                    *map = Some(Linear::plain(Weight::Float(matrix.clone()), None));
                }
            }
        }
        if let Some(attention) = part.attention() {
            attention.products = Products::Bf16;
        }
        Ok(())
    }
}

/// The table and the map of a part, which no site has, as a bundle stores them.
pub(super) fn kept_floats(part: &mut dyn Part, tables: Dtype) -> (Option<Matrix>, Option<Matrix>) {
    let (mut table, mut map) = (None, None);
    for writer in part.writers() {
        match writer.output {
            Output::Table(matrix) => table = Some(matrix.to_dtype(tables)),
            Output::Map { map: Some(linear), .. } => map = linear.weight.float().cloned(),
            Output::Map { map: None, .. } | Output::Linear(_) => {}
        }
    }
    (table, map)
}
