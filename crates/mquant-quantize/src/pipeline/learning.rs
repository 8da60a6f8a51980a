//! Smoothing vectors learned on the block that is worked on (MASQuant, section 4.2).

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::mpsc;

use mquant_kernels::{Bits, Rows};
use mquant_learn::{
    ActivationQuantization, Form, Options, Progress, Sample, SiteQuantization, Vectors, WeightQuantization, learn,
};

use super::calibration_batches::{Batch, Runner};
use super::report::LearningReport;
use super::rounding::rounded;
use super::unit::Working;
use super::{Event, PipelineError, Watch};
use crate::quantize::IntFormat;
use crate::recipe::{Learning, LearningForm, Plan, Rank, SitePlan, Target};
use crate::transform::{ModalityVectors, SmoothingVectors};
use mquant_model::bundle::InputFormat;
use mquant_model::error::Result;
use mquant_model::nn::{CacheFormat, ForwardBatch, PartId, SiteId};

/// Digits of losses in a report.
const LOSS_STEPS: f64 = 1e9;

/// What is learned, and on what.
pub(super) struct Lesson<'a> {
    pub(super) unit: PartId,
    pub(super) enters: &'a [Batch],
    pub(super) plan: &'a Plan,
    pub(super) learning: &'a Learning,
    pub(super) vectors: SmoothingVectors,
    pub(super) seed: u64,
}

impl Lesson<'_> {
    /// The vectors that learning arrives at from `initial`. None if it was ended early.
    ///
    /// The float block gives the targets, from what the quantised blocks before it gave; each sequence is a step.
    ///
    /// # Errors
    /// A block that cannot be learned on, or a loss that is not finite.
    pub(super) fn learn(
        &self,
        runner: &Runner<'_>,
        working: &Working,
        mut initial: ModalityVectors,
        watch: &mut Watch<'_>,
    ) -> Result<Option<(ModalityVectors, Option<LearningReport>)>> {
        let Some(block) = working.block().filter(|_| !initial.is_empty()) else { return Ok(Some((initial, None))) };
        let mut sequences = Vec::new();
        for batch in self.enters {
            let targets = runner.run(working, batch, CacheFormat::Float, None);
            sequences.extend(batch.sequences(&targets));
        }
        let samples: Vec<Sample<'_>> =
            sequences.iter().map(|(input, target, pass)| Sample { input, target, pass }).collect();
        let sites = self.sites();
        let start: BTreeMap<SiteId, Vectors> =
            initial.iter().filter(|(site, _)| sites.contains_key(*site)).map(|(s, v)| (*s, v.clone())).collect();
        let told = self.options(&start);
        let unit = self.unit;
        // The pool's threads compute; this one, which alone may call `watch`, is told of each step and answers.
        let (step, steps) = mpsc::sync_channel::<Progress>(0);
        let (answer, answers) = mpsc::sync_channel::<ControlFlow<()>>(1);
        let learned = std::thread::scope(|scope| {
            let learning = scope.spawn(|| {
                let mut ask = move |progress| {
                    let is_told = step.send(progress).is_ok();
                    if is_told { answers.recv().unwrap_or(ControlFlow::Break(())) } else { ControlFlow::Break(()) }
                };
                runner.threads.run(move || learn(block, &sites, &start, &samples, &told, &mut ask))
            });
            for Progress { done, of, loss } in steps {
                let _ = answer.send(watch(Event::Learning { unit, done, of, loss }));
            }
            learning.join()
        });
        let learned = learned.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let learned = learned.map_err(|source| PipelineError::Learning { unit, source })?;
        let Some(learned) = learned else { return Ok(None) };
        let report = LearningReport {
            epochs: self.learning.epochs,
            steps: learned.steps.len(),
            losses: learned.losses.iter().map(|loss| rounded(*loss, LOSS_STEPS)).collect(),
            kept: learned.best,
        };
        // Tied vectors are one set for all linears.
        let tied = |(site, sets): (SiteId, Vec<Vectors>)| Some((site, sets.into_iter().next()?));
        // A site that stays float keeps the vectors it began with.
        initial.extend(learned.vectors.into_iter().filter_map(tied));
        Ok(Some((initial, Some(report))))
    }

    fn options(&self, start: &BTreeMap<SiteId, Vectors>) -> Options {
        let form = match (self.vectors, self.learning.form) {
            (SmoothingVectors::Uniform, _) => Form::Uniform,
            (SmoothingVectors::PerModality, LearningForm::Published) => Form::Published,
            (SmoothingVectors::PerModality, LearningForm::Deployed) => {
                let inputs = |vectors: &Vectors| vectors.values().map(Vec::len).max().unwrap_or(1);
                let ranks = start.iter().filter_map(|(site, v)| ratio(self.plan.site(*site)?, inputs(v)));
                Form::Deployed { rank_ratio: ranks.fold(0.0, f64::max).clamp(1e-3, 1.0) }
            }
        };
        Options {
            form,
            tied: true,
            foldable_out: true,
            epochs: self.learning.epochs,
            learning_rate: self.learning.learning_rate as f32,
            loss_weights: self.learning.loss_weights.iter().map(|(m, weight)| (*m, *weight as f32)).collect(),
            seed: self.seed,
            ..Options::default()
        }
    }

    /// How the sites of the block will be quantised, those that are not smoothed too.
    fn sites(&self) -> BTreeMap<SiteId, SiteQuantization> {
        let of_block = self.plan.sites.iter().filter(|plan| plan.id.part == self.unit);
        let quantised = |plan: &SitePlan| {
            let Target::Int { format: IntFormat { bits, group }, input_bits, .. } = plan.target else { return None };
            let bits = match bits {
                Bits::Four => 4,
                Bits::Eight => 8,
            };
            let activation = match plan.target.input() {
                InputFormat::Float => ActivationQuantization::Float,
                InputFormat::PerToken | InputFormat::PerTokenSix => {
                    ActivationQuantization::PerToken { bits: input_bits.count() }
                }
                InputFormat::PerTensor | InputFormat::PerModality => {
                    ActivationQuantization::PerModality { bits: input_bits.count() }
                }
            };
            Some((plan.id, SiteQuantization { weight: Some(WeightQuantization { bits, group }), activation }))
        };
        of_block.filter_map(quantised).collect()
    }
}

/// The rank of a branch over the inputs of its site, about.
fn ratio(plan: &SitePlan, inputs: usize) -> Option<f64> {
    match plan.compensation? {
        Rank::Ratio(ratio) => Some(ratio),
        Rank::Absolute(rank) => Some(rank as f64 / inputs as f64),
        // A square weight of 4 bits has d²/2 bytes, each rank of its branch 2d.
        Rank::Budget(share) => Some(share / 4.0),
    }
}

impl Batch {
    /// Every sequence alone: what enters, what leaves, what its rows are.
    fn sequences(&self, targets: &Rows) -> Vec<(Rows, Rows, ForwardBatch)> {
        let rows = |of: &Rows, range: &Range<usize>| Rows::from_vec(of.range(range.clone()).to_vec(), of.features());
        let each = self.pass.sequences.iter().filter(|range| !range.is_empty());
        each.map(|range| (rows(&self.x, range), rows(targets, range), self.pass.sequence(range.clone()))).collect()
    }
}
