//! Law 6: the units that calibration computed with give the bits of the bundle that was made of them.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Event, Outcome, QuantizeOptions, quantize, unit_file};
use crate::recipe::{PRESETS, Recipe};
use mquant_data::samples::{DataSource, Gathered, Request, Visual, gather};
use mquant_model::bundle::PackedCache;
use mquant_model::disk::RealDisk;
use mquant_model::input::AddGenerationPrompt;
use mquant_model::input::vision_processor::PixelBounds;
use mquant_model::run::{Engine, EngineOptions, LoadOptions, LoadedModel};

fn at(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

fn open(dir: &Path) -> LoadedModel {
    let options = LoadOptions { packed_cache: PackedCache::Disabled, ..LoadOptions::in_process() };
    LoadedModel::open(dir.to_str().unwrap(), &options).unwrap()
}

fn samples(file: &str, count: usize) -> Gathered {
    let sources = vec![DataSource::Benchmark(at("models/demo").join(file))];
    gather(&Request { sources, count, visual: Visual::Needed }).unwrap()
}

/// The float model with every unit that a job has committed in its place.
fn in_memory(dir: &Path, recipe: &Recipe, work: &Path) -> LoadedModel {
    let float = open(dir);
    let mut model = (*float.model).clone();
    model.decoder.kv_cache = recipe.kv_cache;
    for part in model.parts() {
        let bytes = std::fs::read(work.join("units").join(part.id().to_string())).unwrap();
        unit_file::from_bytes(&bytes).unwrap().install(part).unwrap();
    }
    LoadedModel { model: Arc::new(model), ..float }
}

/// Bits of all scores of samples that were not shown, and of some tokens after them.
fn scores(loaded: &LoadedModel, asked: &Gathered) -> Vec<u32> {
    let engine = Engine::new(loaded, EngineOptions { threads: 2, ..EngineOptions::default() }).unwrap();
    let mut bits = Vec::new();
    for sample in &asked.samples {
        let prompt = loaded.prepare(&sample.messages, AddGenerationPrompt::Yes).unwrap();
        let (all, mut sequences) = engine.all_logits_batch(&[&prompt], None).unwrap();
        let mut sequences: Vec<_> = sequences.iter_mut().collect();
        bits.extend(all[0].as_slice().iter().map(|score| score.to_bits()));
        for id in [20, 30, 40] {
            bits.extend(engine.decode(&mut sequences, &[id]).unwrap().as_slice().iter().map(|score| score.to_bits()));
        }
    }
    bits
}

fn units_are_the_bundle(model: &str, recipes: &[&str]) {
    let (dir, shown, asked) = (at(model), samples("calibration/DemoMME.tsv", 2), samples("bench/DemoTextVQA.tsv", 2));
    for name in recipes {
        let root = tempfile::tempdir().unwrap();
        let output = root.path().join("out");
        let (float, recipe) = (open(&dir), Recipe::preset(name).unwrap());
        let options = QuantizeOptions {
            recipe: &recipe,
            samples: &shown,
            output: &output,
            engine: EngineOptions { threads: 2, ..EngineOptions::default() },
            pixels: PixelBounds::default(),
            provenance: serde_json::Value::Null,
        };
        let run = |end_early: bool| {
            let mut watch = |event: Event<'_>| match event {
                Event::Assembling if end_early => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
            quantize(&float, &options, &RealDisk::shared(), &mut watch).unwrap()
        };
        assert!(matches!(run(true), Outcome::Interrupted));
        let units = scores(&in_memory(&dir, &recipe, &root.path().join("out.partial")), &asked);
        let Outcome::Complete(summary) = run(false) else { panic!("expected a bundle") };
        assert_eq!(summary.resumed, summary.units.len());
        let bundle = scores(&open(&output), &asked);
        assert!(units.len() > 10_000 && units == bundle, "{model} {name}: the bundle computes something else");
        assert!(scores(&float, &asked) != bundle, "{model} {name}: nothing was quantised");
    }
}

#[test]
fn units_in_memory_are_the_bundle_of_an_untied_model() {
    units_are_the_bundle(
        "crates/mquant/tests/goldens/qwen2_vl",
        &PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>(),
    );
}

#[test]
fn units_in_memory_are_the_bundle_of_a_tied_model() {
    units_are_the_bundle(
        "crates/mquant/tests/goldens/qwen2_vl_published",
        &PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>(),
    );
}

#[test]
fn units_in_memory_are_the_bundle_of_a_trained_model() {
    units_are_the_bundle("models/demo", &["mquant-w4a8"]);
}
