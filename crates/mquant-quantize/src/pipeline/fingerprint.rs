//! What a bundle follows from, in named parts: a job goes on only where all of them are the same.

use sha2::{Digest, Sha256};

use super::QuantizeOptions;
use crate::job::Fingerprint;
use mquant_model::run::LoadedModel;

/// The parts: `model`, `recipe`, `samples`, `pixels`, `context` (longer samples are left out), `level` (float sums round
/// differently on another) and `version`.
pub fn fingerprint(loaded: &LoadedModel, options: &QuantizeOptions<'_>) -> Fingerprint {
    let recipe = options.recipe.to_toml();
    let pixels = options.pixels;
    let bound = |bound: Option<u64>| bound.map_or_else(|| "as published".to_owned(), |bound| bound.to_string());
    let context = options.engine.context.map(|tokens| tokens as u64);
    Fingerprint::from([
        ("model".to_owned(), hex(&loaded.checkpoint.fingerprint())),
        ("recipe".to_owned(), format!("{} {}", options.recipe.name, hex(&Sha256::digest(recipe)))),
        ("samples".to_owned(), format!("{} {}", options.samples.samples.len(), options.samples.hash)),
        ("pixels".to_owned(), format!("{}, {}", bound(pixels.min), bound(pixels.max))),
        ("context".to_owned(), bound(context)),
        ("level".to_owned(), options.engine.cpu.level().to_string()),
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
