//! The transforms of a recipe, for one model.

use std::collections::BTreeSet;

use crate::recipe::{Plan, Recipe, Step};
use crate::transform::{
    FuseNorms, RotateHeads, RotateOnline, RotateStream, Smooth, Streams, Transform, TransformError,
};
use mquant_model::models::Model;

/// A step that changes weights.
pub(super) struct ChangingStep {
    /// As a recipe names it.
    pub(super) name: &'static str,
    pub(super) transform: Box<dyn Transform>,
}

/// What is applied to every unit, in order. Weights are not touched.
pub(super) fn of(recipe: &Recipe, plan: &Plan, model: &Model) -> Result<Vec<ChangingStep>, TransformError> {
    let streams = Streams::of(&mut model.clone())?;
    let mut steps: Vec<ChangingStep> = Vec::new();
    for (step, named) in recipe.steps.iter().zip(&plan.steps) {
        let sites = || -> BTreeSet<_> { named.iter().copied().collect() };
        let transform: Box<dyn Transform> = match step {
            Step::FuseNorms(fuse) => Box::new(FuseNorms::new(&streams, fuse.towers.iter().copied())?),
            Step::RotateStream(rotate) => {
                let towers = rotate.towers.iter().copied();
                Box::new(RotateStream::new(&streams, towers, rotate.kind, recipe.seed)?)
            }
            Step::RotateHeads(rotate) => Box::new(RotateHeads::new(rotate.towers.iter().copied(), recipe.seed)),
            Step::RotateOnline(rotate) => Box::new(RotateOnline::new(sites(), rotate.otherwise)),
            Step::Smooth(smooth) => Box::new(Smooth::new(sites(), smooth.alpha)),
            Step::SplitColumns(_) | Step::Quantize(_) => continue,
        };
        steps.push(ChangingStep { name: step.name(), transform });
    }
    Ok(steps)
}
