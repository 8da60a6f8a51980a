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
    let row = |(i, out): (usize, &mut [f32])| pipeline.row(i, out);
    let values = y.as_mut_slice();
    if pipeline.rows <= TASK_ROWS {
        values.chunks_mut(pipeline.features).enumerate().for_each(row);
    } else {
        values.par_chunks_mut(pipeline.features).enumerate().with_min_len(TASK_ROWS).for_each(row);
    }
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
    let quantize = |(i, ((codes, scale), sum)): (usize, ((&mut [i8], &mut f32), &mut i32))| {
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
    };
    if pipeline.rows <= TASK_ROWS {
        codes.chunks_mut(stride).zip(row_scales).zip(sums).enumerate().for_each(quantize);
    } else {
        let tasks = codes.par_chunks_mut(stride).zip(row_scales).zip(sums).enumerate();
        tasks.with_min_len(TASK_ROWS).for_each(quantize);
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Level;
    use crate::threads::Threads;

    const FEATURES: usize = 48;

    fn noise(rows: usize, features: usize, seed: usize) -> Rows {
        let values = (0..rows * features).map(|i| (((i + seed) * 7919 % 4001) as f32 - 1900.0) * 3.1e-3).collect();
        Rows::from_vec(values, features)
    }

    fn scalar() -> Cpu {
        Cpu::detect().capped(Level::Scalar).unwrap()
    }

    fn bits(rows: &Rows) -> Vec<u32> {
        rows.as_slice().iter().map(|v| v.to_bits()).collect()
    }

    fn name_of(source: Source<'_>, steps: RowSteps<'_>) -> String {
        let source = match source {
            Source::Rows(x) => format!("{} rows", x.rows()),
            Source::Activated(f, x) => format!("{f:?} of {} rows", x.rows()),
            Source::Gated(f, x, _) => format!("gated {f:?} of {} rows", x.rows()),
        };
        let norm = steps.norm.map(|norm| (matches!(norm.kind, NormStep::Rms), norm.repeat));
        format!("{source}, (RMS, repeat): {norm:?}, rotation: {:?}", steps.rotation.map(Hadamard::parts))
    }

    /// The steps one after the other, each on all rows, with the definition of each.
    fn expected(source: Source<'_>, steps: RowSteps<'_>) -> Rows {
        let mut y = source.first().clone();
        match source {
            Source::Rows(_) => {}
            Source::Activated(f, _) => activation::apply(scalar(), f, y.as_mut_slice()),
            Source::Gated(f, _, up) => {
                activation::apply(scalar(), f, y.as_mut_slice());
                y.as_mut_slice().iter_mut().zip(up.as_slice()).for_each(|(y, up)| *y *= up);
            }
        }
        if let Some(step) = steps.norm {
            for i in 0..y.rows() {
                let x = y.row(i).to_vec();
                match step.kind {
                    NormStep::Rms => norm::rms(scalar(), &x, step.gain, step.eps, y.row_mut(i)),
                    NormStep::Layer { bias } => norm::layer(scalar(), &x, step.gain, bias, step.eps, y.row_mut(i)),
                }
            }
            y = y.regroup(step.repeat);
        }
        if let Some(rotation) = steps.rotation {
            (0..y.rows()).for_each(|i| rotation.rotate(scalar(), y.row_mut(i)));
        }
        y
    }

    /// Calls `f` with every source, norm, regrouping and rotation.
    fn every_combination(rows: usize, mut f: impl FnMut(Source<'_>, RowSteps<'_>)) {
        let (x, up) = (noise(rows, FEATURES, 5), noise(rows, FEATURES, 77));
        let gain: Vec<f32> = (0..FEATURES).map(|i| 0.4 + i as f32 * 0.03).collect();
        let bias: Vec<f32> = (0..FEATURES).map(|i| 0.2 - i as f32 * 0.01).collect();
        for repeat in [1, 2, 4] {
            let norm = |kind| Some(NormOf { kind, gain: &gain, eps: 1e-6, repeat });
            let rotation = Hadamard::new(FEATURES * repeat).unwrap();
            for norm in [None, norm(NormStep::Rms), norm(NormStep::Layer { bias: &bias })] {
                for rotation in [None, Some(&rotation)] {
                    if norm.is_none() && repeat > 1 {
                        continue;
                    }
                    let steps = RowSteps { norm, rotation };
                    f(Source::Rows(&x), steps);
                    for activation in [Activation::Silu, Activation::QuickGelu, Activation::Gelu] {
                        f(Source::Activated(activation, &x), steps);
                        f(Source::Gated(activation, &x, &up), steps);
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_goes_through_its_steps_in_order() {
        for count in [1, 3] {
            let threads = Threads::new(count).unwrap();
            for n in [4, 60] {
                every_combination(n, |source, steps| {
                    let want = expected(source, steps);
                    for cpu in Cpu::levels() {
                        let got = threads.run(|| rows(cpu, source, steps));
                        assert_eq!((got.rows(), got.features()), (want.rows(), want.features()));
                        assert!(bits(&got) == bits(&want), "{} at {}", name_of(source, steps), cpu.level());
                    }
                });
            }
        }
    }

    #[test]
    fn codes_are_those_of_the_rows_in_f32() {
        for count in [1, 3] {
            let threads = Threads::new(count).unwrap();
            for n in [4, 60] {
                every_combination(n, |source, steps| {
                    let x = expected(source, steps);
                    let given: Vec<f32> = (0..x.rows()).map(|i| 0.01 + i as f32 * 0.003).collect();
                    for (scales, per_row) in
                        [(RowScales::Static(&given[..]), Some(&given)), (RowScales::PerToken, None)]
                    {
                        let scale = |i: usize| match per_row {
                            Some(given) => given[i],
                            None => (x.row(i).iter().fold(0f32, |most, v| most.max(v.abs())) / 127.0).max(1e-8),
                        };
                        let row_scales: Vec<f32> = (0..x.rows()).map(scale).collect();
                        let code = |(at, v): (usize, &f32)| {
                            quantize_rows::quantize_scalar(*v, 1.0 / row_scales[at / x.features()], -127.0, 127.0)
                        };
                        let codes: Vec<i8> = x.as_slice().iter().enumerate().map(code).collect();
                        let want = QuantRows::from_codes(&codes, x.features(), row_scales.clone());
                        for cpu in Cpu::levels() {
                            let got = threads.run(|| quantized(cpu, source, steps, scales));
                            assert!(got == want, "{} at {}", name_of(source, steps), cpu.level());
                        }
                    }
                });
            }
        }
    }

    #[test]
    fn a_few_rows_stay_on_the_thread_that_asks() {
        let run = std::thread::spawn(|| {
            let x = noise(TASK_ROWS, 96, 1);
            quantized(Cpu::detect(), Source::Activated(Activation::Silu, &x), RowSteps::default(), RowScales::PerToken);
            ROW.with_borrow(|row| row.len())
        });
        assert_eq!(run.join().unwrap(), 96, "the scratch row of this thread");
    }

    #[test]
    fn no_rows_are_no_work() {
        let x = Rows::zeros(0, 16);
        let y = quantized(Cpu::detect(), Source::Rows(&x), RowSteps::default(), RowScales::PerToken);
        assert_eq!((y.rows(), y.features()), (0, 16));
        assert_eq!(rows(Cpu::detect(), Source::Rows(&x), RowSteps::default()).rows(), 0);
    }
}
