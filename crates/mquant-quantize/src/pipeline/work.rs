//! One unit: transformed, shown the samples, quantised, run on integers.

use std::collections::BTreeMap;

use mquant_kernels::Rows;

use super::calibration_batches::{Batch, CalibrationPrompt, Runner};
use super::compensation;
use super::learning::Lesson;
use super::report::{LearningReport, SiteReport};
use super::result::{self, QuantizedSite, QuantizedUnit};
use super::sampled_rows::{Both, SampledRows};
use super::site::{self, Rules, Smoothed};
use super::site_error;
use super::smoothing;
use super::smoothing_file::Smoothing;
use super::steps::{Change, ChangingStep};
use super::transform_history::History;
use super::unit::Working;
use super::{Event, PipelineError, UnitReport, Watch};
use crate::calibrate::statistics::{SiteStatistics, Statistics, Wanted};
use crate::recipe::{Observer, Plan, Recipe, Sequential, SitePlan, Target};
use crate::transform::{ModalityVectors, ReadChange, SeenChannels, TransformError};
use mquant_model::error::Result;
use mquant_model::input::Modality;
use mquant_model::nn::{CacheFormat, ObserverRef, PartId, SiteId};
use mquant_model::run::LoadedModel;

/// Rows of each modality that a closer look is taken at.
pub(super) const LOOKED_AT: usize = 512;
/// The same in front of a head, whose outputs are many.
pub(super) const LOOKED_AT_IN_HEAD: usize = 256;

/// What every unit is worked on with.
pub(super) struct Worker<'a> {
    pub(super) runner: &'a Runner<'a>,
    pub(super) plan: &'a Plan,
    pub(super) steps: &'a [ChangingStep],
    pub(super) recipe: &'a Recipe,
    pub(super) loaded: &'a LoadedModel,
}

/// A unit, and what enters it for all samples.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) unit: PartId,
    pub(super) enters: &'a [Batch],
    pub(super) prompts: &'a [CalibrationPrompt],
}

/// What the transforms of a unit did.
struct Transformed {
    history: History,
    /// What rows of other modalities than text are to be multiplied by.
    factors: ModalityVectors,
    smoothing: Smoothing,
    learning: Option<LearningReport>,
}

/// What a pass is to tell.
#[derive(Default)]
struct Asked<'a> {
    wanted: BTreeMap<SiteId, Wanted>,
    /// What leaves the unit, for each batch.
    leaves: Option<&'a mut Vec<Rows>>,
    rows: Option<&'a mut SampledRows>,
}

impl Worker<'_> {
    /// Quantises a unit, given what enters it. The second value is what leaves the float unit, for each batch. None if it
    /// was ended early.
    pub(super) fn quantize(
        &self,
        shown: Shown<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<Option<(QuantizedUnit, Vec<Rows>)>> {
        let unit = shown.unit;
        let mut working = Working::of(unit, &self.loaded.model);
        let Some(transformed) = self.transform(shown, &mut working, watch)? else { return Ok(None) };
        let Transformed { history, mut factors, smoothing, learning } = transformed;
        let report = UnitReport { unit: unit.to_string(), output_sqnr_db: None, learning };
        let calibration = self.recipe.calibration;
        let floats = self.loaded.model.decoder.embedding.0.dtype();
        let cpu = self.runner.cpu;
        let rules = Rules { cpu, observer: calibration.observer, sinks: calibration.sinks, floats };
        if let Working::Embedding(embedding) = &working {
            let table = Some(embedding.0.to_dtype(rules.floats));
            return Ok(Some((QuantizedUnit { sites: Vec::new(), table, map: None, smoothing, report }, Vec::new())));
        }
        let (table, map) = result::kept_floats(working.part(), rules.floats);
        let ids: Vec<SiteId> = working.part().sites().iter().map(|site| site.id).collect();
        let groups: Vec<Vec<SiteId>> = match self.recipe.calibration.sequential {
            Sequential::Block => vec![ids],
            Sequential::Site => ids.into_iter().map(|id| vec![id]).collect(),
        };
        let mut done: Vec<QuantizedSite> = Vec::new();
        let looked_at = if unit == PartId::HEAD { LOOKED_AT_IN_HEAD } else { LOOKED_AT };
        // Scores of the head over a large vocabulary would take much memory and tell little.
        let mut floats = (unit != PartId::HEAD).then(Vec::new);
        for (i, group) in groups.into_iter().enumerate() {
            let leaves = if i == 0 { floats.as_mut() } else { None };
            let mut rows = SampledRows::new(looked_at, group.iter().copied());
            let asked = Asked { wanted: self.wanted(&group, &factors), leaves, rows: Some(&mut rows) };
            let mut seen = self.show(shown, &working, asked)?;
            let mut smoothed = self.balance(&mut working, &group, &mut factors, &mut seen);
            let side: BTreeMap<SiteId, Vec<u32>> = working
                .part()
                .sites()
                .iter()
                .filter_map(|site| {
                    let plan = self.plan.site(site.id).filter(|_| group.contains(&site.id))?;
                    Some((site.id, site::side_channels(site, plan, seen.get(&site.id))))
                })
                .collect();
            let seen = self.histograms(shown, &working, (seen, &factors), &side)?;
            let mut made = Vec::new();
            for (id, side) in side {
                let plan = self.plan.site(id).expect("a plan decides every site");
                let smoothed = smoothed.remove(&id).unwrap_or_default();
                made.push(self.runner.threads.run(|| {
                    let sites = working.part().sites();
                    let site = sites.iter().find(|site| site.id == id).expect("listed just now");
                    site::quantize(site, plan, seen.get(&id), side, rules, smoothed)
                })?);
            }
            self.runner.threads.run(|| {
                let compensated = compensation::compensate(&working.part().sites(), &mut made, &seen, self.plan);
                compensated.map_err(|(site, source)| PipelineError::Weight { site, source })
            })?;
            for mut quantized in made {
                let id = quantized.id;
                let rows = rows.take(id);
                self.runner.threads.run(|| {
                    let sites = working.part().sites();
                    let site = sites.iter().find(|site| site.id == id).expect("listed just now");
                    quantized.report.stages = history.stages(cpu, site, &rows, &quantized.report.side_columns);
                    site_error::measure(self.runner.backend, site, &mut quantized, &rows)
                        .map_err(|source| PipelineError::Unit { unit, source })
                })?;
                if self.recipe.calibration.sequential == Sequential::Site {
                    let sites = working.part().sites();
                    let site = sites.into_iter().find(|site| site.id == id).expect("listed just now");
                    quantized.install(site).map_err(|source| PipelineError::Unit { unit, source })?;
                }
                done.push(quantized);
                if watch(Event::Site(id)).is_break() {
                    return Ok(None);
                }
            }
        }
        Ok(Some((QuantizedUnit { sites: done, table, map, smoothing, report }, floats.unwrap_or_default())))
    }

    /// Takes the samples through the integer unit: what enters becomes what leaves. Notes how far that is from `floats`,
    /// what the float unit gave, where it is there.
    pub(super) fn advance(
        &self,
        unit: PartId,
        enters: &mut [Batch],
        quantized: &mut QuantizedUnit,
        floats: &[Rows],
    ) -> Result<()> {
        if matches!(unit, PartId::EMBEDDING | PartId::HEAD) {
            return Ok(());
        }
        let mut working = Working::of(unit, &self.loaded.model);
        quantized.install(working.part()).map_err(|source| PipelineError::Unit { unit, source })?;
        let (mut signal, mut noise) = (0f64, 0f64);
        for (i, batch) in enters.iter_mut().enumerate() {
            let made = self.runner.run(&working, batch, self.recipe.kv_cache, None);
            for (int, float) in made.as_slice().iter().zip(floats.get(i).map_or(&[][..], Rows::as_slice)) {
                signal += f64::from(*float).powi(2);
                noise += (f64::from(*int) - f64::from(*float)).powi(2);
            }
            if working.is_branch() {
                batch.branches.push(made);
            } else {
                batch.x = made;
            }
        }
        if !floats.is_empty() {
            quantized.report.output_sqnr_db =
                Some(10.0 * (signal.max(f64::MIN_POSITIVE) / noise.max(f64::MIN_POSITIVE)).log10());
        }
        Ok(())
    }

    /// Applies the transforms; those that ask for it are shown what the part as it is then reads.
    /// None if it was ended early.
    fn transform(&self, shown: Shown<'_>, working: &mut Working, watch: &mut Watch<'_>) -> Result<Option<Transformed>> {
        let threads = self.runner.threads;
        let mut history = threads.run(|| History::of(working.part()));
        let (mut factors, mut smoothing) = (ModalityVectors::new(), Smoothing::new());
        let mut learned = None;
        for step in self.steps {
            let mut channels = SeenChannels::new();
            if step.change.needs_activations() && !matches!(working, Working::Embedding(_)) {
                let wanted = working.part().sites().iter().map(|site| (site.id, Wanted::default())).collect();
                let seen = self.show(shown, working, Asked { wanted, ..Asked::default() })?;
                let by_modality = |seen: SiteStatistics| {
                    seen.modalities.into_iter().map(|(modality, seen)| (modality, seen.channels)).collect()
                };
                channels = seen.into_iter().map(|(id, seen)| (id, by_modality(seen))).collect();
                for site in working.part().sites() {
                    // Where no row was seen, zeros leave everything as it is.
                    let inputs = site.linears.first().map_or(0, |linear| linear.weight.cols());
                    let nothing = || BTreeMap::from([(Modality::Text, vec![0.0; inputs])]);
                    channels.entry(site.id).or_insert_with(nothing);
                }
            }
            let mut vectors = ModalityVectors::new();
            if let Change::Modalities(smooth, learning) = &step.change {
                vectors = smooth.initial(working.part(), &channels)?;
                if let Some(learning) = learning {
                    let lesson = Lesson {
                        unit: shown.unit,
                        enters: shown.enters,
                        plan: self.plan,
                        learning,
                        vectors: smooth.vectors(),
                        seed: self.recipe.seed,
                    };
                    let Some((found, report)) = lesson.learn(self.runner, working, vectors, watch)? else {
                        return Ok(None);
                    };
                    (vectors, learned) = (found, report.or(learned));
                }
            }
            threads.run(|| {
                let changes = match &step.change {
                    Change::Transform(transform) => transform.apply(self.runner.cpu, working.part(), &channels)?,
                    Change::Modalities(smooth, _) => {
                        let (changes, left) = smooth.fold(working.part(), &vectors)?;
                        factors.extend(left);
                        changes
                    }
                };
                for (site, change) in changes.iter().filter(|_| step.change.needs_activations()) {
                    if let ReadChange::Channels { scale, .. } = change {
                        smoothing.insert((step.index, *site), scale.clone());
                    }
                }
                history.note(step.name, working.part(), changes);
                Ok::<_, TransformError>(())
            })?;
        }
        Ok(Some(Transformed { history, factors, smoothing, learning: learned }))
    }

    fn wanted(&self, group: &[SiteId], factors: &ModalityVectors) -> BTreeMap<SiteId, Wanted> {
        let plans = group.iter().filter_map(|id| self.plan.site(*id));
        let wanted = |plan: &SitePlan| {
            let factors = factors.get(&plan.id).cloned().unwrap_or_default();
            let moments = plan.target != Target::Float && (plan.compensation.is_some() || !factors.is_empty());
            let hessian = site::wants_hessian(plan) && !moments;
            (plan.id, Wanted { hessian, moments, histogram: None, factors })
        };
        plans.map(wanted).collect()
    }

    /// Balances the factors of the sites of a group, and takes them for the integer sites.
    fn balance(
        &self,
        working: &mut Working,
        group: &[SiteId],
        factors: &mut ModalityVectors,
        seen: &mut BTreeMap<SiteId, SiteStatistics>,
    ) -> BTreeMap<SiteId, Smoothed> {
        let mut smoothed = BTreeMap::new();
        let sites = working.part().sites();
        for site in sites.iter().filter(|site| group.contains(&site.id)) {
            let Some(factors) = factors.get_mut(&site.id) else { continue };
            let mut report = SiteReport::default();
            if let Some(seen) = seen.get_mut(&site.id) {
                self.runner.threads.run(|| smoothing::balance(site, factors, seen, &mut report));
            }
            smoothed.insert(site.id, Smoothed { factors: factors.clone(), report });
        }
        smoothed
    }

    /// What was seen, with distributions where the observer asks for them: they leave out the channels that are split off,
    /// which are only known by now.
    fn histograms(
        &self,
        shown: Shown<'_>,
        working: &Working,
        (mut seen, factors): (BTreeMap<SiteId, SiteStatistics>, &ModalityVectors),
        side: &BTreeMap<SiteId, Vec<u32>>,
    ) -> Result<BTreeMap<SiteId, SiteStatistics>> {
        let observer = self.recipe.calibration.observer;
        if observer == Observer::MinMax {
            return Ok(seen);
        }
        let wanted =
            side.iter().filter(|(id, _)| self.plan.site(**id).is_some_and(|p| site::wants_histogram(p, observer)));
        let wanted: BTreeMap<SiteId, Wanted> = wanted
            .map(|(id, side)| {
                let factors = factors.get(id).cloned().unwrap_or_default();
                (*id, Wanted { histogram: Some(side.clone()), factors, ..Wanted::default() })
            })
            .collect();
        let again = self.show(shown, working, Asked { wanted, ..Asked::default() })?;
        for (id, statistics) in again {
            for (modality, rows) in statistics.modalities {
                let known = seen.get_mut(&id).and_then(|seen| seen.modalities.get_mut(&modality));
                if let Some(known) = known {
                    known.histogram = rows.histogram;
                }
            }
        }
        Ok(seen)
    }

    /// Takes the samples through the unit as it is, noting what is asked.
    fn show(
        &self,
        Shown { unit, enters, prompts }: Shown<'_>,
        working: &Working,
        Asked { wanted, mut leaves, mut rows }: Asked<'_>,
    ) -> Result<BTreeMap<SiteId, SiteStatistics>> {
        let mut statistics = Statistics::new(self.runner.backend, wanted);
        for batch in enters {
            let run = |tap: ObserverRef<'_>| self.runner.run(working, batch, CacheFormat::Float, tap);
            let left = match &mut rows {
                Some(rows) => run(Some(&mut Both(&mut statistics, rows))),
                None => run(Some(&mut statistics)),
            };
            if let Some(leaves) = &mut leaves {
                leaves.push(left);
            }
            if let Some(fault) = statistics.fault {
                let sequence = batch.pass.sequences.iter().position(|rows| rows.contains(&fault.row)).unwrap_or(0);
                let first = batch.pass.sequences.get(sequence).map_or(0, |rows| rows.start);
                let shown = batch.samples.get(sequence).and_then(|sample| prompts.get(*sample));
                let sample = shown.map_or_else(|| unit.to_string(), |shown| shown.source.clone());
                // Only some rows of a sample enter the head.
                let before = shown.filter(|_| unit == PartId::HEAD).map_or(0, |shown| shown.scored.start);
                let row = before + fault.row - first;
                return Err(PipelineError::NotFinite { site: fault.site, sample, row }.into());
            }
        }
        Ok(statistics.sites)
    }
}
