//! Greedy answers of several samples at once: a sample that has come to its end makes room for the next, so that passes stay
//! full however much the lengths of answers differ.

use std::ops::ControlFlow;

use mquant_model::error::Result;
use mquant_model::input::SkipSpecial;
use mquant_model::run::{Batch, Engine, Input, LoadedModel, Prompt, RunError, argmax};

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
    prompt_tokens: usize,
    ids: Vec<u32>,
}

impl Answerer<'_> {
    /// Answers what `next` gives, until it gives no more. `done` is told every answer as it ends, in no certain order, and
    /// may end it early.
    ///
    /// # Errors
    /// Whatever `next` and `done` return; a prompt that does not fit the context; logits that are not finite.
    pub fn answer(
        &self,
        next: &mut dyn FnMut() -> Result<Option<(usize, Prompt)>>,
        done: &mut dyn FnMut(usize, Said) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let most = self.batch.max(1);
        let mut batch = Batch::new(self.engine);
        let mut open: Vec<Open> = Vec::new();
        let mut more = true;
        let mut flow = ControlFlow::Continue(());
        while flow.is_continue() && (more || !batch.is_empty()) {
            // Prompts are computed several at once too, so a single free place waits for others.
            if more && (batch.is_empty() || most - batch.len() >= most.div_ceil(4)) {
                while more && batch.len() < most {
                    match next()? {
                        Some((sample, prompt)) => {
                            open.push(Open { sample, prompt_tokens: prompt.ids.len(), ids: Vec::new() });
                            batch.push(sample, self.engine.sequence(), Input::Prompt(prompt));
                        }
                        None => more = false,
                    }
                }
            }
            batch.step(&mut |sample, sequence, logits| -> Result<Option<u32>> {
                let id = argmax(&logits?);
                if flow.is_break() {
                    return Ok(None);
                }
                sequence.forget_media();
                let at = open.iter().position(|open| open.sample == sample).expect("opened with its sequence");
                let ends = self.loaded.generation.eos_token_ids.contains(&id);
                if !ends {
                    open[at].ids.push(id);
                    if open[at].ids.len() < self.max_tokens && sequence.len() < self.engine.context() {
                        return Ok(Some(id));
                    }
                }
                let Open { prompt_tokens, ids, .. } = open.swap_remove(at);
                let text = self.loaded.tokenizer.decode(&ids, SkipSpecial::Yes)?;
                let answer_tokens = ids.len() + usize::from(ends);
                flow = done(sample, Said { text: text.trim().to_owned(), prompt_tokens, answer_tokens })?;
                Ok(None)
            })?;
        }
        Ok(())
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
