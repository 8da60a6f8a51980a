//! One step serves sequences that decode, read their prompt, and fail; none is touched by another.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mquant::Explain;
use mquant::bundle::{InputFormat, SiteQuant, WeightFormat};
use mquant::kernels::{Bits, Matrix, Rows};
use mquant::nn::{Attention, ForwardContext, Layer, Part, PartId, Reader, ScalePair, SiteMut, Writer};
use mquant::quantize::IntFormat;
use mquant::run::{Batch, Engine, Input, LoadOptions, LoadedModel, Prompt, Sequence, StepItem, Stepped};

use super::golden::greedy_batch;
use super::{argmax, distance, engine, prepare};
use crate::bundle::FloatModel;
use crate::golden::GoldenFolder;

/// Rows of prompts in a step: prompts of the goldens take several.
const CHUNK: usize = 24;
/// How far logits may be from those computed alone, in standard deviations: a float product depends on its rows' places.
const FLOAT: f64 = 1e-4;

/// A step gives each sequence what it would get alone, float within rounding and integers to the bit, while others decode,
/// read their prompts, do not fit the context, or have logits that are not finite.
///
/// # Panics
/// If it does not.
pub fn sequences_of_a_step_stand_alone(folder: &GoldenFolder) {
    let dir = tempfile::tempdir().expect("a folder for the bundle");
    let float = FloatModel::open(folder.dir());
    let weight = WeightFormat::Int(IntFormat::per_channel(Bits::Eight));
    let path = dir.path().join("integer");
    float.write(&path, &float.quantization(|_| SiteQuant::new(weight, InputFormat::PerToken)), 0.02);
    let integer =
        LoadedModel::open(path.to_str().expect("a path in UTF-8"), &LoadOptions::in_process()).expect("a bundle");
    for (mut loaded, bound) in [(folder.load(), FLOAT), (integer, 0.0)] {
        let cases = folder.cases();
        let prompts: Vec<Prompt> = cases.iter().map(|case| prepare(&loaded, &folder.messages(case))).collect();
        let answers = greedy_batch(&engine(&loaded, CHUNK), &prompts, ANSWER).concat();
        let poison = poisoned(&mut loaded, &prompts, &answers);
        let engine = engine(&loaded, CHUNK);
        let alone: Vec<Vec<Vec<f32>>> = prompts.iter().map(|prompt| answer_alone(&engine, prompt)).collect();

        let mut too_long = prompts[0].clone();
        too_long.extend_text(&vec![0; engine.context()]);
        let mut bad = prompts[0].clone();
        bad.extend_text(&[poison]);
        let mut members: Vec<Member> = Vec::new();
        let mut steps = 0;
        let mut failures = Vec::new();
        // One joins a step: the first decode while the last read.
        while steps < prompts.len() + 2 || !members.is_empty() {
            let joins = match steps {
                _ if steps < prompts.len() => Some((steps, &prompts[steps])),
                _ if steps == prompts.len() => Some((usize::MAX, &too_long)),
                _ if steps == prompts.len() + 1 => Some((usize::MAX, &bad)),
                _ => None,
            };
            members.extend(joins.map(|(key, prompt)| Member::new(key, engine.sequence(), prompt)));
            steps += 1;
            let mut items: Vec<StepItem<'_>> = members
                .iter_mut()
                .map(|member| StepItem { sequence: &mut member.sequence, input: member.input })
                .collect();
            let (stepped, _) = engine.step(&mut items);
            let mut still = Vec::new();
            for (mut member, stepped) in members.into_iter().zip(stepped) {
                match stepped {
                    Ok(Stepped::Prefilling) => still.push(member),
                    Ok(Stepped::Logits(logits)) => {
                        member.input = Input::Token(argmax(&logits));
                        member.logits.push(logits);
                        if member.key == usize::MAX || member.logits.len() < ANSWER {
                            still.push(member);
                        } else {
                            let away = away(&member.logits, &alone[member.key]);
                            assert!(away <= bound, "case {}: logits moved by {away:e} among others", member.key);
                        }
                    }
                    Err(e) => failures.push(e.code()),
                }
            }
            members = still;
            assert!(steps < 10_000, "the steps come to an end");
        }
        assert_eq!(failures, ["CONTEXT_EXCEEDED", "ACTIVATIONS_NOT_FINITE"]);
    }
}

/// Sequences of a [`Batch`] answer as alone while one is cancelled, which is asked about no more.
///
/// # Panics
/// If they do not.
pub fn a_cancelled_sequence_disturbs_nobody(folder: &GoldenFolder) {
    let loaded = folder.load();
    let cases = folder.cases();
    let prompts: Vec<Prompt> = cases.iter().map(|case| prepare(&loaded, &folder.messages(case))).collect();
    let engine = engine(&loaded, CHUNK);
    let cancelled = 0;
    let mut batch: Batch<'_, Sequence, &Prompt> = Batch::new(&engine);
    let mut logits: Vec<Vec<Vec<f32>>> = vec![Vec::new(); prompts.len()];
    for (key, prompt) in prompts.iter().enumerate() {
        batch.push(key, engine.sequence(), Input::Prompt(prompt));
    }
    while !batch.is_empty() {
        let stepped: Result<_, mquant::run::RunError> = batch.step(&mut |key, _, row| {
            let row = row?;
            let id = argmax(&row);
            logits[key].push(row);
            Ok((logits[key].len() < ANSWER).then_some(id))
        });
        stepped.expect("a step");
        if logits[cancelled].len() == 1 {
            let before = batch.len();
            batch.cancel(cancelled);
            assert_eq!(batch.len(), before - 1, "one sequence is cancelled");
            logits[cancelled].push(Vec::new());
        }
    }
    assert_eq!(logits[cancelled].len(), 2, "a cancelled sequence went on");
    for (key, prompt) in prompts.iter().enumerate().filter(|(key, _)| *key != cancelled) {
        let away = away(&logits[key], &answer_alone(&engine, prompt));
        assert!(away <= FLOAT, "case {key}: logits moved by {away:e} among others");
    }
}

/// After a panic in the middle of a step, caught by the caller, sequences go on as if the step had not been tried.
///
/// # Panics
/// If they do not.
pub fn a_caught_panic_changes_nothing(folder: &GoldenFolder) {
    let mut loaded = folder.load();
    let cases = folder.cases();
    let prompts: Vec<Prompt> = cases.iter().map(|case| prepare(&loaded, &folder.messages(case))).collect();
    let armed = Arc::new(AtomicBool::new(false));
    let mut model = mquant::models::Model::clone(&loaded.model);
    let last = model.decoder.layers.pop().expect("a decoder has blocks");
    model.decoder.layers.push(Box::new(Faulty { inner: last, armed: armed.clone() }));
    loaded.model = Arc::new(model);
    let engine = engine(&loaded, CHUNK);
    for prompt in &prompts {
        let undisturbed = answer_alone(&engine, prompt);
        let mut sequence = engine.sequence();
        let mut input = Input::Prompt(prompt);
        let mut logits = Vec::new();
        while logits.len() < ANSWER {
            let before = sequence.len();
            armed.store(true, Ordering::Relaxed);
            let mut step = || engine.step(&mut [StepItem { sequence: &mut sequence, input }]).0.remove(0);
            assert!(catch_unwind(AssertUnwindSafe(&mut step)).is_err(), "the last block panics");
            armed.store(false, Ordering::Relaxed);
            let stepped = step().expect("a step");
            assert!(sequence.len() > before, "a step computes rows");
            if let Stepped::Logits(row) = stepped {
                input = Input::Token(argmax(&row));
                logits.push(row);
            }
        }
        assert_eq!(logits, undisturbed, "a panic left something behind");
    }
}

/// Logits of an answer that are compared.
const ANSWER: usize = 4;

struct Member<'p> {
    key: usize,
    sequence: Sequence,
    input: Input<&'p Prompt>,
    logits: Vec<Vec<f32>>,
}

impl<'p> Member<'p> {
    fn new(key: usize, sequence: Sequence, prompt: &'p Prompt) -> Self {
        Self { key, sequence, input: Input::Prompt(prompt), logits: Vec::new() }
    }
}

fn answer_alone(engine: &Engine, prompt: &Prompt) -> Vec<Vec<f32>> {
    let mut sequence = engine.sequence();
    let mut logits = vec![engine.prefill(&mut sequence, prompt).expect("logits")];
    while logits.len() < ANSWER {
        let id = argmax(logits.last().expect("the first"));
        logits.push(engine.decode(&mut [&mut sequence], &[id]).expect("logits").into_vec());
    }
    logits
}

fn away(ours: &[Vec<f32>], theirs: &[Vec<f32>]) -> f64 {
    let rows = |logits: &[Vec<f32>]| Rows::from_vec(logits.concat(), logits[0].len());
    if ours == theirs { 0.0 } else { distance(&rows(ours), &rows(theirs)).max(f64::MIN_POSITIVE) }
}

/// Makes the embedding of a token that neither prompts nor answers have no number, and returns the token.
fn poisoned(loaded: &mut LoadedModel, prompts: &[Prompt], answers: &[u32]) -> u32 {
    let mut model = mquant::models::Model::clone(&loaded.model);
    let table = &model.decoder.embedding.0;
    let unused = |id: &u32| !answers.contains(id) && prompts.iter().all(|prompt| !prompt.ids.contains(id));
    let poison = (1..table.rows() as u32).rev().find(unused).expect("a token that no prompt has");
    let mut values = table.to_f32();
    values[poison as usize * table.cols()] = f32::NAN;
    model.decoder.embedding.0 = Matrix::from_f32(values, table.rows(), table.cols());
    loaded.model = Arc::new(model);
    poison
}

/// A layer that panics after its work while it is armed: its rows are in the cache then.
#[derive(Clone, Debug)]
struct Faulty {
    inner: Box<dyn Layer>,
    armed: Arc<AtomicBool>,
}

impl Part for Faulty {
    fn id(&self) -> PartId {
        self.inner.id()
    }

    fn sites(&mut self) -> Vec<SiteMut<'_>> {
        self.inner.sites()
    }

    fn readers(&mut self) -> Vec<Reader<'_>> {
        self.inner.readers()
    }

    fn writers(&mut self) -> Vec<Writer<'_>> {
        self.inner.writers()
    }

    fn pairs(&mut self) -> Vec<ScalePair<'_>> {
        self.inner.pairs()
    }

    fn attention(&mut self) -> Option<&mut Attention> {
        self.inner.attention()
    }
}

impl Layer for Faulty {
    fn forward(&self, x: Rows, cx: &mut ForwardContext<'_>) -> Rows {
        let x = self.inner.forward(x, cx);
        assert!(!self.armed.load(Ordering::Relaxed), "the fault that the law plants");
        x
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}
