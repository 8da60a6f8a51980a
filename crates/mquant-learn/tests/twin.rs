//! The twin computes what the block computes, for every block of every family's golden models.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and prints what it found")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use mquant_kernels::Rows;
use mquant_learn::Twin;
use mquant_model::input::{AddGenerationPrompt, messages};
use mquant_model::models::Model;
use mquant_model::nn::{Block, Deepstack, ForwardBatch, ForwardContext, Layer, Part, PartId, SiteMut};
use mquant_model::run::{Engine, EngineOptions, LoadOptions, LoadedModel};

/// What entered a block, what left it, and what the rows were.
type Seen = (Block, Rows, Rows, ForwardBatch);

/// A block that notes its passes.
#[derive(Clone, Debug)]
struct Noting {
    block: Box<dyn Layer>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Part for Noting {
    fn id(&self) -> PartId {
        self.block.id()
    }

    fn sites(&mut self) -> Vec<SiteMut<'_>> {
        self.block.sites()
    }
}

impl Layer for Noting {
    fn forward(&self, x: Rows, cx: &mut ForwardContext<'_>) -> Rows {
        let y = self.block.forward(x.clone(), cx);
        if let Some(block) = self.block.block() {
            self.seen.lock().unwrap().push((block.clone(), x, y.clone(), copy(cx.pass)));
        }
        y
    }

    fn is_branch(&self) -> bool {
        self.block.is_branch()
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

fn copy(pass: &ForwardBatch) -> ForwardBatch {
    let Deepstack { rows, features } = &pass.deepstack;
    ForwardBatch {
        sequences: pass.sequences.clone(),
        windows: pass.windows.clone(),
        order: pass.order.clone(),
        spans: pass.spans.clone(),
        rope: pass.rope.clone(),
        deepstack: Deepstack { rows: rows.clone(), features: features.clone() },
        ..ForwardBatch::default()
    }
}

/// Passes of all blocks of a golden model over one case.
fn passes(folder: &str, case: &str) -> Vec<Seen> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mquant/tests/goldens").join(folder);
    let mut loaded = LoadedModel::open(dir.to_str().unwrap(), &LoadOptions::in_process()).unwrap();
    let text = std::fs::read_to_string(dir.join(format!("{case}.messages.json"))).unwrap();
    let messages = messages::parse(&text, &dir, case).unwrap();
    let prompt = loaded.prepare(&messages, AddGenerationPrompt::Yes).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut model = Model::clone(&loaded.model);
    let encoders = model.encoders.iter_mut().flat_map(|encoder| &mut encoder.layers);
    for layer in encoders.chain(&mut model.decoder.layers).filter(|layer| layer.block().is_some()) {
        *layer = Box::new(Noting { block: layer.clone(), seen: seen.clone() });
    }
    loaded.model = Arc::new(model);
    let options = EngineOptions { threads: 2, chunk: 1024, ..EngineOptions::default() };
    Engine::new(&loaded, options).unwrap().all_logits(&prompt).unwrap();
    drop(loaded);
    std::mem::take(&mut *seen.lock().unwrap())
}

/// Largest difference of what the blocks add, in standard deviations of what leaves them.
fn distance(ours: &Rows, reference: &Rows) -> f64 {
    let n = reference.as_slice().len() as f64;
    let mean = reference.as_slice().iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let variance = reference.as_slice().iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
    let differences = ours.as_slice().iter().zip(reference.as_slice()).map(|(a, b)| f64::from((a - b).abs()));
    differences.fold(0.0, |most: f64, d| if d.is_nan() { f64::INFINITY } else { most.max(d) }) / variance.sqrt()
}

fn equals_the_blocks(folder: &str, case: &str, towers: usize) {
    let passes = passes(folder, case);
    let mut worst = std::collections::BTreeMap::<_, f64>::new();
    for (block, x, y, pass) in &passes {
        let twin = Twin::new(block).unwrap();
        let found = distance(&twin.forward(x, pass).unwrap(), y);
        let worst = worst.entry(block.id().tower).or_default();
        *worst = worst.max(found);
    }
    println!("{folder}: {} passes, standard deviations {worst:?}", passes.len());
    assert_eq!(worst.len(), towers, "{folder}: towers with blocks");
    assert!(worst.values().all(|worst| *worst < 1e-5), "{folder}: {worst:?}");
}

#[test]
fn twins_of_qwen2_vl() {
    equals_the_blocks("qwen2_vl", "two", 2);
    equals_the_blocks("qwen2_vl_published", "two", 2);
}

#[test]
fn twins_of_qwen2_5_vl() {
    equals_the_blocks("qwen2_5_vl", "two", 2);
    equals_the_blocks("qwen2_5_vl_published", "two", 2);
}

#[test]
fn twins_of_qwen3_vl() {
    equals_the_blocks("qwen3_vl", "two", 2);
    equals_the_blocks("qwen3_vl_published", "two", 2);
}

#[test]
fn twins_of_qwen2_5_omni() {
    equals_the_blocks("qwen2_5_omni", "audio-image", 3);
    equals_the_blocks("qwen2_5_omni_published", "sounding", 3);
}
