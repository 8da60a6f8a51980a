//! A bundle of format version 1, made by the first release of the format, loads and gives the bits it gave then.

use std::path::Path;

use mquant::bundle::PackedCache;
use mquant::input::AddGenerationPrompt;
use mquant::kernels::{Cpu, Level};
use mquant::run::{Engine, EngineOptions, LoadOptions, LoadedModel};
use mquant_testkit::golden::GoldenFolder;
use sha2::{Digest, Sha256};

use super::folder::golden;

/// SHA-256 of the logits of the case `turns`, row by row, by the scalar kernels.
const LOGITS: &str = "2d7dc2fc9d8cf9cedb8ed0f707a1389efbcddc2946c8fb0b3eb687e15c971cad";

#[test]
fn a_bundle_of_version_1_gives_the_same_bits() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format_1");
    let options = LoadOptions { packed_cache: PackedCache::Disabled, ..LoadOptions::in_process() };
    let loaded = LoadedModel::open(dir.to_str().unwrap(), &options).unwrap();
    let messages = GoldenFolder::new(golden("qwen2_vl")).messages("turns");
    let prompt = loaded.prepare(&messages, AddGenerationPrompt::Yes).unwrap();
    let cpu = Cpu::detect().capped(Level::Scalar).unwrap();
    let engine = Engine::new(&loaded, EngineOptions { threads: 2, cpu, ..EngineOptions::default() }).unwrap();
    let mut hash = Sha256::new();
    let logits = engine.all_logits(&prompt).unwrap();
    logits.as_slice().iter().for_each(|value| hash.update(value.to_le_bytes()));
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(found, LOGITS);
}
