//! Blame finds the sites that were spoilt on purpose, and restoring every site gives the float model back.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mquant::bundle::InputFormat;
use mquant::calibrate::samples::{DataSource, Gathered, Request, Visual, gather};
use mquant::disk::RealDisk;
use mquant::evaluate::{Budget, Likelihood, Referenced, Suspect, reference_logits};
use mquant::input::AddGenerationPrompt;
use mquant::input::vision_processor::PixelBounds;
use mquant::pipeline::{QuantizeOptions, Restored, Restorer, quantize, sites};
use mquant::recipe::Recipe;
use mquant::run::{Engine, EngineOptions, LoadOptions, LoadedModel};

fn models(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name)
}

fn open(path: &Path) -> LoadedModel {
    LoadedModel::open(path.to_str().expect("a path in UTF-8"), &LoadOptions::in_process()).expect("a model")
}

/// Samples of all kinds, with answers.
fn samples(count: usize) -> Gathered {
    let folder = models("demo").join("calibration");
    let names = ["DemoOCRBench", "DemoTextVQA", "DemoCount", "DemoColor"];
    let sources = names.iter().map(|name| DataSource::Benchmark(folder.join(format!("{name}.tsv")))).collect();
    gather(&Request { sources, count, visual: Visual::Needed }).expect("samples")
}

fn referenced(loaded: &LoadedModel, samples: &Gathered) -> Vec<Referenced> {
    let of = |sample: &mquant::calibrate::samples::Sample| {
        let prompt = loaded.prepare(&sample.messages, AddGenerationPrompt::Yes).expect("a prompt");
        let answer = sample.answer.as_ref().expect("an answer");
        Referenced::new(prompt, &loaded.encode_answer(answer).expect("tokens"))
    };
    samples.samples.iter().map(of).collect()
}

fn bundle(float: &LoadedModel, recipe: &Recipe, samples: &Gathered, output: &Path) -> LoadedModel {
    let options = QuantizeOptions {
        recipe,
        samples,
        output,
        engine: EngineOptions::default(),
        pixels: PixelBounds::default(),
        provenance: serde_json::Value::Null,
    };
    quantize(float, &options, &RealDisk::shared(), &mut |_| ControlFlow::Continue(())).expect("a bundle");
    open(output)
}

/// All in 8 bits with a scale for each row, but for the sites of one kind: one static scale for all of its outliers.
fn spoilt(pattern: &str) -> Recipe {
    let text = format!(
        "name = \"spoilt\"\ndescription = \"one kind of site with a static scale\"\n\n[[step]]\ndo = \"quantize\"\n\
         sites = \"all\"\nweight_bits = 8\nmethod = \"rtn\"\ninput = \"per_token\"\n\n[[step]]\ndo = \"quantize\"\n\
         sites = [\"{pattern}\"]\nweight_bits = 8\nmethod = \"rtn\"\ninput = \"per_tensor\"\n"
    );
    Recipe::parse(&text, "spoilt.toml").expect("a recipe")
}

#[test]
fn every_site_restored_gives_the_float_model() {
    for preset in ["mquant-w4a8", "smoothquant-static", "masquant-static", "mas-mquant"] {
        every_site_restored(preset);
    }
}

fn every_site_restored(preset: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let float = open(&models("demo-stress"));
    let recipe = Recipe::preset(preset).expect("a preset");
    let samples = samples(8);
    let quantised = bundle(&float, &recipe, &samples, &dir.path().join("out"));
    let asked = referenced(&float, &samples);
    let all: Vec<&Referenced> = asked.iter().collect();
    let engine = |loaded| Engine::new(loaded, EngineOptions::default()).expect("an engine");
    let expected = reference_logits(&engine(&float), &all).expect("scores");
    let divergence = |engine: &Engine| {
        let mut sum = Likelihood::default();
        let found = reference_logits(engine, &all).expect("scores");
        for ((asked, expected), found) in asked.iter().zip(&expected).zip(&found) {
            sum.add(&Likelihood::of(found, expected, asked.ids()));
        }
        sum.kl / sum.tokens as f64
    };
    let before = divergence(&engine(&quantised));
    let mut model = (*quantised.model).clone();
    let wanted: BTreeSet<_> = sites(&model).into_iter().collect();
    Restorer::new(&float, &quantised, &recipe, mquant::kernels::Cpu::detect())
        .expect("a restorer")
        .restore(&mut model, &wanted, Restored::Float)
        .expect("floats");
    let after = divergence(&engine(&quantised).with_model(Arc::new(model)));
    // What is left is bf16, in which weights are kept, and the codes of keys and values.
    assert!(after < 0.05 * before && after < 1e-4, "{preset}: {after} restored, {before} quantised");
}

#[test]
fn the_spoilt_kind_is_blamed_and_the_advice_is_a_recipe() {
    let dir = tempfile::tempdir().expect("a folder");
    let float = open(&models("demo-stress"));
    let pattern = "language.*.down";
    let recipe = spoilt(pattern);
    let samples = samples(8);
    let quantised = bundle(&float, &recipe, &samples, &dir.path().join(pattern.replace("*", "all")));
    let asked = referenced(&float, &samples);
    let suspect = Suspect { float: &float, quantised: &quantised, recipe: &recipe, engine: EngineOptions::default() };
    let mut told = Vec::new();
    let blame = suspect.blame(&asked, &mut |done, of| {
        told.push((done, of));
        ControlFlow::Continue(())
    });
    let blame = blame.expect("blame").expect("it was not ended");
    assert_eq!(blame.kinds[0].pattern, pattern, "{:#?}", blame.kinds);
    println!("{pattern}: {:.5} nats a token, share {:.3}", blame.kl, blame.kinds[0].share);
    assert!(blame.kinds[0].share > 0.5, "{:#?}", blame.kinds);
    assert_eq!(blame.towers[0].pattern, pattern[..pattern.find('.').expect("a dot")]);
    assert!(told.windows(2).all(|two| two[0].0 + 1 == two[1].0) && told.iter().all(|(done, of)| done <= of));
    // A scale for each row mends it and costs no byte.
    let advice = blame.advice.expect("advice");
    let mended = Recipe::parse(&blame.recipe.expect("a recipe"), "mended.toml").expect("a recipe");
    assert!(mended.to_toml().ends_with(&advice), "{advice}");
    let plan = mended.check(&sites(&float.model)).expect("a plan");
    assert!(plan.sites.iter().all(|site| site.target.input() == InputFormat::PerToken), "{advice}");
    let mut end = |_, _| ControlFlow::Break(());
    assert_eq!(suspect.blame(&asked, &mut end).expect("no error"), None);
}

#[test]
fn a_budget_is_spent_where_it_helps_most() {
    let dir = tempfile::tempdir().expect("a folder");
    let float = open(&models("demo-stress"));
    let mut recipe = Recipe::preset("w4a8-dynamic").expect("a preset");
    recipe.name = "base".to_owned();
    let samples = samples(8);
    let quantised = bundle(&float, &recipe, &samples, &dir.path().join("base"));
    let asked = referenced(&float, &samples);
    let suspect = Suspect { float: &float, quantised: &quantised, recipe: &recipe, engine: EngineOptions::default() };
    let mut go_on = |_, _| ControlFlow::Continue(());
    let mut spend = |budget| suspect.afford(&asked, budget, &mut go_on).expect("an answer").expect("it was not ended");

    let nothing = spend(Budget::Bytes(0));
    assert!(nothing.steps.is_empty() && nothing.bytes == 0 && nothing.drop == nothing.drop_before);
    let all = spend(Budget::Bytes(u64::MAX));
    let half = spend(Budget::Bytes(all.bytes / 2));
    assert!(half.bytes <= all.bytes / 2 && half.bytes > 0);
    // What it costs is told exactly: the bytes of the codes.
    let extended = recipe.extended(&half.steps, &sites(&float.model)).expect("a recipe");
    let mended = bundle(&float, &extended, &samples, &dir.path().join("half"));
    let bytes = |loaded: &LoadedModel| -> u64 {
        loaded.checkpoint.entries().iter().map(|tensor| tensor.bytes.as_ref().len() as u64).sum()
    };
    let grown = bytes(&mended) - bytes(&quantised);
    assert!(grown.abs_diff(half.bytes) * 100 <= half.bytes, "{grown} bytes for {}", half.bytes);

    let reached = spend(Budget::Drop(all.drop + 0.5));
    assert!(reached.is_reached && reached.drop <= all.drop + 0.5);
    assert!(reached.bytes <= all.bytes);
    let never = spend(Budget::Drop(-1.0));
    assert!(!never.is_reached);
}
