//! Answers, a token at a time.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::{Batch, Engine, Input, LoadedModel, Prompt, Sampler, Sequence, StepStats};
use crate::error::Result;
use crate::input::tokenizer::{SkipSpecial, StopStrings, Stopped};

/// Where an answer's text goes as it comes; may end it. Called once for each token, with the text that it completes, which
/// may be empty, and once more if text was held back.
pub type Sink<'a> = dyn FnMut(&str) -> ControlFlow<()> + 'a;

/// When to end an answer.
#[derive(Clone, Debug, Default)]
pub struct GenerateOptions {
    /// Most tokens of the answer; None goes on to the end of the context.
    pub max_tokens: Option<usize>,
    /// Strings that end it; they are not part of it.
    pub stop: Vec<String>,
    /// Tokens that end it; they are not part of it.
    pub end_tokens: Vec<u32>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model gave an end token, or a stop string appeared.
    Stop,
    /// `max_tokens` or the context is used up.
    Length,
    /// The sink asked for it.
    Interrupted,
}

/// A finished answer.
#[derive(Clone, Debug)]
pub struct Generated {
    /// Its text.
    pub text: String,
    /// Its tokens, without the end token.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
    /// What reading the prompt took.
    pub prefill: StepStats,
    /// From the prompt's logits to the end.
    pub decode_time: Duration,
}

/// What answers: a model, its threads, how tokens are drawn and when an answer ends.
#[derive(Debug)]
pub struct Generator<'a> {
    /// Whose tokenizer turns tokens to text.
    pub loaded: &'a LoadedModel,
    /// What computes.
    pub engine: &'a Engine,
    /// What draws.
    pub sampler: &'a mut Sampler,
    /// When to end.
    pub options: &'a GenerateOptions,
}

impl Generator<'_> {
    /// Answers `prompt`: computes what `sequence` does not remember of it, then draws tokens until told to stop.
    ///
    /// # Errors
    /// If prompt and answer do not fit the context at all, or activations or logits are not finite.
    pub fn answer(&mut self, sequence: &mut Sequence, prompt: &Prompt, sink: &mut Sink<'_>) -> Result<Generated> {
        let Self { loaded, engine, sampler, options } = self;
        let room = engine.context().saturating_sub(prompt.ids.len());
        let limit = options.max_tokens.unwrap_or(usize::MAX).min(room.max(1));
        let mut out = Writer {
            stops: StopStrings::new(options.stop.iter().cloned()),
            stream: loaded.tokenizer.decode_stream(SkipSpecial::Yes),
            text: String::new(),
            cut: false,
            sink,
        };
        let mut ids = Vec::new();
        let mut finish = Finish::Length;
        let (mut prefill, mut prefilled) = (StepStats::default(), None);
        let mut batch = Batch::new(engine);
        batch.push(0, sequence, Input::Prompt(prompt));
        while !batch.is_empty() {
            let prefilling = prefilled.is_none();
            let stats = batch.step(&mut |_, sequence, logits| -> Result<Option<u32>> {
                let mut logits = logits?;
                prefilled.get_or_insert_with(Instant::now);
                if ids.len() >= limit {
                    return Ok(None);
                }
                let id = sampler.sample(&mut logits, sequence.ids());
                if options.end_tokens.contains(&id) {
                    finish = Finish::Stop;
                    return Ok(None);
                }
                ids.push(id);
                let piece = out.stream.push(id)?;
                if let ControlFlow::Break(why) = out.write(&piece) {
                    finish = why;
                    return Ok(None);
                }
                Ok((ids.len() < limit).then_some(id))
            })?;
            if prefilling {
                prefill += stats;
            }
        }
        let text = out.finish()?;
        let decode_time = prefilled.map_or(Duration::ZERO, |at| at.elapsed());
        Ok(Generated { text, ids, finish, prefill, decode_time })
    }
}

struct Writer<'a, 'b> {
    stops: StopStrings,
    stream: crate::input::tokenizer::DecodeStream<'a>,
    text: String,
    /// Whether a stop string ended the answer: nothing may follow it.
    cut: bool,
    sink: &'a mut Sink<'b>,
}

impl Writer<'_, '_> {
    fn write(&mut self, piece: &str) -> ControlFlow<Finish> {
        let (text, stopped) = match self.stops.push(piece) {
            Stopped::No(text) => (text, ControlFlow::Continue(())),
            Stopped::Yes(text) => {
                self.cut = true;
                (text, ControlFlow::Break(Finish::Stop))
            }
        };
        self.emit(&text)?;
        stopped
    }

    fn emit(&mut self, text: &str) -> ControlFlow<Finish> {
        self.text.push_str(text);
        match (self.sink)(text) {
            ControlFlow::Break(()) => ControlFlow::Break(Finish::Interrupted),
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
        }
    }

    /// Lets out what was held back, unless a stop string ended the answer.
    fn finish(mut self) -> Result<String> {
        if self.cut {
            return Ok(self.text);
        }
        let rest = self.stream.finish()?;
        let held = match self.stops.push(&rest) {
            Stopped::No(text) => text + &self.stops.finish(),
            Stopped::Yes(text) => text,
        };
        self.text.push_str(&held);
        if !held.is_empty() {
            // The answer is over: whether the reader wants more no longer matters.
            let _ = (self.sink)(&held);
        }
        Ok(self.text)
    }
}
