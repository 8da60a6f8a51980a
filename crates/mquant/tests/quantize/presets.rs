//! Every preset makes a bundle that loads, verifies, comes close to the float model, and is the same wherever it lies.

use std::fs;

use mquant::bundle::{PackedCache, PackedCacheUse};
use mquant::calibrate::samples::Gathered;
use mquant::input::Message;
use mquant::kernels::Rows;
use mquant::recipe::PRESETS;
use mquant::run::{Engine, EngineOptions, LoadOptions, LoadedModel, RowOrder, Sequence};

use crate::folder::{
    DEEPSTACK, DEMO, GOLDEN, HEARS, PUBLISHED, WINDOWS, at, bits, cases, held_out, noise, open, prompt, samples, scores,
};
use crate::making::{Made, Making, preset};

/// Samples shown: few, so bounds leave room for ranges that were guessed.
const SHOWN: usize = 6;
/// Conversations compared.
const COMPARED: usize = 4;

/// Root mean squared difference to the float model's scores, in their standard deviations: what is allowed of a model with
/// random weights, and of a trained one. What has nothing to do with the float model has 1.4.
fn bounds(recipe: &str) -> [f64; 2] {
    match recipe {
        "mquant-w8a8" => [0.1, 0.04],
        // Nothing is done about outliers.
        "rtn-static" | "smoothquant-static" => [0.8, 0.18],
        "masquant-w8a8" => [0.25, 0.04],
        // Rounded to nearest, as published; 6 bits of activations.
        "masquant-w4a8" | "masquant-w4a6" | "masquant-w4a16" | "masquant-static" => [0.8, 0.12],
        _ => [0.4, 0.08],
    }
}

fn every_preset(model: &str, kind: usize) {
    every_preset_shown(model, kind, &samples(SHOWN), &held_out(COMPARED));
}

fn every_preset_shown(model: &str, kind: usize, shown: &Gathered, asked: &[Vec<Message>]) {
    let float = open(&at(model));
    let reference = scores(&float, asked);
    for name in PRESETS.iter().map(|preset| preset.name) {
        let recipe = preset(name);
        let made = Making::new(&float, &recipe, shown).made();
        let manifest = made.check();
        assert_eq!(manifest.provenance["samples"], shown.samples.len(), "{name}");
        assert_eq!(manifest.provenance["recipe"], recipe.to_toml().as_str(), "{name}");
        let loaded = open(&made.dir());
        let ours = scores(&loaded, asked);
        let found = noise(&ours, &reference);
        println!("{model} {name}: {found:.4} of the scores' standard deviation, {} bytes", made.summary.bytes);
        assert!(found > 0.0 && found < bounds(name)[kind], "{model} {name}: {found}");
        if ["mquant-w4a8", "mas-mquant"].contains(&name) {
            same_wherever_it_lies(&made, &ours, asked);
            same_in_any_row_order(&loaded, asked);
        }
    }
}

#[test]
fn every_preset_quantises_a_model_of_random_weights() {
    every_preset(GOLDEN, 0);
}

#[test]
fn every_preset_quantises_a_model_with_a_tied_head() {
    every_preset(PUBLISHED, 0);
}

#[test]
fn every_preset_quantises_a_model_with_windows() {
    every_preset(WINDOWS, 0);
}

#[test]
fn every_preset_quantises_a_model_with_deepstack() {
    every_preset(DEEPSTACK, 0);
}

/// Three modalities: sounds, pictures and text, sound inside a video among them, each with a scale of its own.
#[test]
fn every_preset_quantises_a_model_that_hears() {
    let shown = cases(HEARS, &["audio", "audio-image", "turns", "image-video", "sounding", "text"]);
    let asked = cases(HEARS, &["audios", "sounding-mix", "video", "audio-image"]);
    let asked: Vec<_> = asked.samples.into_iter().map(|sample| sample.messages).collect();
    every_preset_shown(HEARS, 0, &shown, &asked);
}

#[test]
fn every_preset_quantises_the_trained_model() {
    every_preset(DEMO, 1);
}

/// Law 6: the bits do not depend on the folder, nor on whether panels are packed anew or mapped.
fn same_wherever_it_lies(made: &Made, scored: &[Rows], asked: &[Vec<Message>]) {
    let root = tempfile::tempdir().unwrap();
    let copy = root.path().join("copied");
    fs::create_dir(&copy).unwrap();
    for (name, bytes) in made.files() {
        fs::write(copy.join(name), bytes).unwrap();
    }
    let options = LoadOptions { packed_cache: PackedCache::Enabled, ..LoadOptions::in_process() };
    for expected in ["Written", "Mapped"] {
        let loaded = LoadedModel::open(copy.to_str().unwrap(), &options).unwrap();
        let found = match loaded.packed_cache {
            PackedCacheUse::Written { .. } => "Written",
            PackedCacheUse::Mapped { .. } => "Mapped",
            _ => "neither",
        };
        assert_eq!(found, expected);
        assert!(bits(&scores(&loaded, asked)) == bits(scored), "{expected}: other bits than where it was made");
    }
}

/// Attention-invariant flexible switching changes no bit of scores, keys and values of a real bundle, whole, in chunks and
/// in batches.
fn same_in_any_row_order(loaded: &LoadedModel, asked: &[Vec<Message>]) {
    let prompts: Vec<_> = asked.iter().map(|messages| prompt(loaded, messages)).collect();
    for chunk in [1024, 5] {
        let [original, media_first] = RowOrder::ALL.map(|row_order| {
            let options = EngineOptions { threads: 2, chunk, row_order, ..EngineOptions::default() };
            let engine = Engine::new(loaded, options).unwrap();
            let (all, _) = engine.all_logits_batch(&prompts.iter().collect::<Vec<_>>(), None).unwrap();
            let mut sequences: Vec<Sequence> = prompts.iter().map(|_| engine.sequence()).collect();
            let mut batch: Vec<&mut Sequence> = sequences.iter_mut().collect();
            let first = engine.prefill_batch(&mut batch, &prompts.iter().collect::<Vec<_>>()).unwrap();
            let next = engine.decode(&mut batch, &(10..10 + prompts.len() as u32).collect::<Vec<_>>()).unwrap();
            (bits(&all), bits(&[first, next]), format!("{sequences:?}"))
        });
        assert!(original == media_first, "chunks of {chunk}: another row order gives other bits");
    }
    let moved = prompts.iter().any(|prompt| prompt.media.iter().any(|media| media.extent().start > 0));
    assert!(moved, "no prompt has text before a picture: nothing was moved");
}
