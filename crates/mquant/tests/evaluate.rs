//! Answers to a benchmark are those of the plain generation loop, however samples are batched.

use std::ops::ControlFlow;
use std::path::Path;

use mquant::evaluate::{AnswerOptions, Benchmark, evaluate};
use mquant::input::AddGenerationPrompt;
use mquant::run::{
    Engine, EngineOptions, GenerateOptions, Generator, LoadOptions, LoadedModel, Sampler, SamplerOptions,
};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A benchmark of that text.
fn read(text: &str) -> Benchmark {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("Tiny.tsv");
    std::fs::write(&path, text).expect("a file");
    Benchmark::open(&path).expect("a benchmark")
}

fn benchmark(folder: &Path) -> Benchmark {
    let image = |name: &str| STANDARD.encode(std::fs::read(folder.join(name)).expect("a readable file"));
    let images = [image("two-0.png"), image("turns-1.png"), image("two-1.png")];
    let questions = ["What?", "How many signs are there?", "Which colour is the largest shape?", "a", "b c d e"];
    let rows = (0..8).map(|i| format!("{i}\t{}\t{} {i}\tx\n", images[i % 3], questions[i % 5]));
    let text = format!("index\timage\tquestion\tanswer\n{}", rows.collect::<String>());
    read(&text)
}

#[test]
fn batches_do_not_change_answers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/qwen2_vl_published");
    let options = LoadOptions::in_process();
    let mut loaded = LoadedModel::open(folder.to_str().unwrap(), &options).unwrap();
    // A random model hardly ever gives an end token: many make answers end at different lengths.
    loaded.generation.eos_token_ids = (0..768).step_by(6).collect();
    let engine = Engine::new(&loaded, EngineOptions { threads: 2, ..EngineOptions::default() }).unwrap();
    let benchmark = benchmark(&folder);
    let plain: Vec<(String, usize)> = (0..benchmark.questions().len())
        .map(|i| {
            let prompt = loaded.prepare(&benchmark.messages(i).unwrap(), AddGenerationPrompt::Yes).unwrap();
            let options = GenerateOptions {
                max_tokens: Some(10),
                end_tokens: loaded.generation.eos_token_ids.clone(),
                ..GenerateOptions::default()
            };
            let mut sampler = Sampler::new(SamplerOptions::GREEDY).unwrap();
            let mut sink = |_: &str| ControlFlow::Continue(());
            let mut sequence = engine.sequence();
            let (loaded, engine) = (&loaded, &engine);
            let mut generator = Generator { loaded, engine, sampler: &mut sampler, options: &options };
            let said = generator.answer(&mut sequence, &prompt, &mut sink).unwrap();
            (said.text.trim().to_owned(), said.ids.len())
        })
        .collect();
    let lengths: Vec<usize> = plain.iter().map(|(_, tokens)| *tokens).collect();
    assert!(lengths.contains(&10) || lengths.iter().min() != lengths.iter().max(), "{lengths:?}");
    for batch in [1, 3, 8] {
        let mut told = Vec::new();
        let options = AnswerOptions { max_tokens: 10, batch, ..AnswerOptions::default() };
        let mut watch = |n| {
            told.push(n);
            ControlFlow::Continue(())
        };
        let done = evaluate(&loaded, &engine, &benchmark, &options, &mut watch).unwrap();
        let texts: Vec<&str> = done.answers.iter().map(|a| a.text.as_str()).collect();
        assert_eq!(texts, plain.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), "batch {batch}");
        let ended = lengths.iter().filter(|n| **n < 10).count();
        assert_eq!(done.answer_tokens, lengths.iter().sum::<usize>() + ended);
        assert_eq!(told.last(), Some(&8));
        assert_eq!(told.len(), 8usize.div_ceil(batch));
    }
    let mut stop = |_| ControlFlow::Break(());
    let options = AnswerOptions { batch: 2, limit: Some(5), ..AnswerOptions::default() };
    assert_eq!(evaluate(&loaded, &engine, &benchmark, &options, &mut stop).unwrap().answers.len(), 2);
    let mut go_on = |_| ControlFlow::Continue(());
    assert_eq!(evaluate(&loaded, &engine, &benchmark, &options, &mut go_on).unwrap().answers.len(), 5);
}

#[test]
fn a_sample_that_cannot_be_answered_is_named() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/qwen2_vl_published");
    let options = LoadOptions::in_process();
    let loaded = LoadedModel::open(folder.to_str().unwrap(), &options).unwrap();
    let engine = Engine::new(&loaded, EngineOptions { threads: 1, ..EngineOptions::default() }).unwrap();
    // A header of a picture, and nothing of it.
    let cut = &std::fs::read(folder.join("two-0.png")).unwrap()[..60];
    let benchmark = read(&format!("index\timage\tquestion\tanswer\nq-17\t{}\tWhat?\tx\n", STANDARD.encode(cut)));
    let mut watch = |_| ControlFlow::Continue(());
    let wrong = evaluate(&loaded, &engine, &benchmark, &AnswerOptions::default(), &mut watch).unwrap_err();
    assert!(wrong.to_string().starts_with("Tiny: sample q-17: "), "{wrong}");
    assert_eq!(wrong.class(), mquant::Class::Input);
}
