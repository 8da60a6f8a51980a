//! The transforms of a recipe, for one model.

use std::collections::BTreeSet;

use crate::recipe::{Learning, Plan, Recipe, Step, Towers};
use crate::transform::{
    FuseNorms, RotateHeads, RotateOnline, RotateStream, Smooth, SmoothModalities, Streams, Transform, TransformError,
};
use mquant_model::models::Model;
use mquant_model::nn::Tower;

/// A step that changes weights.
pub(super) struct ChangingStep {
    /// As a recipe names it.
    pub(super) name: &'static str,
    /// Its place in the recipe, from 0.
    pub(super) index: usize,
    pub(super) change: Change,
}

/// What it does.
pub(super) enum Change {
    /// Changes weights, and nothing else.
    Transform(Box<dyn Transform>),
    /// Folds the vectors of text, and leaves factors for the rows of other modalities.
    Modalities(SmoothModalities, Option<Learning>),
}

impl Change {
    /// Whether it must be shown activations.
    pub(super) fn needs_activations(&self) -> bool {
        match self {
            Change::Transform(transform) => transform.needs_activations(),
            Change::Modalities(..) => true,
        }
    }
}

/// What is applied to every unit, in order. Weights are not touched.
pub(super) fn of(recipe: &Recipe, plan: &Plan, model: &Model) -> Result<Vec<ChangingStep>, TransformError> {
    let streams = Streams::of(&mut model.clone())?;
    // Towers that a recipe names are there: it was checked.
    let there = |towers: &Towers| -> Vec<Tower> {
        towers.as_slice().iter().copied().filter(|tower| streams.width(*tower).is_ok()).collect()
    };
    let mut steps: Vec<ChangingStep> = Vec::new();
    for (index, (step, named)) in recipe.steps.iter().zip(&plan.steps).enumerate() {
        let sites = || -> BTreeSet<_> { named.iter().copied().collect() };
        let transform: Box<dyn Transform> = match step {
            Step::SmoothModalities(smooth) => {
                let modalities = SmoothModalities::new(sites(), smooth.alpha, smooth.vectors);
                let change = Change::Modalities(modalities, smooth.learning.clone());
                steps.push(ChangingStep { name: step.name(), index, change });
                continue;
            }
            Step::FuseNorms(fuse) => Box::new(FuseNorms::new(&streams, there(&fuse.towers))?),
            Step::RotateStream(rotate) => {
                Box::new(RotateStream::new(&streams, there(&rotate.towers), rotate.kind, recipe.seed)?)
            }
            Step::RotateHeads(rotate) => Box::new(RotateHeads::new(there(&rotate.towers), recipe.seed)),
            Step::RotateOnline(rotate) => Box::new(RotateOnline::new(sites(), rotate.otherwise)),
            Step::Smooth(smooth) => Box::new(Smooth::new(sites(), smooth.alpha)),
            Step::Compensate(_) | Step::SplitColumns(_) | Step::Quantize(_) => continue,
        };
        steps.push(ChangingStep { name: step.name(), index, change: Change::Transform(transform) });
    }
    Ok(steps)
}
