//! What a job will take, told before it begins.
//!
//! Operations are counted from shapes and rows; how many of each kind pass in a second was measured on two cores with
//! AVX-512 and is scaled by the number of threads. The peak of memory is that of the largest unit.

use super::site;
use super::unit::{self, Working};
use super::work::{LOOKED_AT, LOOKED_AT_IN_HEAD};
use crate::recipe::{Observer, Plan, Recipe, Sequential, Step, Target};
use mquant_model::models::Model;
use mquant_model::nn::{Output, PartId, SiteId, Tower};

/// Operations of float products in a second, for each thread.
const FLOAT_OPS: f64 = 70e9;
/// Operations of integer products in a second, for each thread.
const INT_OPS: f64 = 250e9;
/// Operations of learning smoothing vectors in a second, for each thread.
const LEARNING_OPS: f64 = 15e9;
/// Operations that the eigenvectors of a matrix take, over the cube of its rows.
const EIGEN_OPS: f64 = 10.0;
/// Operations of factoring in f64 in a second, for each thread.
const FACTOR_OPS: f64 = 18e9;
/// Seconds of a thread for each weight whose scale is searched.
const CLIP_S: f64 = 30e-9;
/// Seconds of a thread for each weight that is rounded and written.
const ROUND_S: f64 = 12e-9;
/// Seconds of a thread for each weight whose spread is looked at.
const LOOK_S: f64 = 3e-9;
/// Seconds of a thread for each value of an activation between products.
const VALUE_S: f64 = 3e-9;
/// What the program takes before the first unit, in bytes.
const BASE_BYTES: f64 = 220e6;
/// Rows of a batch.
const BATCH_ROWS: f64 = 2048.0;

/// What a job will take.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Time, in seconds.
    pub seconds: f64,
    /// The peak of memory, in bytes.
    pub memory_bytes: u64,
    /// Disk for the work and the bundle together, in bytes.
    pub disk_bytes: u64,
    /// The bundle, in bytes.
    pub bundle_bytes: u64,
    /// Of each unit: seconds and bytes of memory.
    pub units: Vec<(PartId, f64, u64)>,
}

/// Rows that samples have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShownRows {
    /// Patches that enter the vision tower.
    pub patches: usize,
    /// Frames of sound that enter the audio tower.
    pub frames: usize,
    /// Rows that enter the decoder.
    pub tokens: usize,
    /// Rows that enter the head.
    pub scored: usize,
}

impl ShownRows {
    /// Rows that enter a tower.
    pub(super) fn of_tower(&mut self, tower: Tower) -> &mut usize {
        match tower {
            Tower::Vision => &mut self.patches,
            Tower::Audio => &mut self.frames,
            Tower::Language => &mut self.tokens,
        }
    }
}

/// What quantising a model will take on some threads.
pub fn estimate(model: &Model, recipe: &Recipe, plan: &Plan, rows: ShownRows, threads: usize) -> Estimate {
    let mut total = Estimate { seconds: 0.0, memory_bytes: 0, disk_bytes: 0, bundle_bytes: 0, units: Vec::new() };
    let mut bytes = 0.0;
    for unit in model.part_ids() {
        let cost = Cost::of(model, unit, recipe, plan, rows);
        let seconds = cost.thread_seconds / threads.max(1) as f64;
        total.seconds += seconds;
        total.memory_bytes = total.memory_bytes.max(cost.memory as u64);
        total.units.push((unit, seconds, cost.memory as u64));
        bytes += cost.stored;
    }
    total.bundle_bytes = bytes as u64;
    total.disk_bytes = (2.02 * bytes) as u64 + (16 << 20);
    total
}

#[derive(Default)]
struct Cost {
    thread_seconds: f64,
    memory: f64,
    stored: f64,
}

impl Cost {
    fn of(model: &Model, unit: PartId, recipe: &Recipe, plan: &Plan, rows: ShownRows) -> Self {
        let mut working = Working::of(unit, model);
        let mut cost = Self { memory: BASE_BYTES, ..Self::default() };
        let part = working.part();
        let (mut width, mut table) = (0f64, 0f64);
        for writer in part.writers() {
            match writer.output {
                Output::Table(matrix) => table = (matrix.rows() * matrix.cols()) as f64,
                output => width = output.features() as f64,
            }
        }
        if unit == PartId::EMBEDDING {
            // In f32 while it is rotated, then as published, then as bytes of a file.
            cost.memory += table * (4.0 + 2.0 + 2.0);
            cost.stored = table * 2.0;
            cost.thread_seconds = table * ROUND_S;
            return cost;
        }
        let entering = match unit {
            PartId::HEAD => rows.scored,
            _ => *rows.clone().of_tower(unit.tower),
        } as f64;
        let shapes: Vec<(SiteId, f64, f64)> = part
            .sites()
            .iter()
            .map(|site| {
                let outputs: usize = site.linears.iter().map(|linear| linear.weight.rows()).sum();
                let inputs = site.linears.first().map_or(0, |linear| linear.weight.cols());
                (site.id, outputs as f64, inputs as f64)
            })
            .collect();
        let weights: f64 = shapes.iter().map(|(_, outputs, inputs)| outputs * inputs).sum();
        let widest = shapes.iter().map(|(_, outputs, inputs)| outputs.max(*inputs)).fold(0.0, f64::max);
        let product = 2.0 * entering * weights;
        let passes = passes(recipe, shapes.len()) as f64;
        cost.thread_seconds += passes * product / FLOAT_OPS + product / INT_OPS;
        cost.thread_seconds += (passes + 1.0) * entering * (4.0 * width + 2.0 * widest) * VALUE_S;
        // Rows of two modalities in a decoder, of one elsewhere.
        let looked_at = match unit {
            PartId::HEAD => LOOKED_AT_IN_HEAD,
            _ if unit::is_encoder(unit) => LOOKED_AT,
            _ => 2 * LOOKED_AT,
        };
        let looked_at = entering.min(looked_at as f64);
        let inputs: f64 = shapes.iter().map(|(_, _, inputs)| inputs).sum();
        let looks = 1.0 + recipe.steps.len() as f64;
        cost.thread_seconds += 2.0 * looked_at * weights * (1.0 / FLOAT_OPS + 1.0 / INT_OPS);
        cost.thread_seconds += looks * (weights * LOOK_S + looked_at * inputs * VALUE_S);
        if unit.tower == Tower::Language && part.attention().is_some() {
            cost.thread_seconds += entering * weights * learning_ops(recipe) / LEARNING_OPS;
        }
        let (mut moments, mut factor) = (0f64, 0f64);
        for (id, outputs, inputs) in &shapes {
            let Some(plan) = plan.site(*id) else { continue };
            let count = outputs * inputs;
            cost.stored += count * f64::from(plan.target.bits()) / 8.0 + outputs * 8.0;
            cost.thread_seconds += count * ROUND_S;
            if let Target::Int { clip: crate::quantize::Clip::Search, .. } = plan.target {
                cost.thread_seconds += count * CLIP_S;
            }
            if plan.compensation.is_some() {
                // Twice: for the rank, and for the branch. One modality beside text.
                let rows = inputs.min(*outputs);
                cost.thread_seconds += entering * inputs * inputs / FLOAT_OPS;
                cost.thread_seconds += 2.0 * (2.0 * EIGEN_OPS * rows.powi(3) + count * inputs) / FACTOR_OPS;
                cost.memory += 3.0 * 8.0 * inputs * inputs;
            }
            if site::wants_hessian(plan) {
                cost.thread_seconds += entering * inputs * inputs / FLOAT_OPS;
                cost.thread_seconds += inputs.powi(3) / FACTOR_OPS + count * inputs / FLOAT_OPS;
                moments += 4.0 * inputs * inputs;
                factor = factor.max(12.0 * inputs * inputs + 11.0 * count);
            }
        }
        // What enters and what leaves, for all samples; one batch inside; the unit in f32, changed and as it was.
        cost.memory += 2.0 * entering * 4.0 * width.max(1.0) + 3.0 * BATCH_ROWS.min(entering) * 4.0 * widest;
        // The rows that a closer look is taken at, and what some were before a step.
        cost.memory += looked_at * 4.0 * (inputs + widest);
        cost.memory += weights * 4.0 + weights + (weights * 4.0).max(moments + factor);
        cost
    }
}

/// Operations that learning takes for each row and weight: forward and backward in each step, forward alone in each evaluation.
fn learning_ops(recipe: &Recipe) -> f64 {
    let epochs = |step: &Step| match step {
        Step::SmoothModalities(smooth) => smooth.learning.as_ref().map(|learning| learning.epochs as f64),
        _ => None,
    };
    recipe.steps.iter().filter_map(epochs).map(|epochs| 6.0 * epochs + 2.0 * (epochs + 1.0)).sum()
}

/// How often the float unit is run.
fn passes(recipe: &Recipe, sites: usize) -> usize {
    let smooth = recipe.steps.iter().filter(|step| matches!(step, Step::Smooth(_) | Step::SmoothModalities(_))).count();
    let each = match recipe.calibration.sequential {
        Sequential::Block => 1,
        Sequential::Site => sites.max(1),
    };
    smooth + each * if recipe.calibration.observer == Observer::MinMax { 1 } else { 2 }
}
