//! A trained model in 8-bit weights, activations, keys and values answers as in f32: the integer engine end to end.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mquant::bundle::{InputFormat, SiteQuant, WeightFormat};
use mquant::evaluate::{Answerer, Benchmark, Exam, Graded, recognise};
use mquant::kernels::Bits;
use mquant::quantize::IntFormat;
use mquant::run::{Engine, EngineOptions, LoadOptions, LoadedModel};
use mquant_testkit::bundle::FloatModel;

/// Samples of each benchmark: the float model answers 98 to 100 % of them.
const SAMPLES: usize = 40;

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo")
}

/// Answers to the first samples of every benchmark, and how many are right.
fn answers(model: &Path) -> (Vec<String>, f64) {
    let loaded =
        LoadedModel::open(model.to_str().expect("a path in UTF-8"), &LoadOptions::in_process()).expect("a model");
    let engine = Engine::new(&loaded, EngineOptions::default()).expect("an engine");
    let mut files: Vec<PathBuf> = std::fs::read_dir(demo().join("bench"))
        .expect("the benchmarks")
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "tsv"))
        .collect();
    files.sort();
    let (mut texts, mut scores) = (Vec::new(), 0.0);
    for file in &files {
        let benchmark = Benchmark::open(file).expect("a benchmark");
        let known = recognise(benchmark.name()).expect("a bundled benchmark");
        let exam = Exam { benchmark: &benchmark, known, limit: Some(SAMPLES) };
        let who = Answerer { loaded: &loaded, engine: &engine, max_tokens: known.max_new_tokens, batch: 32 };
        let lines = exam.answer(&who, Vec::new(), &mut |_| Ok(ControlFlow::Continue(()))).expect("answers");
        scores += Graded::alone(exam, &lines).score().expect("a score").value / files.len() as f64;
        texts.extend(lines.into_iter().map(|line| line.prediction));
    }
    (texts, scores)
}

#[test]
fn eight_bits_answer_as_f32_does() {
    let dir = tempfile::tempdir().expect("a folder");
    let bundle = dir.path().join("w8a8");
    let float = FloatModel::open(&demo());
    let weight = WeightFormat::Int(IntFormat::per_channel(Bits::Eight));
    float.write(&bundle, &float.quantization(|_| SiteQuant::new(weight, InputFormat::PerToken)), 1.0);
    let (float, float_score) = answers(&demo());
    let (int, int_score) = answers(&bundle);
    let differing = float.iter().zip(&int).filter(|(a, b)| a != b).count();
    println!("{} answers, {differing} differ; score {float_score:.2} in f32, {int_score:.2} in 8 bits", float.len());
    assert!(int_score >= float_score - 1.0, "score {int_score} in 8 bits, {float_score} in f32");
    assert!(differing * 50 <= float.len(), "{differing} of {} answers differ", float.len());
}
