//! x·Q(W·diag(s))ᵀ: the product with a weight that is smoothed, rotated where its site is, and quantised.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use mquant_kernels::{Cpu, Hadamard};
use rayon::prelude::*;

use crate::product::{Factor, product};
use crate::rounding::{most_of, round_groups, round_groups_backward};
use crate::tensor::{slice, tensor, with_values};

/// How a weight becomes codes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WeightCodes {
    pub(crate) bits: u32,
    /// Inputs that share a scale; the inputs of an output do where there is none.
    pub(crate) group: Option<usize>,
}

/// A weight in the channels that smoothing vectors are of: before the rotation.
#[derive(Clone, Debug)]
pub(crate) struct SmoothedWeight {
    /// outputs × inputs.
    pub(crate) values: Arc<Vec<f32>>,
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
    /// What the smoothed weight is rotated by, like the rows it meets.
    pub(crate) rotation: Option<Arc<Hadamard>>,
}

/// Outputs of a partial sum of gradients: a constant, so that sums do not depend on threads.
const PART: usize = 32;

impl SmoothedWeight {
    /// Inputs of the weight as it is multiplied: those of the rotation, where there is one.
    pub(crate) fn width(&self) -> usize {
        self.rotation.as_ref().map_or(self.inputs, |rotation| rotation.features())
    }

    /// Row `output` of W·diag(s), rotated.
    fn smoothed_row(&self, cpu: Cpu, output: usize, s: &[f32], row: &mut [f32]) {
        let weight = &self.values[output * self.inputs..(output + 1) * self.inputs];
        row.iter_mut().zip(weight).zip(s).for_each(|((row, w), s)| *row = w * s);
        if let Some(rotation) = &self.rotation {
            row[self.inputs..].fill(0.0);
            rotation.rotate_row(cpu, row);
        }
    }

    /// Q(W·diag(s)), outputs × width.
    pub(crate) fn quantized(&self, s: &[f32], codes: Option<WeightCodes>) -> Vec<f32> {
        let (cpu, width) = (Cpu::detect(), self.width());
        let mut out = vec![0f32; self.outputs * width];
        out.par_chunks_mut(width).enumerate().for_each(|(output, row)| {
            self.smoothed_row(cpu, output, s, row);
            if let Some(codes) = codes {
                round_groups(row, codes.group.unwrap_or(width), most_of(codes.bits));
            }
        });
        out
    }

    /// ∂L/∂s, given ∂L/∂Q(W·diag(s)), outputs × width, which it overwrites.
    fn gradient(&self, s: &[f32], codes: Option<WeightCodes>, gradient: &mut [f32]) -> Vec<f32> {
        let (cpu, width) = (Cpu::detect(), self.width());
        let part = |(i, gradient): (usize, &mut [f32])| {
            let mut sum = vec![0f64; self.inputs];
            let mut row = vec![0f32; width];
            for (j, gradient) in gradient.chunks_mut(width).enumerate() {
                let output = i * PART + j;
                if let Some(codes) = codes {
                    self.smoothed_row(cpu, output, s, &mut row);
                    round_groups_backward(&row, gradient, codes.group.unwrap_or(width), most_of(codes.bits));
                }
                if let Some(rotation) = &self.rotation {
                    rotation.inverse_row(cpu, gradient);
                }
                let weight = &self.values[output * self.inputs..(output + 1) * self.inputs];
                sum.iter_mut().zip(weight).zip(&*gradient).for_each(|((sum, w), g)| *sum += f64::from(w * g));
            }
            sum
        };
        let parts: Vec<Vec<f64>> = gradient.par_chunks_mut(PART * width).enumerate().map(part).collect();
        let mut total = vec![0f64; self.inputs];
        parts.iter().for_each(|part| total.iter_mut().zip(part).for_each(|(total, part)| *total += part));
        total.into_iter().map(|v| v as f32).collect()
    }
}

/// `x`: rows × width, `s`: inputs; the result rows × outputs. Without `codes` the weight is not quantised.
pub(crate) fn smoothed_linear(
    x: &Tensor,
    s: &Tensor,
    weight: &SmoothedWeight,
    codes: Option<WeightCodes>,
) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&s.contiguous()?, Smoothed { weight: weight.clone(), codes })
}

struct Smoothed {
    weight: SmoothedWeight,
    codes: Option<WeightCodes>,
}

impl CustomOp2 for Smoothed {
    fn name(&self) -> &'static str {
        "smoothed linear"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = l1.shape().dims2()?;
        let weight = self.weight.quantized(slice(s2, l2)?, self.codes);
        let weight = Factor::new(&weight, self.weight.outputs, width);
        let y = product(Factor::new(slice(s1, l1)?, rows, width), weight.t());
        Ok((CpuStorage::F32(y), (rows, self.weight.outputs).into()))
    }

    /// The weight is made once more instead of being kept: it is small work beside the products, and much memory.
    fn bwd(&self, x: &Tensor, s: &Tensor, _: &Tensor, g: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (rows, width) = x.dims2()?;
        let outputs = self.weight.outputs;
        with_values(g, |g| {
            let g = Factor::new(g, rows, outputs);
            with_values(s, |s_values| {
                let dx = if x.track_op() {
                    let weight = self.weight.quantized(s_values, self.codes);
                    Some(tensor(product(g, Factor::new(&weight, outputs, width)), (rows, width))?)
                } else {
                    None
                };
                let ds = if s.track_op() {
                    let mut dw = with_values(x, |x| Ok(product(g.t(), Factor::new(x, rows, width))))?;
                    Some(tensor(self.weight.gradient(s_values, self.codes, &mut dw), s.shape())?)
                } else {
                    None
                };
                Ok((dx, ds))
            })
        })
    }
}
