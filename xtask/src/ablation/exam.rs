//! A model quantised for the moment, and its scores.

use std::ops::ControlFlow;

use mquant::bundle::PackedCache;
use mquant::calibrate::samples::Gathered;
use mquant::disk::RealDisk;
use mquant::evaluate::{Answerer, Benchmark, Exam as Paper, Graded, recognise};
use mquant::input::vision_processor::PixelBounds;
use mquant::pipeline::{self, Outcome, QuantizeOptions};
use mquant::recipe::Recipe;
use mquant::run::{Engine, EngineOptions, LoadOptions, LoadedModel};
use serde_json::{Value, json};

use super::AblationError;

/// Questions computed together.
const BATCH: usize = 32;

/// Benchmarks, and how much of them.
pub(super) struct Exam<'a> {
    pub(super) benchmarks: &'a [Benchmark],
    pub(super) limit: Option<usize>,
}

/// A score in percent for each benchmark.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scores(pub(super) Vec<(String, f64)>);

impl Scores {
    /// Their mean.
    pub(super) fn mean(&self) -> f64 {
        self.0.iter().map(|(_, score)| score).sum::<f64>() / self.0.len().max(1) as f64
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
    }

    pub(super) fn json(&self) -> Value {
        json!(self.0.iter().cloned().collect::<std::collections::BTreeMap<String, f64>>())
    }
}

impl Exam<'_> {
    /// A model's scores.
    pub(super) fn sit(&self, loaded: &LoadedModel) -> Result<Scores, AblationError> {
        let engine = Engine::new(loaded, EngineOptions::default())?;
        let mut scores = Vec::new();
        for benchmark in self.benchmarks {
            let name = benchmark.name();
            let known = recognise(name).ok_or_else(|| AblationError::Unknown(name.to_owned()))?;
            let paper = Paper { benchmark, known, limit: self.limit };
            let who = Answerer { loaded, engine: &engine, max_tokens: known.max_new_tokens, batch: BATCH };
            let lines = paper.answer(&who, Vec::new(), &mut |_| Ok(ControlFlow::Continue(())))?;
            scores.push((name.to_owned(), Graded::alone(paper, &lines).score().map_or(0.0, |total| total.value)));
        }
        Ok(Scores(scores))
    }
}

/// What `f` finds out of the model quantised by a recipe.
pub(super) fn quantized<R>(
    float: &LoadedModel,
    recipe: &Recipe,
    samples: &Gathered,
    f: impl FnOnce(&LoadedModel) -> Result<R, AblationError>,
) -> Result<R, AblationError> {
    let folder = tempfile::tempdir().map_err(AblationError::Temporary)?;
    let output = folder.path().join("bundle");
    let options = QuantizeOptions {
        recipe,
        samples,
        output: &output,
        engine: EngineOptions::default(),
        pixels: PixelBounds::default(),
        provenance: Value::Null,
    };
    let outcome = pipeline::quantize(float, &options, &RealDisk::shared(), &mut |_| ControlFlow::Continue(()))?;
    let Outcome::Complete(_) = outcome else { return Err(AblationError::Early) };
    let load = LoadOptions { packed_cache: PackedCache::Disabled, ..LoadOptions::in_process() };
    f(&LoadedModel::open(&output.to_string_lossy(), &load)?)
}
