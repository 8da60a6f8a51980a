//! A site of a twin: its norm, its rotation, its weights.

use std::sync::Arc;

use candle_core::{D, Tensor};
use mquant_kernels::{Cpu, Hadamard};
use mquant_model::nn::{InputQuant, Norm, NormKind, Site, SiteId};
use rayon::prelude::*;

use super::PassRows;
use crate::LearnError;
use crate::ops::{self, SmoothedWeight};
use crate::tensor::{TensorResult, tensor};

/// How the results of a site come about, from what leaves its norm or the activation function.
pub(crate) trait Sites {
    /// `x`: rows × inputs, before the rotation; the result of each linear, rows × outputs.
    fn apply(&mut self, site: &TwinSite, x: &Tensor, pass: &PassRows) -> Result<Vec<Tensor>, LearnError>;
}

/// As the float block does.
pub(crate) struct Floats;

impl Sites for Floats {
    fn apply(&mut self, site: &TwinSite, x: &Tensor, _: &PassRows) -> Result<Vec<Tensor>, LearnError> {
        let x = site.rotated(x)?;
        site.linears.iter().map(|linear| Ok(linear.on(&x, &linear.stored)?)).collect()
    }
}

#[derive(Debug)]
pub(crate) struct TwinSite {
    pub(crate) id: SiteId,
    norm: Option<TwinNorm>,
    pub(crate) rotation: Option<Arc<Hadamard>>,
    pub(crate) linears: Vec<TwinLinear>,
}

#[derive(Debug)]
struct TwinNorm {
    gain: Tensor,
    /// Of a LayerNorm.
    bias: Option<Tensor>,
    eps: f32,
}

#[derive(Debug)]
pub(crate) struct TwinLinear {
    /// As the block has it: outputs × inputs of the rotation, where there is one.
    pub(crate) stored: Arc<Vec<f32>>,
    /// In the channels before the rotation.
    pub(crate) weight: SmoothedWeight,
    bias: Option<Tensor>,
}

impl TwinLinear {
    /// x·Wᵀ + bias, with some weight in place of its own.
    pub(crate) fn on(&self, x: &Tensor, weight: &Arc<Vec<f32>>) -> TensorResult<Tensor> {
        self.with_bias(ops::linear(x, weight, self.weight.outputs)?)
    }

    pub(crate) fn with_bias(&self, y: Tensor) -> TensorResult<Tensor> {
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

impl TwinSite {
    /// `inputs`: channels of what it reads; a rotation may be wider, and fill rows up with zeros.
    pub(super) fn new<const N: usize>(site: &Site<N>, inputs: usize) -> Result<Self, LearnError> {
        let fault = |what| LearnError::Quantised { site: site.id, what };
        if site.input != InputQuant::Float {
            return Err(fault("input is"));
        }
        if site.split.is_some() {
            return Err(fault("channels are split and"));
        }
        let norm = site.norm.as_ref().map(|norm| TwinNorm::new(site.id, norm)).transpose()?;
        let cpu = Cpu::detect();
        let mut linears = Vec::with_capacity(N);
        for linear in &site.linears {
            let matrix = linear.weight.float().ok_or_else(|| fault("weights are"))?;
            let (outputs, width) = (matrix.rows(), matrix.cols());
            let expected = site.rotation.as_ref().map_or(inputs, |rotation| rotation.features());
            if width != expected || inputs > width {
                return Err(LearnError::Inputs { site: site.id, expected, found: width });
            }
            let stored = Arc::new(matrix.to_f32());
            let mut values = stored.clone();
            if let Some(rotation) = &site.rotation {
                let unrotated = |(row, to): (&[f32], &mut [f32])| {
                    let mut row = row.to_vec();
                    rotation.inverse_row(cpu, &mut row);
                    to.copy_from_slice(&row[..inputs]);
                };
                let mut rows = vec![0f32; outputs * inputs];
                stored.par_chunks(width).zip(rows.par_chunks_mut(inputs)).for_each(unrotated);
                values = Arc::new(rows);
            }
            let weight = SmoothedWeight { values, outputs, inputs, rotation: site.rotation.clone() };
            let bias = linear.bias.as_ref().map(|bias| tensor(bias.clone(), bias.len())).transpose()?;
            linears.push(TwinLinear { stored, weight, bias });
        }
        Ok(Self { id: site.id, norm, rotation: site.rotation.clone(), linears })
    }

    /// Channels of what it reads, before the rotation.
    pub(crate) fn inputs(&self) -> usize {
        self.linears.first().map_or(0, |linear| linear.weight.inputs)
    }

    /// What leaves its norm.
    pub(super) fn normed(&self, x: &Tensor) -> TensorResult<Tensor> {
        let Some(TwinNorm { gain, bias, eps }) = &self.norm else { return Ok(x.clone()) };
        let Some(bias) = bias else { return rms(x, gain, *eps) };
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        rms(&centred, gain, *eps)?.broadcast_add(bias)
    }

    /// What its linears read, unquantised.
    pub(crate) fn rotated(&self, x: &Tensor) -> TensorResult<Tensor> {
        match &self.rotation {
            Some(rotation) => ops::rotate(x, rotation),
            None => Ok(x.clone()),
        }
    }
}

impl TwinNorm {
    fn new(site: SiteId, norm: &Norm) -> Result<Self, LearnError> {
        if norm.repeat != 1 {
            return Err(LearnError::Repeat { site, repeat: norm.repeat });
        }
        let of = |values: &[f32]| tensor(values.to_vec(), values.len());
        let bias = match &norm.kind {
            NormKind::Rms => None,
            NormKind::Layer { bias } => Some(of(bias)?),
        };
        Ok(Self { gain: of(&norm.gain)?, bias, eps: norm.eps })
    }
}

/// x / √(mean(x²) + ε) · gain over the last dimension.
pub(super) fn rms(x: &Tensor, gain: &Tensor, eps: f32) -> TensorResult<Tensor> {
    let scale = x.sqr()?.mean_keepdim(D::Minus1)?.affine(1.0, f64::from(eps))?.sqrt()?.recip()?;
    x.broadcast_mul(&scale)?.broadcast_mul(gain)
}
