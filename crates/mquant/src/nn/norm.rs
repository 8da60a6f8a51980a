//! The norm in front of a site.

use mquant_kernels::{Backend, Rows};

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
    /// Rows × features, normed and regrouped to rows/repeat × features·repeat.
    pub fn forward(&self, x: &Rows, backend: &dyn Backend) -> Rows {
        let y = match &self.kind {
            NormKind::Rms => backend.rms_norm(x, &self.gain, self.eps),
            NormKind::Layer { bias } => backend.layer_norm(x, &self.gain, bias, self.eps),
        };
        if self.repeat == 1 { y } else { y.regroup(self.repeat) }
    }
}
