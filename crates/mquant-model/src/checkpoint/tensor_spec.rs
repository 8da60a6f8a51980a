//! A tensor a family asks for, and what it is to the model.

use std::fmt;
use std::ops::Range;

use super::stored_dtype::StoredDtype;
use crate::nn::{PartId, SiteId};

/// A tensor a family asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// The family's name.
    pub name: String,
    /// The published dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Element types it may have.
    pub elements: Elements,
    /// Whether a model can do without it.
    pub presence: Presence,
    /// What it is to the model.
    pub role: Role,
    /// Of a weight or bias: which linears of its site its outputs belong to, in the order of its rows, gapless.
    pub cuts: Vec<Cut>,
}

/// The outputs of a tensor that belong to one linear of a site: a fused projection is cut into several linears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Index of the linear in its site.
    pub linear: usize,
    /// Rows of the weight, values of the bias.
    pub rows: Range<usize>,
}

/// Element types a tensor may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elements {
    /// Any float type that is computed with.
    Float,
    /// This one.
    Exactly(StoredDtype),
}

/// Whether a model can do without a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It must be there.
    Required,
    /// It may be absent; when it is there, it must have the shape.
    Optional,
}

/// What a tensor is to a model, and so what becomes of it in a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The weight of a linear: out × in, further dimensions being inputs. A bundle has it in the site's format.
    Weight(SiteId),
    /// The weight of a linear that in a float checkpoint is this other tensor, as a tied head is the embedding.
    TiedWeight(SiteId, String),
    /// A table of a part that rows are taken from. A bundle keeps it in float, and reads it where it lies.
    Table(PartId),
    /// The gain of the norm of the heads of queries or keys, in float everywhere.
    HeadNorm(PartId, HeadNormOf),
    /// A map behind everything that writes the stream of a part: only bundles have it, where a transform made one.
    Map(PartId),
    /// The bias of a linear of a site: in float everywhere.
    Bias(SiteId),
    /// A value of the norm in front of a site. A bundle has none where the norm was fused into the site's linears.
    Norm(SiteId, NormValue),
    /// Other values: in float everywhere.
    Vector,
}

/// Whose heads a norm is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadNormOf {
    /// The queries'.
    Queries,
    /// The keys'.
    Keys,
}

/// Which value of a norm a tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormValue {
    /// The factors.
    Gain,
    /// What is added at the end, by a LayerNorm.
    Bias,
}

impl TensorSpec {
    /// A float vector that must be there.
    pub fn required(name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        let (name, shape) = (name.into(), shape.into());
        Self {
            name,
            shape,
            elements: Elements::Float,
            presence: Presence::Required,
            role: Role::Vector,
            cuts: Vec::new(),
        }
    }

    /// A float vector that may be absent.
    pub fn optional(name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        Self { presence: Presence::Optional, ..Self::required(name, shape) }
    }

    /// The bias of a linear of a site.
    pub fn bias_of(site: SiteId, name: impl Into<String>, outputs: usize) -> Self {
        Self { role: Role::Bias(site), cuts: whole(outputs), ..Self::required(name, [outputs]) }
    }

    /// A value of the norm in front of a site.
    pub fn norm_of(site: SiteId, value: NormValue, name: impl Into<String>, features: usize) -> Self {
        Self { role: Role::Norm(site, value), ..Self::required(name, [features]) }
    }

    /// The weight of the first linear of a site.
    pub fn weight_of(site: SiteId, name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        let spec = Self { role: Role::Weight(site), ..Self::required(name, shape) };
        Self { cuts: whole(spec.matrix_shape().0), ..spec }
    }

    /// The same weight or bias, cut into linears of its site: each takes the next `outputs` rows.
    ///
    /// # Panics
    /// If the outputs of the linears are not those of the tensor.
    pub fn cut(self, linears: &[(usize, usize)]) -> Self {
        let mut end = 0;
        let cut = |(linear, outputs): &(usize, usize)| {
            end += outputs;
            Cut { linear: *linear, rows: end - outputs..end }
        };
        let cuts = linears.iter().map(cut).collect();
        assert_eq!(Some(&end), self.shape.first(), "outputs of {} and of its linears", self.name);
        Self { cuts, ..self }
    }

    /// The weight of a linear of a site, which a float checkpoint need not have: it is the tensor `to`.
    pub fn tied(site: SiteId, name: impl Into<String>, shape: impl Into<Vec<usize>>, to: impl Into<String>) -> Self {
        let role = Role::TiedWeight(site, to.into());
        Self { role, presence: Presence::Optional, ..Self::weight_of(site, name, shape) }
    }

    /// A table of a part that rows are taken from.
    pub fn table(part: PartId, name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        Self { role: Role::Table(part), ..Self::required(name, shape) }
    }

    /// The gain of the norm of the heads of queries or keys.
    pub fn head_norm(part: PartId, of: HeadNormOf, name: impl Into<String>, head_dim: usize) -> Self {
        Self { role: Role::HeadNorm(part, of), ..Self::required(name, [head_dim]) }
    }

    /// A map of a stream of `features` that only bundles may have.
    pub fn map(part: PartId, name: impl Into<String>, features: usize) -> Self {
        Self { role: Role::Map(part), ..Self::optional(name, [features, features]) }
    }

    /// The same under another name, and tied to another name where it is tied.
    pub fn renamed(self, rename: &dyn Fn(&str) -> String) -> Self {
        let role = match self.role {
            Role::TiedWeight(site, to) => Role::TiedWeight(site, rename(&to)),
            role => role,
        };
        Self { name: rename(&self.name), role, ..self }
    }

    /// The same of another element type.
    pub fn of(self, dtype: StoredDtype) -> Self {
        Self { elements: Elements::Exactly(dtype), ..self }
    }

    /// Whether it is a list of numbers, not a matrix.
    pub fn is_vector(&self) -> bool {
        matches!(self.role, Role::Bias(_) | Role::Norm(..) | Role::HeadNorm(..) | Role::Vector)
    }

    /// The site whose linear this is the weight of.
    pub fn site(&self) -> Option<SiteId> {
        match &self.role {
            Role::Weight(site) | Role::TiedWeight(site, _) => Some(*site),
            Role::Table(_) | Role::Map(_) | Role::Bias(_) | Role::Norm(..) | Role::HeadNorm(..) | Role::Vector => None,
        }
    }

    /// Outputs and inputs of a weight, rows and features of a table: the first dimension and the product of the others.
    pub fn matrix_shape(&self) -> (usize, usize) {
        (self.shape.first().copied().unwrap_or(1), self.shape.iter().skip(1).product())
    }
}

fn whole(outputs: usize) -> Vec<Cut> {
    std::iter::once(Cut { linear: 0, rows: 0..outputs }).collect()
}

impl Elements {
    /// Whether a tensor of this type is welcome.
    pub fn accept(self, found: StoredDtype) -> bool {
        match self {
            Elements::Float => found.float().is_some(),
            Elements::Exactly(dtype) => dtype == found,
        }
    }
}

impl fmt::Display for Elements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Elements::Float => f.write_str("F32, F16 or BF16"),
            Elements::Exactly(dtype) => dtype.fmt(f),
        }
    }
}
