//! Several threads share one engine: each gets what it would get alone, and none waits for ever.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use mquant::bundle::{InputFormat, SiteQuant, WeightFormat};
use mquant::kernels::Bits;
use mquant::quantize::IntFormat;
use mquant::run::{Engine, LoadOptions, LoadedModel, Prompt};

use super::{argmax, engine, prepare};
use crate::bundle::FloatModel;
use crate::golden::GoldenFolder;

/// Callers at once.
const CALLERS: usize = 8;
/// Answers of each caller.
const ANSWERS: usize = 6;
/// Far more than the answers take: a deadlock fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(300);

/// Callers of a float, a weight-only and an integer model get the bits that they get alone; sequences that are given up in the middle
/// and prompts that are refused disturb nobody.
///
/// # Panics
/// If a caller gets something else, or nothing.
pub fn threads_share_an_engine(folder: &GoldenFolder) {
    let dir = tempfile::tempdir().expect("a folder for the bundles");
    let float = FloatModel::open(folder.dir());
    let bundle = |name: &str, input| {
        let weight = WeightFormat::Int(IntFormat::per_channel(Bits::Eight));
        let path = dir.path().join(name);
        float.write(&path, &float.quantization(|_| SiteQuant::new(weight, input)), 0.02);
        LoadedModel::open(path.to_str().expect("a path in UTF-8"), &LoadOptions::in_process()).expect("a bundle")
    };
    let models = [
        ("float", folder.load()),
        ("weight-only", bundle("weight-only", InputFormat::Float)),
        ("integer", bundle("integer", InputFormat::PerToken)),
    ];
    for (name, loaded) in models {
        let cases = folder.cases();
        let prompts: Arc<Vec<Prompt>> =
            Arc::new(cases.iter().map(|case| prepare(&loaded, &folder.messages(case))).collect());
        let engine = Arc::new(engine(&loaded, 64));
        let alone: Arc<Vec<Vec<u32>>> = Arc::new(prompts.iter().map(|prompt| answer(&engine, prompt)).collect());
        let (done, finished) = channel();
        for caller in 0..CALLERS {
            let (engine, prompts, alone, done) = (engine.clone(), prompts.clone(), alone.clone(), done.clone());
            std::thread::spawn(move || {
                let equal = (caller..caller + ANSWERS).all(|at| {
                    let at = at % prompts.len();
                    // A sequence that is given up.
                    let mut given_up = engine.sequence();
                    let _ = engine.prefill(&mut given_up, &prompts[at]);
                    drop(given_up);
                    // One that is refused.
                    let mut too_long = prompts[at].clone();
                    too_long.extend_text(&vec![0; engine.context()]);
                    let refused = engine.prefill(&mut engine.sequence(), &too_long).is_err();
                    refused && answer(&engine, &prompts[at]) == alone[at]
                });
                let _ = done.send(equal);
            });
        }
        drop(done);
        for _ in 0..CALLERS {
            let equal =
                finished.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{name}: a caller never came back: {e}"));
            assert!(equal, "{name}: a caller got another answer than alone");
        }
    }
}

/// Bits of the logits after a prompt, and after some greedy tokens.
fn answer(engine: &Engine, prompt: &Prompt) -> Vec<u32> {
    let mut sequence = engine.sequence();
    let mut logits = engine.prefill(&mut sequence, prompt).expect("logits");
    let mut bits = Vec::new();
    for _ in 0..4 {
        bits.extend(logits.iter().map(|value| value.to_bits()));
        let id = argmax(&logits);
        logits = engine.decode(&mut [&mut sequence], &[id]).expect("logits").into_vec();
    }
    bits
}
