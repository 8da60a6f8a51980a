//! A model's answers to a benchmark: several samples computed together, each until its own end.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::{Benchmark, EvaluateError, METRICS, Metric};
use crate::error::Result;
use crate::input::{AddGenerationPrompt, SkipSpecial};
use crate::run::{Engine, LoadedModel, Prompt, RunError, Sequence, best};

/// How to answer.
#[derive(Clone, Copy, Debug)]
pub struct AnswerOptions {
    /// Most tokens of an answer; at least 1.
    pub max_tokens: usize,
    /// Samples computed together; at least 1. Answers do not depend on it.
    pub batch: usize,
    /// Samples answered, from the first; None answers all.
    pub limit: Option<usize>,
    /// How answers are judged.
    pub metric: &'static dyn Metric,
}

impl Default for AnswerOptions {
    fn default() -> Self {
        Self { max_tokens: 24, batch: 32, limit: None, metric: METRICS[0] }
    }
}

/// What a model said to one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Without outer white space.
    pub text: String,
    /// From 0 to 1, by the metric asked for.
    pub score: f64,
}

/// A model's answers to a benchmark.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// To the benchmark's samples, from the first.
    pub answers: Vec<Answer>,
    /// Tokens of all prompts.
    pub prompt_tokens: usize,
    /// Tokens of all answers, end tokens among them.
    pub answer_tokens: usize,
    /// Time from the first picture to the last token.
    pub duration: Duration,
}

impl Evaluation {
    /// Mean score in percent; 0 without answers.
    pub fn score(&self) -> f64 {
        100.0 * self.answers.iter().map(|a| a.score).sum::<f64>() / self.answers.len().max(1) as f64
    }

    /// Tokens of answers for each second.
    pub fn tokens_per_s(&self) -> f64 {
        self.answer_tokens as f64 / self.duration.as_secs_f64().max(1e-9)
    }
}

/// Answers a benchmark, greedily. `watch` is told how many samples are answered, and may end it early.
///
/// # Errors
/// A sample's picture, prompt or scores are wrong; the error names it.
pub fn evaluate(
    loaded: &LoadedModel,
    engine: &Engine,
    benchmark: &Benchmark,
    options: &AnswerOptions,
    watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Evaluation> {
    let started = Instant::now();
    let count = options.limit.unwrap_or(usize::MAX).min(benchmark.questions().len());
    let mut done = Evaluation { answers: Vec::new(), prompt_tokens: 0, answer_tokens: 0, duration: Duration::ZERO };
    let all: Vec<usize> = (0..count).collect();
    for batch in all.chunks(options.batch.max(1)) {
        let question = |i: usize| &benchmark.questions()[i];
        let named = |i: usize, source| EvaluateError::Sample {
            benchmark: benchmark.name().to_owned(),
            index: question(i).index.chars().take(40).collect(),
            source,
        };
        let prompts = batch.iter().map(|i| {
            let messages = benchmark.messages(*i)?;
            Ok(loaded.prepare(&messages, AddGenerationPrompt::Yes).map_err(|e| named(*i, e))?)
        });
        let prompts = prompts.collect::<Result<Vec<Prompt>>>()?;
        let greedy =
            Greedy { engine, max_tokens: options.max_tokens.max(1), end_tokens: &loaded.generation.eos_token_ids };
        let answered = greedy.answer(&prompts).map_err(|e| named(batch[0], e.into()))?;
        done.prompt_tokens += prompts.iter().map(|p| p.ids.len()).sum::<usize>();
        for (i, (ids, tokens)) in batch.iter().zip(answered) {
            let text = loaded.tokenizer.decode(&ids, SkipSpecial::Yes).map_err(|e| named(*i, e.into()))?;
            let text = text.trim().to_owned();
            let score = options.metric.score(&text, question(*i));
            done.answers.push(Answer { text, score });
            done.answer_tokens += tokens;
        }
        if watch(done.answers.len()).is_break() {
            break;
        }
    }
    done.duration = started.elapsed();
    Ok(done)
}

/// Always the best token.
struct Greedy<'a> {
    engine: &'a Engine,
    max_tokens: usize,
    end_tokens: &'a [u32],
}

impl Greedy<'_> {
    /// For each prompt the tokens of its answer, and their number with the end token.
    fn answer(&self, prompts: &[Prompt]) -> Result<Vec<(Vec<u32>, usize)>, RunError> {
        let mut sequences: Vec<Sequence> = prompts.iter().map(|_| self.engine.sequence()).collect();
        let mut answers = vec![(Vec::new(), 0); prompts.len()];
        let mut all: Vec<&mut Sequence> = sequences.iter_mut().collect();
        let mut scores = self.engine.prefill_batch(&mut all, &prompts.iter().collect::<Vec<_>>())?;
        let mut open: Vec<(usize, &mut Sequence)> = all.into_iter().enumerate().collect();
        loop {
            let mut next = Vec::new();
            let mut row = 0;
            open.retain(|(i, sequence)| {
                let id = best(scores.row(row));
                row += 1;
                let (ids, tokens) = &mut answers[*i];
                *tokens += 1;
                if self.end_tokens.contains(&id) {
                    return false;
                }
                ids.push(id);
                let goes_on = ids.len() < self.max_tokens && sequence.len() < self.engine.context();
                if goes_on {
                    next.push(id);
                }
                goes_on
            });
            if open.is_empty() {
                return Ok(answers);
            }
            let mut still: Vec<&mut Sequence> = open.iter_mut().map(|(_, sequence)| &mut **sequence).collect();
            scores = self.engine.decode(&mut still, &next)?;
        }
    }
}
