//! The table of a family's tensors: published name and shape → site, linear, and how it is cut. Loading, checking, bundles and
//! synthetic checkpoints read this one list.

use crate::checkpoint::{NormValue, TensorSpec};
use crate::nn::SiteId;

/// A table that grows.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<TensorSpec>);

impl Table {
    /// Adds a tensor.
    pub(super) fn push(&mut self, spec: TensorSpec) {
        self.0.push(spec);
    }

    /// `NAME.weight` and `NAME.bias` of linear `linear` of a site.
    pub(super) fn linear(&mut self, site: SiteId, linear: usize, name: &str, [outputs, inputs]: [usize; 2]) {
        self.fused(site, name, inputs, &[(linear, outputs)]);
    }

    /// `NAME.weight` of linear `linear` of a site.
    pub(super) fn unbiased(&mut self, site: SiteId, linear: usize, name: &str, [outputs, inputs]: [usize; 2]) {
        let weight = TensorSpec::weight_of(site, format!("{name}.weight"), [outputs, inputs]);
        self.0.push(weight.cut(&[(linear, outputs)]));
    }

    /// `NAME.weight` and `NAME.bias` with the outputs of several linears, one after the other: (linear, outputs).
    pub(super) fn fused(&mut self, site: SiteId, name: &str, inputs: usize, linears: &[(usize, usize)]) {
        let outputs = linears.iter().map(|(_, outputs)| outputs).sum();
        self.0.push(TensorSpec::weight_of(site, format!("{name}.weight"), [outputs, inputs]).cut(linears));
        self.0.push(TensorSpec::bias_of(site, format!("{name}.bias"), outputs).cut(linears));
    }

    /// `NAME.weight` of the RMSNorm in front of a site.
    pub(super) fn rms_norm(&mut self, site: SiteId, name: &str, features: usize) {
        self.0.push(TensorSpec::norm_of(site, NormValue::Gain, format!("{name}.weight"), features));
    }

    /// `NAME.weight` and `NAME.bias` of the LayerNorm in front of a site.
    pub(super) fn layer_norm(&mut self, site: SiteId, name: &str, features: usize) {
        self.rms_norm(site, name, features);
        self.0.push(TensorSpec::norm_of(site, NormValue::Bias, format!("{name}.bias"), features));
    }

    /// The tensors, in the order they were added.
    pub(super) fn into_specs(self) -> Vec<TensorSpec> {
        self.0
    }
}
