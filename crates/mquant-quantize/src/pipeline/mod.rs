//! From a float model, a recipe and samples to a bundle.
//!
//! The model passes one unit, a [`Part`](mquant_model::nn::Part), at a time: the samples' rows enter it as the integer units before left
//! them; its float weights are transformed; a pass of the float unit shows ranges and second moments; the weights become
//! codes; the unit runs once more on integers, and what leaves it enters the next. No more than a unit is in memory in full.
//!
//! Invariants: what is computed follows from model, recipe, samples and instruction level alone, not from the number of
//! threads. A unit that is committed to the [`Job`] is never computed again: a run that goes on reads it and takes the samples
//! through it, and so gives the same bytes as one that was never stopped.

mod assemble;
mod card;
mod compensation;
mod rounding;
mod error;
mod fingerprint;
mod learning;
mod sampled_rows;
mod plan;
mod prompts;
mod report;
mod restore;
mod result;
mod calibration_batches;
mod site;
mod site_error;
mod smoothing;
mod smoothing_file;
mod spread;
mod transform_history;
mod steps;
mod unit;
mod unit_file;
mod work;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mquant_kernels::{Backend, CpuBackend, Threads};

use crate::job::{Job, Note, Opened};
use crate::recipe::Recipe;
use mquant_data::samples::Gathered;
use mquant_model::disk::SharedDisk;
use mquant_model::error::{Class, Explain, Result};
use mquant_model::input::AddGenerationPrompt;
use mquant_model::input::vision_processor::{PixelBounds, ProcessorError};
use mquant_model::models::Model;
use mquant_model::nn::{PartId, SiteId};
use mquant_model::run::{Engine, EngineOptions, LoadedModel, RowOrder};

pub use error::PipelineError;
pub use fingerprint::fingerprint;
pub use plan::{Estimate, ShownRows, estimate};
pub use report::{BranchReport, LearningReport, SiteReport, SmoothingReport, Spread, StageReport, UnitReport};
pub use restore::{Restored, Restorer};

use assemble::Collected;
use calibration_batches::{CalibrationMedia, CalibrationPrompt, Runner};
use prompts::Prompts;
use result::QuantizedUnit;
use work::{Shown, Worker};

/// Share of samples that may turn out unusable.
const MAX_SKIPPED: f64 = 0.05;

/// What is to be done, and where the result goes.
#[derive(Clone, Debug)]
pub struct QuantizeOptions<'a> {
    /// What is done to the model.
    pub recipe: &'a Recipe,
    /// What the model is shown, in this order.
    pub samples: &'a Gathered,
    /// The bundle to make.
    pub output: &'a Path,
    /// How to compute.
    pub engine: EngineOptions,
    /// The bounds on pictures that the model was loaded with.
    pub pixels: PixelBounds,
    /// What the bundle is to say of where its numbers come from, beside what is known here.
    pub provenance: serde_json::Value,
}

/// How far a job is.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Samples are turned into rows.
    Preparing {
        /// Samples done.
        done: usize,
        /// All samples.
        of: usize,
    },
    /// A unit begins.
    Unit {
        /// Its place, from 0.
        index: usize,
        /// All units.
        of: usize,
        /// Which.
        unit: PartId,
        /// Whether it was committed by an earlier run.
        known: bool,
    },
    /// Smoothing vectors of the unit are learned.
    Learning {
        /// The unit.
        unit: PartId,
        /// Passes of a sample done.
        done: usize,
        /// All passes.
        of: usize,
        /// Loss of the last one: mean magnitude of what the quantised block gives other than the float one.
        loss: f64,
    },
    /// A site of the unit has codes.
    Site(SiteId),
    /// A unit is committed.
    Committed {
        /// What became of it.
        report: &'a UnitReport,
        /// What became of its sites.
        sites: &'a [(SiteId, SiteReport)],
        /// Time since it began.
        seconds: f64,
    },
    /// Committed work was found damaged, and is done anew.
    Damaged(&'a Note),
    /// The bundle is put together.
    Assembling,
}

/// Who is told, and may end it: a later run goes on where this one ended.
pub type Watch<'w> = dyn FnMut(Event<'_>) -> ControlFlow<()> + 'w;

/// What came of it.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The bundle is there.
    Complete(Summary),
    /// The bundle was there before, made of the same.
    AlreadyComplete,
    /// It was ended early; everything committed is kept.
    Interrupted,
}

/// What a bundle was made of and what became of its parts.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Every site.
    pub sites: Vec<(SiteId, SiteReport)>,
    /// Every unit.
    pub units: Vec<UnitReport>,
    /// Bytes of its tensors.
    pub bytes: u64,
    /// Samples that could not be used, and why.
    pub skipped: Vec<String>,
    /// Units that an earlier run had committed.
    pub resumed: usize,
}

/// Rows that samples will have, those that can be used, without the answers that have yet to be generated.
pub fn shown_rows(loaded: &LoadedModel, samples: &Gathered, recipe: &Recipe) -> ShownRows {
    let mut rows = ShownRows::default();
    let mut seen = std::collections::HashSet::new();
    for sample in &samples.samples {
        let Ok(prompt) = loaded.prepare(&sample.messages, AddGenerationPrompt::Yes) else { continue };
        let answer =
            sample.answer.as_ref().map(|answer| loaded.tokenizer.encode_text(answer).map_or(0, |ids| ids.len() + 1));
        let answer = answer.unwrap_or(recipe.calibration.generated_tokens);
        rows.tokens += prompt.ids.len() + answer;
        rows.scored += answer.max(1);
        let media = prompt.media.iter().filter(|media| seen.insert(media.key));
        for media in media {
            *rows.of_tower(media.kind.tower()) += media.patches.rows.rows();
        }
    }
    rows
}

/// Every site of a model, in order.
pub fn sites(model: &Model) -> Vec<SiteId> {
    let mut model = model.clone();
    model
        .parts()
        .into_iter()
        .flat_map(|part| part.sites().into_iter().map(|site| site.id).collect::<Vec<_>>())
        .collect()
}

/// Quantises a float model.
///
/// # Errors
/// The model is quantised already; the recipe does not fit it; samples that cannot be used; activations that are not finite;
/// or the system refuses. What was committed stays, and the same call goes on from there.
pub fn quantize(
    loaded: &LoadedModel,
    options: &QuantizeOptions<'_>,
    disk: &SharedDisk,
    watch: &mut Watch<'_>,
) -> Result<Outcome> {
    if loaded.quantization.is_some() {
        return Err(PipelineError::QuantizedAlready { model: loaded.checkpoint.dir().display().to_string() }.into());
    }
    let all_sites = sites(&loaded.model);
    let plan = options.recipe.check(&all_sites)?;
    let steps = steps::of(options.recipe, &plan, &loaded.model)?;
    let parts = fingerprint(loaded, options);
    let mut job = match Job::open(disk, options.output, &parts)? {
        Opened::Complete(_) => return Ok(Outcome::AlreadyComplete),
        Opened::Unfinished(job) => job,
    };
    let backend: Arc<dyn Backend> = Arc::new(CpuBackend::new(options.engine.cpu));
    let threads = Threads::new(options.engine.threads)
        .map_err(|e| PipelineError::Threads { count: options.engine.threads, reason: e.to_string() })?;

    let engine = EngineOptions { row_order: RowOrder::default(), ..options.engine };
    let engine = Engine::new(loaded, engine)?;
    let generated_tokens = options.recipe.calibration.generated_tokens;
    let prompts = Prompts { loaded, engine: &engine, backend: &*backend, generated_tokens, sites: &all_sites };
    let Some((prompts, skipped)) = show(&prompts, options, watch)? else { return Ok(Outcome::Interrupted) };
    drop(engine);
    loaded.checkpoint.release_memory();
    let runner = Runner { backend: &*backend, cpu: options.engine.cpu, threads: &threads, model: &loaded.model };
    let worker = Worker { runner: &runner, plan: &plan, steps: &steps, recipe: options.recipe, loaded };
    let Some(made) = pass_units(&worker, &mut job, prompts, watch)? else { return Ok(Outcome::Interrupted) };
    if watch(Event::Assembling).is_break() {
        return Ok(Outcome::Interrupted);
    }
    let Made { sites, units, resumed, collected } = made;
    let mut summary = Summary { sites, units, bytes: 0, skipped, resumed };
    summary.bytes = assemble::finish(job, loaded, options, &collected, &summary)?;
    Ok(Outcome::Complete(summary))
}

/// What all units gave.
#[derive(Default)]
struct Made {
    sites: Vec<(SiteId, SiteReport)>,
    units: Vec<UnitReport>,
    resumed: usize,
    collected: Collected,
}

/// Takes the samples through all units, quantising those that are not committed yet. None if it was ended early.
fn pass_units(
    worker: &Worker<'_>,
    job: &mut Job,
    mut prompts: Vec<CalibrationPrompt>,
    watch: &mut Watch<'_>,
) -> Result<Option<Made>> {
    let (loaded, model) = (worker.loaded, &*worker.loaded.model);
    let mut media = CalibrationMedia::new(loaded, &mut prompts);
    let mut batches = Vec::new();
    let units = model.part_ids();
    let mut made = Made { collected: Collected::of(model), ..Made::default() };
    for (index, unit) in units.iter().copied().enumerate() {
        let known = job.unit(&unit.to_string()).and_then(|bytes| unit_file::from_bytes(&bytes));
        for note in job.take_notes() {
            let _ = watch(Event::Damaged(&note));
        }
        if watch(Event::Unit { index, of: units.len(), unit, known: known.is_some() }).is_break() {
            return Ok(None);
        }
        let started = Instant::now();
        if unit == PartId::HEAD {
            batches = calibration_batches::scored(model, &batches, &prompts);
        }
        let enters = if unit::is_encoder(unit) { media.batches(unit.tower) } else { &mut batches };
        made.resumed += usize::from(known.is_some());
        let (mut quantized, floats, is_new) = match known {
            Some(quantized) => (quantized, Vec::new(), false),
            None => match worker.quantize(Shown { unit, enters, prompts: &prompts }, watch)? {
                Some((quantized, floats)) => (quantized, floats, true),
                None => return Ok(None),
            },
        };
        worker.advance(unit, enters, &mut quantized, &floats)?;
        if unit == PartId::EMBEDDING {
            let table = quantized.table.as_ref().expect("an embedding has a table");
            batches = calibration_batches::embed(model, table, &prompts, &mut media);
        }
        if is_new {
            let bytes = unit_file::to_bytes(&quantized);
            job.commit(&unit.to_string(), &bytes)?;
            // Numbers that were read back from text may differ in the last bit: a run that goes on has no others.
            unit_file::read_reports(&bytes, &mut quantized);
        }
        made.collected.note_unit(unit, &quantized);
        let QuantizedUnit { sites, report, .. } = quantized;
        let sites: Vec<(SiteId, SiteReport)> = sites.into_iter().map(|site| (site.id, site.report)).collect();
        let seconds = started.elapsed().as_secs_f64();
        let ended = watch(Event::Committed { report: &report, sites: &sites, seconds });
        made.sites.extend(sites);
        made.units.push(report);
        loaded.checkpoint.release_memory();
        if ended.is_break() {
            return Ok(None);
        }
    }
    Ok(Some(made))
}

/// The samples as rows of tokens with their answers, and why some could not be used; None if it was ended early.
fn show(
    made: &Prompts<'_>,
    options: &QuantizeOptions<'_>,
    watch: &mut Watch<'_>,
) -> Result<Option<(Vec<CalibrationPrompt>, Vec<String>)>> {
    let max_tokens = options.recipe.calibration.max_tokens.unwrap_or(usize::MAX);
    let (mut prompts, mut skipped) = (Vec::new(), Vec::new());
    for (done, sample) in options.samples.samples.iter().enumerate() {
        if watch(Event::Preparing { done, of: options.samples.samples.len() }).is_break() {
            return Ok(None);
        }
        match made.prepare(sample) {
            Ok(shown) => {
                let tokens = shown.prompt.ids.len();
                let most = max_tokens.min(made.engine.context());
                if tokens <= most {
                    prompts.push(shown);
                } else {
                    skipped.push(format!("{}: {tokens} tokens, at most {most}", sample.origin));
                }
            }
            Err(e) if e.class() == Class::Numeric => return Err(e),
            Err(e) if e.code() == ProcessorError::NoAudio.code() => {
                return Err(PipelineError::NoAudio { sample: sample.origin.to_string() }.into());
            }
            Err(e) => skipped.push(format!("{}: {e}", sample.origin)),
        }
    }
    if prompts.is_empty() || skipped.len() as f64 > MAX_SKIPPED * options.samples.samples.len() as f64 {
        return Err(PipelineError::Skipped { skipped, of: options.samples.samples.len() }.into());
    }
    Ok(Some((prompts, skipped)))
}
