//! Recipes from text to plan.

mod orders;
mod texts;

use super::*;
use mquant_model::nn::{SiteId, SiteKind, Tower};

/// The sites of a model with a vision tower, a projector and a decoder.
fn sites(vision: usize, language: usize) -> Vec<SiteId> {
    let block = |tower, n| SiteKind::OF_BLOCK.map(|kind| SiteId::block(tower, n, kind));
    let mut sites = vec![SiteId::patch(Tower::Vision)];
    sites.extend((0..vision).flat_map(|n| block(Tower::Vision, n)));
    sites.extend([SiteKind::Up, SiteKind::Down].map(|kind| SiteId::projector(Tower::Vision, kind)));
    sites.extend((0..language).flat_map(|n| block(Tower::Language, n)));
    sites.push(SiteId::HEAD);
    sites
}

/// A recipe of these steps.
fn recipe(steps: &str) -> Result<Recipe, RecipeError> {
    Recipe::parse(&format!("name = \"x\"\n{steps}"), "x.toml")
}

/// A random number generator of tests.
struct Noise(u64);

impl Noise {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}
