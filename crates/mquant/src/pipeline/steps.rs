//! The transforms of a recipe, for one model.

use std::collections::BTreeSet;

use crate::models::Model;
use crate::recipe::{Plan, Recipe, Step};
use crate::transform::{
    FuseNorms, RotateHeads, RotateOnline, RotateStream, Smooth, Streams, Transform, TransformError,
};

/// What is applied to every unit, in order. Weights are not touched.
pub(super) fn of(recipe: &Recipe, plan: &Plan, model: &Model) -> Result<Vec<Box<dyn Transform>>, TransformError> {
    let streams = Streams::of(&mut model.clone())?;
    let mut steps: Vec<Box<dyn Transform>> = Vec::new();
    for (step, named) in recipe.steps.iter().zip(&plan.steps) {
        let sites = || -> BTreeSet<_> { named.iter().copied().collect() };
        match step {
            Step::FuseNorms(fuse) => steps.push(Box::new(FuseNorms::new(&streams, fuse.towers.iter().copied())?)),
            Step::RotateStream(rotate) => {
                let towers = rotate.towers.iter().copied();
                steps.push(Box::new(RotateStream::new(&streams, towers, rotate.kind, recipe.seed)?));
            }
            Step::RotateHeads(rotate) => {
                steps.push(Box::new(RotateHeads::new(rotate.towers.iter().copied(), recipe.seed)));
            }
            Step::RotateOnline(rotate) => steps.push(Box::new(RotateOnline::new(sites(), rotate.otherwise))),
            Step::Smooth(smooth) => steps.push(Box::new(Smooth::new(sites(), smooth.alpha))),
            Step::SplitColumns(_) | Step::Quantize(_) => {}
        }
    }
    Ok(steps)
}
