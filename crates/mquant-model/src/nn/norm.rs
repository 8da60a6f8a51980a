//! The norm in front of a site.

use mquant_kernels::{NormOf, NormStep};

/// Which norm, with what only that norm has.
#[derive(Clone, Debug)]
pub enum NormKind {
    /// x / √(mean(x²) + ε) · gain.
    Rms,
    /// (x − mean) / √(var + ε) · gain + bias.
    Layer {
        /// One value a feature.
        bias: Vec<f32>,
    },
}

/// A norm over the features of a row.
#[derive(Clone, Debug)]
pub struct Norm {
    /// RMSNorm or LayerNorm.
    pub kind: NormKind,
    /// One value a feature.
    pub gain: Vec<f32>,
    /// Added to the variance or mean square.
    pub eps: f32,
    /// How many consecutive normed rows the site reads as one row: 1, or a merger's k².
    pub repeat: usize,
}

impl Norm {
    /// As a step of a row's way to a product.
    pub fn step(&self) -> NormOf<'_> {
        let kind = match &self.kind {
            NormKind::Rms => NormStep::Rms,
            NormKind::Layer { bias } => NormStep::Layer { bias },
        };
        NormOf { kind, gain: &self.gain, eps: self.eps, repeat: self.repeat }
    }
}
