//! What happens to a row between a residual stream (or an activation function) and a product: activate, normalise,
//! regroup, rotate, quantise. All steps of a row are done while it lies in the cache, and give the same bits at every level.

use std::cell::RefCell;

use rayon::prelude::*;

use crate::activation::{self, Activation};
use crate::data::Rows;
use crate::features::Cpu;
use crate::hadamard::Hadamard;
use crate::norm;
use crate::quant_rows::QuantRows;
use crate::quantize_rows::{self, RowScales};

/// Where the rows of a site come from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// They are there.
    Rows(&'a Rows),
    /// f(x), f still to be applied.
    Activated(Activation, &'a Rows),
    /// f(gate) · up, still to be computed.
    Gated(Activation, &'a Rows, &'a Rows),
}

/// Which norm, with what only that norm has.
#[derive(Clone, Copy, Debug)]
pub enum NormStep<'a> {
    /// x / √(mean(x²) + ε) · gain.
    Rms,
    /// (x − mean) / √(var + ε) · gain + bias.
    Layer {
        /// One value a feature.
        bias: &'a [f32],
    },
}

/// What is done with each row, in this order.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowSteps<'a> {
    /// Normalise.
    pub norm: Option<NormOf<'a>>,
    /// Rotate, after `repeat` normed rows were put side by side.
    pub rotation: Option<&'a Hadamard>,
}

/// A norm and what it needs.
#[derive(Clone, Copy, Debug)]
pub struct NormOf<'a> {
    /// RMSNorm or LayerNorm.
    pub kind: NormStep<'a>,
    /// One value a feature.
    pub gain: &'a [f32],
    /// Added to the variance or mean square.
    pub eps: f32,
    /// How many consecutive normed rows become one row.
    pub repeat: usize,
}

impl Source<'_> {
    /// Number of rows before regrouping.
    pub fn rows(&self) -> usize {
        self.first().rows()
    }

    /// Values in a row before regrouping.
    pub fn features(&self) -> usize {
        self.first().features()
    }

    fn first(&self) -> &Rows {
        match self {
            Source::Rows(x) | Source::Activated(_, x) | Source::Gated(_, x, _) => x,
        }
    }
}

/// Rows that a task takes at least: enough to outweigh its start.
const TASK_ROWS: usize = 4;

thread_local! {
    // One row in f32, kept by each thread.
    static ROW: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

struct Pipeline<'a> {
    cpu: Cpu,
    source: Source<'a>,
    steps: RowSteps<'a>,
    repeat: usize,
    rows: usize,
    features: usize,
}

impl<'a> Pipeline<'a> {
    fn new(cpu: Cpu, source: Source<'a>, steps: RowSteps<'a>) -> Self {
        let (features, repeat) = (source.features(), steps.norm.map_or(1, |n| n.repeat));
        if let Source::Gated(_, gate, up) = source {
            assert_eq!((gate.rows(), gate.features()), (up.rows(), up.features()), "gate and up of different shapes");
        }
        if let Some(norm) = steps.norm {
            assert_eq!(norm.gain.len(), features, "norm gain and features");
            if let NormStep::Layer { bias } = norm.kind {
                assert_eq!(bias.len(), features, "norm bias and features");
            }
        }
        assert!(source.rows().is_multiple_of(repeat), "{} rows in groups of {repeat}", source.rows());
        if let Some(rotation) = steps.rotation {
            assert_eq!(rotation.features(), features * repeat, "features of the rotation");
        }
        Self { cpu, source, steps, repeat, rows: source.rows() / repeat, features: features * repeat }
    }

    /// Row `i` of what leaves, into `out`.
    fn row(&self, i: usize, out: &mut [f32]) {
        let features = self.source.features();
        for (part, out) in out.chunks_exact_mut(features).enumerate() {
            let row = i * self.repeat + part;
            match self.source {
                Source::Rows(x) => self.norm(x.row(row), out),
                Source::Activated(f, x) => {
                    out.copy_from_slice(x.row(row));
                    activation::apply(self.cpu, f, out);
                    self.norm_in_place(out);
                }
                Source::Gated(f, gate, up) => {
                    activation::apply_gated(self.cpu, f, gate.row(row), up.row(row), out);
                    self.norm_in_place(out);
                }
            }
        }
        if let Some(rotation) = self.steps.rotation {
            rotation.rotate(self.cpu, out);
        }
    }

    fn norm(&self, x: &[f32], out: &mut [f32]) {
        match self.steps.norm {
            None => out.copy_from_slice(x),
            Some(NormOf { kind: NormStep::Rms, gain, eps, .. }) => norm::rms(self.cpu, x, gain, eps, out),
            Some(NormOf { kind: NormStep::Layer { bias }, gain, eps, .. }) => {
                norm::layer(self.cpu, x, gain, bias, eps, out);
            }
        }
    }

    fn norm_in_place(&self, out: &mut [f32]) {
        match self.steps.norm {
            None => {}
            Some(NormOf { kind: NormStep::Rms, gain, eps, .. }) => norm::rms_in_place(self.cpu, out, gain, eps),
            Some(NormOf { kind: NormStep::Layer { bias }, gain, eps, .. }) => {
                norm::layer_in_place(self.cpu, out, gain, bias, eps);
            }
        }
    }
}

/// The rows in f32.
///
/// # Panics
/// If shapes disagree.
pub(crate) fn rows(cpu: Cpu, source: Source<'_>, steps: RowSteps<'_>) -> Rows {
    let pipeline = Pipeline::new(cpu, source, steps);
    let mut y = Rows::for_overwrite(pipeline.rows, pipeline.features);
    let tasks = y.as_mut_slice().par_chunks_mut(pipeline.features).enumerate().with_min_len(TASK_ROWS);
    tasks.for_each(|(i, out)| pipeline.row(i, out));
    y
}

/// The rows in 8-bit codes.
///
/// # Panics
/// If shapes disagree.
pub(crate) fn quantized(cpu: Cpu, source: Source<'_>, steps: RowSteps<'_>, scales: RowScales<'_>) -> QuantRows {
    let pipeline = Pipeline::new(cpu, source, steps);
    if let RowScales::Static(scales) = scales {
        assert_eq!(scales.len(), pipeline.rows, "static scales and rows");
    }
    let features = pipeline.features;
    let mut y = QuantRows::for_overwrite(pipeline.rows, features);
    let (codes, stride, row_scales, sums) = y.parts_mut();
    let tasks = codes.par_chunks_mut(stride).zip(row_scales).zip(sums).enumerate().with_min_len(TASK_ROWS);
    tasks.for_each(|(i, ((codes, scale), sum))| {
        ROW.with_borrow_mut(|row| {
            row.resize(features.max(row.len()), 0.0);
            let row = &mut row[..features];
            // Rows that are there already need no copy.
            let x = match (pipeline.source, pipeline.steps) {
                (Source::Rows(x), RowSteps { norm: None, rotation: None }) => x.row(i),
                _ => {
                    pipeline.row(i, row);
                    row
                }
            };
            *scale = match scales {
                RowScales::Static(scales) => scales[i],
                RowScales::PerToken => quantize_rows::scale_of(quantize_rows::absmax(cpu, x), 127.0),
            };
            *sum = quantize_rows::quantize(cpu, x, 1.0 / *scale, &mut codes[..features]);
        });
    });
    y
}
