//! Sequences that are computed together, a step at a time: the one loop that generates tokens.

use std::borrow::{Borrow, BorrowMut};

use super::{Engine, Input, Prompt, RunError, Sequence, StepItem, StepStats, Stepped};

/// Is given a sequence by its key and its next logits, or why there are none; returns the token to compute next, or None to end
/// the sequence.
pub type Choose<'f, E> = dyn FnMut(usize, &mut Sequence, Result<Vec<f32>, RunError>) -> Result<Option<u32>, E> + 'f;

/// Sequences that are computed together. Each has a key of the caller's, and a prompt or a token to compute next.
///
/// A sequence leaves when the caller gives it no further token; others may join at any step.
#[derive(Debug)]
pub struct Batch<'e, S, P> {
    engine: &'e Engine,
    open: Vec<Open<S, P>>,
}

#[derive(Debug)]
struct Open<S, P> {
    key: usize,
    sequence: S,
    input: Input<P>,
}

impl<'e, S: BorrowMut<Sequence>, P: Borrow<Prompt>> Batch<'e, S, P> {
    /// Without sequences.
    pub fn new(engine: &'e Engine) -> Self {
        Self { engine, open: Vec::new() }
    }

    /// Sequences that have something to compute.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is nothing to compute.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes in a sequence.
    pub fn push(&mut self, key: usize, sequence: S, input: Input<P>) {
        self.open.push(Open { key, sequence, input });
    }

    /// Ends a sequence before its time.
    pub fn cancel(&mut self, key: usize) {
        self.open.retain(|open| open.key != key);
    }

    /// One [`Engine::step`]; `choose` is asked about each sequence that has come to the end of its prompt.
    ///
    /// # Errors
    /// What `choose` returns; the batch is empty then.
    pub fn step<E>(&mut self, choose: &mut Choose<'_, E>) -> Result<StepStats, E> {
        let mut items: Vec<StepItem<'_>> = Vec::with_capacity(self.open.len());
        for Open { sequence, input, .. } in &mut self.open {
            let input = match input {
                Input::Prompt(prompt) => Input::Prompt((*prompt).borrow()),
                Input::Token(id) => Input::Token(*id),
            };
            items.push(StepItem { sequence: sequence.borrow_mut(), input });
        }
        let (stepped, stats) = self.engine.step(&mut items);
        let mut still = Vec::with_capacity(self.open.len());
        for (mut open, stepped) in self.open.drain(..).zip(stepped) {
            let logits = match stepped {
                Ok(Stepped::Prefilling) => {
                    still.push(open);
                    continue;
                }
                Ok(Stepped::Logits(logits)) => Ok(logits),
                Err(e) => Err(e),
            };
            if let Some(id) = choose(open.key, open.sequence.borrow_mut(), logits)? {
                open.input = Input::Token(id);
                still.push(open);
            }
        }
        self.open = still;
        Ok(stats)
    }
}
