//! Greedy answers of several samples at once: a sample that has come to its end makes room for the next, so that passes stay
//! full however much the lengths of answers differ.

use std::ops::ControlFlow;

use mquant_model::error::Result;
use mquant_model::input::SkipSpecial;
use mquant_model::run::{Engine, LoadedModel, Prompt, RunError, Sequence, best};

/// Answers prompts, always with the best token.
#[derive(Clone, Copy, Debug)]
pub struct Answerer<'a> {
    /// The model.
    pub loaded: &'a LoadedModel,
    /// What computes it.
    pub engine: &'a Engine,
    /// Most tokens of an answer; at least 1.
    pub max_tokens: usize,
    /// Samples computed together; at least 1. Answers do not depend on it.
    pub batch: usize,
}

/// What a model said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Without outer white space.
    pub text: String,
    /// Rows of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer, the one that ends it among them.
    pub answer_tokens: usize,
}

/// One sample on its way.
struct Open {
    sample: usize,
    sequence: Sequence,
    prompt_tokens: usize,
    /// Said so far; the last has not been computed yet.
    ids: Vec<u32>,
}

impl Answerer<'_> {
    /// Answers what `next` gives, until it gives no more. `done` is told every answer as it ends, in no certain order, and
    /// may end it early.
    ///
    /// # Errors
    /// Whatever `next` and `done` return; a prompt that does not fit the context; scores that are not finite.
    pub fn answer(
        &self,
        next: &mut dyn FnMut() -> Result<Option<(usize, Prompt)>>,
        done: &mut dyn FnMut(usize, Said) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let batch = self.batch.max(1);
        let mut open: Vec<Open> = Vec::new();
        let mut more = true;
        loop {
            // Prompts are computed several at once too, so a single free place waits for others.
            if more && (open.is_empty() || batch - open.len() >= batch.div_ceil(4)) {
                let mut prompts = Vec::new();
                while more && open.len() + prompts.len() < batch {
                    match next()? {
                        Some(prompt) => prompts.push(prompt),
                        None => more = false,
                    }
                }
                if self.begin(prompts, &mut open, done)?.is_break() {
                    return Ok(());
                }
            }
            if open.is_empty() {
                if more {
                    continue;
                }
                return Ok(());
            }
            let last: Vec<u32> = open.iter().filter_map(|open| open.ids.last().copied()).collect();
            let mut sequences: Vec<&mut Sequence> = open.iter_mut().map(|open| &mut open.sequence).collect();
            let scores = self.engine.decode(&mut sequences, &last)?;
            let mut still = Vec::with_capacity(open.len());
            for (row, sample) in open.into_iter().enumerate() {
                match self.hear(sample, best(scores.row(row)), done)? {
                    Heard::Open(sample) => still.push(sample),
                    Heard::Ended(ControlFlow::Continue(())) => {}
                    Heard::Ended(ControlFlow::Break(())) => return Ok(()),
                }
            }
            open = still;
        }
    }

    /// Computes prompts together, and opens those whose answer does not end with its first token.
    fn begin(
        &self,
        prompts: Vec<(usize, Prompt)>,
        open: &mut Vec<Open>,
        done: &mut dyn FnMut(usize, Said) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        if prompts.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let mut sequences: Vec<Sequence> = prompts.iter().map(|_| self.engine.sequence()).collect();
        let mut all: Vec<&mut Sequence> = sequences.iter_mut().collect();
        let scores = self.engine.prefill_batch(&mut all, &prompts.iter().map(|(_, p)| p).collect::<Vec<_>>())?;
        for (row, ((sample, prompt), mut sequence)) in prompts.into_iter().zip(sequences).enumerate() {
            sequence.forget_media();
            let opened = Open { sample, sequence, prompt_tokens: prompt.ids.len(), ids: Vec::new() };
            match self.hear(opened, best(scores.row(row)), done)? {
                Heard::Open(sample) => open.push(sample),
                Heard::Ended(ControlFlow::Continue(())) => {}
                Heard::Ended(ControlFlow::Break(())) => return Ok(ControlFlow::Break(())),
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Takes in the next token of a sample.
    fn hear(
        &self,
        mut open: Open,
        id: u32,
        done: &mut dyn FnMut(usize, Said) -> Result<ControlFlow<()>>,
    ) -> Result<Heard> {
        let ends = self.loaded.generation.eos_token_ids.contains(&id);
        if !ends {
            open.ids.push(id);
            if open.ids.len() < self.max_tokens && open.sequence.len() < self.engine.context() {
                return Ok(Heard::Open(open));
            }
        }
        let text = self.loaded.tokenizer.decode(&open.ids, SkipSpecial::Yes)?;
        let said = Said {
            text: text.trim().to_owned(),
            prompt_tokens: open.prompt_tokens,
            answer_tokens: open.ids.len() + usize::from(ends),
        };
        Ok(Heard::Ended(done(open.sample, said)?))
    }

    /// Whether a prompt leaves room for an answer.
    ///
    /// # Errors
    /// If it does not.
    pub fn check_fits(&self, prompt: &Prompt) -> Result<(), RunError> {
        let (prompt, limit) = (prompt.ids.len(), self.engine.context());
        if prompt < limit { Ok(()) } else { Err(RunError::Context { needed: prompt + 1, prompt, limit }) }
    }
}

/// What became of a sample with its next token.
enum Heard {
    Open(Open),
    Ended(ControlFlow<()>),
}
