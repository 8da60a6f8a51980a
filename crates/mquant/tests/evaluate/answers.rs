//! Answers to a benchmark are those of the plain generation loop, however samples are batched.

use std::ops::ControlFlow;
use std::path::Path;

use mquant::evaluate::{AnswerLine, Answerer, Benchmark, Exam, Known, metric};
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
    let known = Known { max_new_tokens: 10, ..Known::declared(metric("exact_match").unwrap()) };
    for batch in [1, 3, 5, 8] {
        let mut told: Vec<usize> = Vec::new();
        let exam = Exam { benchmark: &benchmark, known: &known, limit: None };
        let who = Answerer { loaded: &loaded, engine: &engine, max_tokens: 10, batch };
        let lines = exam.answer(&who, Vec::new(), &mut |line| {
            told.push(line.doc_id);
            Ok(ControlFlow::Continue(()))
        });
        let lines = lines.unwrap();
        let texts: Vec<&str> = lines.iter().map(|line| line.prediction.as_str()).collect();
        assert_eq!(texts, plain.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), "batch {batch}");
        let ended = lengths.iter().filter(|n| **n < 10).count();
        let tokens: usize = lines.iter().map(|line| line.answer_tokens).sum();
        assert_eq!(tokens, lengths.iter().sum::<usize>() + ended);
        assert!(lines.iter().enumerate().all(|(i, line)| line.doc_id == i && line.index == i.to_string()));
        told.sort_unstable();
        assert_eq!(told, (0..8).collect::<Vec<_>>());
    }
}

#[test]
fn what_was_answered_is_not_asked_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/qwen2_vl_published");
    let loaded = LoadedModel::open(folder.to_str().unwrap(), &LoadOptions::in_process()).unwrap();
    let engine = Engine::new(&loaded, EngineOptions { threads: 2, ..EngineOptions::default() }).unwrap();
    let benchmark = benchmark(&folder);
    let known = Known { max_new_tokens: 4, ..Known::declared(metric("exact_match").unwrap()) };
    let exam = |limit| Exam { benchmark: &benchmark, known: &known, limit };
    let who = Answerer { loaded: &loaded, engine: &engine, max_tokens: 4, batch: 3 };
    let go_on = |_: &AnswerLine| Ok(ControlFlow::Continue(()));
    let whole = exam(None).answer(&who, Vec::new(), &mut { go_on }).unwrap();
    for stop in 1..8 {
        let mut kept: Vec<AnswerLine> = Vec::new();
        let ended = exam(None).answer(&who, Vec::new(), &mut |line| {
            kept.push(line.clone());
            Ok(if kept.len() == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        assert_eq!((ended.unwrap().len(), kept.len()), (stop, stop));
        let mut asked = 0;
        let rest = exam(None).answer(&who, kept, &mut |_| {
            asked += 1;
            Ok(ControlFlow::Continue(()))
        });
        let without_time = |line: &AnswerLine| AnswerLine { seconds: 0.0, ..line.clone() };
        let of = |lines: &[AnswerLine]| lines.iter().map(without_time).collect::<Vec<_>>();
        assert_eq!((of(&rest.unwrap()), asked), (of(&whole), 8 - stop), "stopped after {stop}");
    }
    assert_eq!(exam(Some(5)).answer(&who, whole, &mut { go_on }).unwrap().len(), 5);
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
    let known = Known::declared(metric("exact_match").unwrap());
    let exam = Exam { benchmark: &benchmark, known: &known, limit: None };
    let who = Answerer { loaded: &loaded, engine: &engine, max_tokens: 4, batch: 2 };
    // One of one is borne and told.
    let mut told = Vec::new();
    let mut keep = |line: &AnswerLine| {
        told.push(line.clone());
        Ok(ControlFlow::Continue(()))
    };
    assert_eq!(exam.answer(&who, Vec::new(), &mut keep).unwrap(), told);
    assert_eq!(told.len(), 1);
    assert!(told[0].problem.is_some() && told[0].index == "q-17" && told[0].score == 0.0);
    // Two of three are too many.
    let whole = STANDARD.encode(std::fs::read(folder.join("two-0.png")).unwrap());
    let cut = STANDARD.encode(cut);
    let rows = [("a", &cut), ("b", &whole), ("c", &cut)].map(|(index, image)| format!("{index}\t{image}\tWhat?\tx\n"));
    let benchmark = read(&format!("index\timage\tquestion\tanswer\n{}", rows.concat()));
    let exam = Exam { benchmark: &benchmark, known: &known, limit: None };
    let wrong = exam.answer(&who, Vec::new(), &mut |_| Ok(ControlFlow::Continue(()))).unwrap_err();
    assert!(wrong.to_string().starts_with("Tiny: 2 of 3 samples cannot be asked"), "{wrong}");
    assert!(wrong.to_string().contains("a: ") && wrong.to_string().contains("c: "), "{wrong}");
    assert_eq!(wrong.class(), mquant::Class::Input);
}

#[test]
fn sounds_are_put_to_models_that_hear() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let sound = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audio/files/mono.mp3");
    let sound = STANDARD.encode(std::fs::read(sound).unwrap());
    let picture = STANDARD.encode(std::fs::read(goldens.join("qwen2_vl/two-0.png")).unwrap());
    let benchmark = read(&format!(
        "index\timage\taudio\tquestion\tanswer\n0\t\t{sound}\tWhat is said?\tx\n1\t{picture}\t{sound}\tWhat?\tx\n"
    ));
    let known = Known { max_new_tokens: 3, ..Known::declared(metric("wer").unwrap()) };
    let exam = Exam { benchmark: &benchmark, known: &known, limit: None };
    let answer = |model: &str| {
        let loaded = LoadedModel::open(goldens.join(model).to_str().unwrap(), &LoadOptions::in_process()).unwrap();
        let engine = Engine::new(&loaded, EngineOptions { threads: 1, ..EngineOptions::default() }).unwrap();
        let who = Answerer { loaded: &loaded, engine: &engine, max_tokens: 3, batch: 2 };
        exam.answer(&who, Vec::new(), &mut |_| Ok(ControlFlow::Continue(())))
    };
    let lines = answer("qwen2_5_omni").unwrap();
    assert!(lines.iter().all(|line| line.problem.is_none() && line.answer_tokens > 0), "{lines:?}");
    assert!(lines[1].prompt_tokens > lines[0].prompt_tokens, "{lines:?}");
    let deaf = answer("qwen2_vl").unwrap_err();
    assert_eq!((deaf.code(), deaf.class()), ("BENCHMARK_AUDIO", mquant::Class::Unsupported));
    assert_eq!(deaf.to_string(), "Tiny has sounds, and the model reads no sound");
}
