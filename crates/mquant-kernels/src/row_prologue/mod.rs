//! What happens to a row between a residual stream (or an activation function) and a product: activate, normalise, multiply,
//! regroup, rotate, split, quantise. All steps of a row are done while it lies in the cache, and give the same bits at every
//! level.

use std::cell::RefCell;

use rayon::prelude::*;

use crate::activation::{self, Activation};
use crate::data::Rows;
use crate::features::Cpu;
use crate::hadamard::Hadamard;
use crate::norm;
use crate::quant_rows::{QuantRows, RowCodes};
use crate::quantize_rows::{self, RowScales};

/// Where the rows of a site come from.
#[derive(Clone, Copy, Debug)]
pub enum SiteInput<'a> {
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
pub struct RowPrologue<'a> {
    /// Normalise.
    pub norm: Option<NormOf<'a>>,
    /// Multiply channel by channel, by other values for some rows than for others.
    pub gains: Option<RowGains<'a>>,
    /// Rotate, after `repeat` normed rows were put side by side and filled up with zeros to the features of the rotation.
    pub rotation: Option<&'a Hadamard>,
}

impl RowPrologue<'_> {
    /// Whether rows stay as they are.
    pub fn is_empty(&self) -> bool {
        self.norm.is_none() && self.gains.is_none() && self.rotation.is_none()
    }
}

/// Values by which the channels of a row are multiplied, chosen row by row (MASQuant, section 4.2: the smoothing of a
/// modality, folded into the gain of the norm).
#[derive(Clone, Copy, Debug)]
pub struct RowGains<'a> {
    /// One value a feature. Behind an RMSNorm they take the place of its gain. None: the norm's own gain, or no factor.
    pub vectors: &'a [Option<&'a [f32]>],
    /// Of each row that leaves, which of `vectors` it takes.
    pub of_row: &'a [u8],
}

/// Some channels of a row that become codes of their own, beside those of the others (MQuant, section 3.2).
#[derive(Clone, Copy, Debug)]
pub struct OutlierColumns<'a> {
    /// Which ones, after all steps; the row has 0 there when its own codes are made, and its own scale is looked for.
    pub channels: &'a [u32],
    /// Where the scales of their codes come from.
    pub scales: RowScales<'a>,
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

impl SiteInput<'_> {
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
            SiteInput::Rows(x) | SiteInput::Activated(_, x) | SiteInput::Gated(_, x, _) => x,
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
    source: SiteInput<'a>,
    steps: RowPrologue<'a>,
    repeat: usize,
    rows: usize,
    /// Values of a row before it is filled up for the rotation, and of one that leaves.
    width: usize,
    features: usize,
}

impl<'a> Pipeline<'a> {
    fn new(cpu: Cpu, source: SiteInput<'a>, steps: RowPrologue<'a>) -> Self {
        let (features, repeat) = (source.features(), steps.norm.map_or(1, |n| n.repeat));
        if let SiteInput::Gated(_, gate, up) = source {
            assert_eq!((gate.rows(), gate.features()), (up.rows(), up.features()), "gate and up of different shapes");
        }
        if let Some(norm) = steps.norm {
            assert_eq!(norm.gain.len(), features, "norm gain and features");
            if let NormStep::Layer { bias } = norm.kind {
                assert_eq!(bias.len(), features, "norm bias and features");
            }
        }
        assert!(source.rows().is_multiple_of(repeat), "{} rows in groups of {repeat}", source.rows());
        if let Some(gains) = steps.gains {
            assert_eq!((gains.of_row.len(), repeat), (source.rows(), 1), "rows with gains, regrouped rows");
            assert!(gains.vectors.iter().flatten().all(|gain| gain.len() == features), "gains and features");
            let is_layer = steps.norm.is_some_and(|norm| matches!(norm.kind, NormStep::Layer { .. }));
            assert!(!is_layer, "gains behind a LayerNorm");
        }
        let width = features * repeat;
        let features = steps.rotation.map_or(width, Hadamard::features);
        assert!(features >= width, "a rotation of {features} features of rows of {width}");
        Self { cpu, source, steps, repeat, rows: source.rows() / repeat, width, features }
    }

    /// Row `i` of what leaves, into `out`.
    fn row(&self, i: usize, out: &mut [f32]) {
        let features = self.source.features();
        let (row, padding) = out.split_at_mut(self.width);
        let gain = self.gain(i);
        for (part, out) in row.chunks_exact_mut(features).enumerate() {
            let row = i * self.repeat + part;
            match self.source {
                SiteInput::Rows(x) => self.norm(x.row(row), gain, out),
                SiteInput::Activated(f, x) => {
                    out.copy_from_slice(x.row(row));
                    activation::apply(self.cpu, f, out);
                    self.norm_in_place(gain, out);
                }
                SiteInput::Gated(f, gate, up) => {
                    activation::apply_gated(self.cpu, f, gate.row(row), up.row(row), out);
                    self.norm_in_place(gain, out);
                }
            }
        }
        padding.fill(0.0);
        if let Some(rotation) = self.steps.rotation {
            rotation.rotate_row(self.cpu, out);
        }
    }

    /// Lends row `i` of what leaves: the source's own where no step changes it.
    fn with_row(&self, i: usize, f: impl FnOnce(&[f32])) {
        match (self.source, self.steps) {
            (SiteInput::Rows(x), RowPrologue { norm: None, rotation: None, .. }) if self.gain(i).is_none() => {
                f(x.row(i))
            }
            _ => self.with_own_row(i, 0, |x, _| f(x)),
        }
    }

    /// Lends row `i` of what leaves to be changed, and room for `more` values, in this thread's scratch.
    fn with_own_row(&self, i: usize, more: usize, f: impl FnOnce(&mut [f32], &mut [f32])) {
        ROW.with_borrow_mut(|scratch| {
            let len = self.features + more;
            scratch.resize(len.max(scratch.len()), 0.0);
            let (row, more) = scratch[..len].split_at_mut(self.features);
            self.row(i, row);
            f(row, more);
        });
    }

    /// What row `i` is multiplied by in place of the gain for all.
    fn gain(&self, i: usize) -> Option<&'a [f32]> {
        self.steps.gains.and_then(|gains| gains.vectors[usize::from(gains.of_row[i])])
    }

    fn norm(&self, x: &[f32], of_row: Option<&[f32]>, out: &mut [f32]) {
        match self.steps.norm {
            None => {
                out.copy_from_slice(x);
                self.norm_in_place(of_row, out);
            }
            Some(NormOf { kind: NormStep::Rms, gain, eps, .. }) => {
                norm::rms(self.cpu, x, of_row.unwrap_or(gain), eps, out);
            }
            Some(NormOf { kind: NormStep::Layer { bias }, gain, eps, .. }) => {
                norm::layer(self.cpu, x, gain, bias, eps, out);
            }
        }
    }

    fn norm_in_place(&self, of_row: Option<&[f32]>, out: &mut [f32]) {
        match self.steps.norm {
            None => {
                if let Some(gain) = of_row {
                    out.iter_mut().zip(gain).for_each(|(out, gain)| *out *= gain);
                }
            }
            Some(NormOf { kind: NormStep::Rms, gain, eps, .. }) => {
                norm::rms_in_place(self.cpu, out, of_row.unwrap_or(gain), eps);
            }
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
pub(crate) fn rows(cpu: Cpu, source: SiteInput<'_>, steps: RowPrologue<'_>) -> Rows {
    let pipeline = Pipeline::new(cpu, source, steps);
    let mut y = Rows::for_overwrite(pipeline.rows, pipeline.features);
    let row = |(i, out): (usize, &mut [f32])| pipeline.row(i, out);
    let values = y.as_mut_slice();
    if pipeline.rows <= TASK_ROWS {
        values.chunks_mut(pipeline.features).enumerate().for_each(row);
    } else {
        values.par_chunks_mut(pipeline.features).enumerate().with_min_len(TASK_ROWS).for_each(row);
    }
    y
}

/// The rows in 8-bit codes, and beside them those of the channels that are split off.
///
/// # Panics
/// If shapes disagree.
pub(crate) fn quantized(
    cpu: Cpu,
    source: SiteInput<'_>,
    steps: RowPrologue<'_>,
    scales: RowScales<'_>,
    columns: Option<OutlierColumns<'_>>,
) -> QuantRows {
    let pipeline = Pipeline::new(cpu, source, steps);
    let (rows, features) = (pipeline.rows, pipeline.features);
    for scales in [Some(scales), columns.map(|columns| columns.scales)].into_iter().flatten() {
        if let RowScales::Static(scales) = scales {
            assert_eq!(scales.len(), rows, "static scales and rows");
        }
    }
    let mut y = QuantRows::for_overwrite(rows, features);
    let Some(columns) = columns else {
        let whole = |(i, to): (usize, RowCodes<'_>)| pipeline.with_row(i, |x| quantize(cpu, x, i, scales, to));
        if rows <= TASK_ROWS {
            y.rows_mut().enumerate().for_each(whole);
        } else {
            y.par_rows_mut().enumerate().with_min_len(TASK_ROWS).for_each(whole);
        }
        return y;
    };
    let count = columns.channels.len();
    assert!(columns.channels.iter().all(|c| (*c as usize) < features), "channels beyond {features} features");
    let mut outliers = QuantRows::for_overwrite(rows, count);
    let parted = |(i, (to, outliers)): (usize, (RowCodes<'_>, RowCodes<'_>))| {
        pipeline.with_own_row(i, count, |x, taken| {
            for (taken, channel) in taken.iter_mut().zip(columns.channels) {
                *taken = std::mem::take(&mut x[*channel as usize]);
            }
            quantize(cpu, taken, i, columns.scales, outliers);
            quantize(cpu, x, i, scales, to);
        });
    };
    if rows <= TASK_ROWS {
        y.rows_mut().zip(outliers.rows_mut()).enumerate().for_each(parted);
    } else {
        y.par_rows_mut().zip(outliers.par_rows_mut()).enumerate().with_min_len(TASK_ROWS).for_each(parted);
    }
    y.with_outliers(outliers)
}

/// The codes of row `i`.
fn quantize(cpu: Cpu, x: &[f32], i: usize, scales: RowScales<'_>, to: RowCodes<'_>) {
    *to.scale = match scales {
        RowScales::Static(scales) => scales[i],
        RowScales::PerToken => quantize_rows::scale_of(quantize_rows::absmax(cpu, x), 127.0),
        RowScales::PerTokenSix => quantize_rows::scale_of(quantize_rows::absmax(cpu, x), 31.0),
    };
    *to.sum = quantize_rows::quantize(cpu, x, 1.0 / *to.scale, to.codes);
}

#[cfg(test)]
mod tests;
