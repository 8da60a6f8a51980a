//! Answers of one model: streamed to stdout, or gathered for `--json`.

use std::io::{IsTerminal, stdout};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use mquant::input::MediaKind;
use mquant::input::{AddGenerationPrompt, Message};
use mquant::run::{Engine, GenerateOptions, Generated, Generator, Prompt, Sampler, SamplerOptions, Sequence};

use crate::failure::{Doing, Done, Failure};
use crate::globals::Globals;
use crate::output::{Output, printable};
use crate::progress::Progress;
use crate::sampling_args::SamplingArgs;
use crate::session::{self, Opened};
use crate::signals::{self, Hold};

/// A model that answers one conversation, and remembers what it has computed of it.
#[derive(Debug)]
pub(super) struct Answerer {
    pub(super) opened: Opened,
    pub(super) engine: Engine,
    pub(super) sampling: SamplerOptions,
    sampler: Sampler,
    options: GenerateOptions,
    sequence: Sequence,
}

/// An answer, and what the prompt was made of.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) generated: Generated,
    /// Reading media and rendering the template.
    pub(super) prepare_time: Duration,
    pub(super) prompt_tokens: usize,
    pub(super) images: Media,
    pub(super) videos: Media,
    pub(super) audios: Media,
}

/// Media of one kind in a prompt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Media {
    pub(super) count: usize,
    pub(super) tokens: usize,
}

impl Answerer {
    pub(super) fn new(opened: Opened, args: &SamplingArgs, globals: &Globals) -> Result<Self, Failure> {
        let engine = session::engine(&opened.loaded, globals)?;
        let (sampler, sampling) = args.sampler(&opened.loaded).doing("prepare to sample")?;
        let options = args.generation(&opened.loaded)?;
        let sequence = engine.sequence();
        Ok(Self { opened, engine, sampling, sampler, options, sequence })
    }

    /// Answers the newest of `messages`. As text, the answer is written as it comes and ends with a line end.
    pub(super) fn answer(&mut self, messages: &[Message], output: &Output) -> Result<Answer, Failure> {
        let Self { opened, engine, sampler, options, sequence, .. } = self;
        let loaded = &opened.loaded;
        let started = Instant::now();
        let prompt = loaded.prepare(messages, AddGenerationPrompt::Yes).doing("prepare the prompt")?;
        let prepare_time = started.elapsed();
        let media = |kind| count(&prompt, kind);
        let [images, videos, audios] = [MediaKind::Image, MediaKind::Video, MediaKind::Audio].map(media);
        let prompt_tokens = prompt.ids.len();

        let mut progress = Some(Progress::spinner("reading the prompt"));
        let most_tokens = options.max_tokens.map_or(0, |n| n as u64);
        let mut tokens = 0;
        let mut hold = None;
        let mut failed = None;
        let to_terminal = stdout().is_terminal();
        let mut generator = Generator { loaded, engine, sampler, options };
        let generated = generator
            .answer(sequence, &prompt, &mut |piece| {
                if hold.is_none() {
                    // Before the first token there is nothing to finish.
                    hold = Some(Hold::new());
                    progress = output.is_json().then(|| Progress::bar("answering", most_tokens));
                }
                tokens += 1;
                if let Some(bar) = &progress {
                    bar.set(tokens);
                }
                if !output.is_json()
                    && !piece.is_empty()
                    && let Err(failure) = output.text(&printable(piece, to_terminal))
                {
                    failed = Some(failure);
                    return ControlFlow::Break(());
                }
                match signals::interrupted() {
                    Done::Interrupted { .. } => ControlFlow::Break(()),
                    Done::Complete | Done::Differs => ControlFlow::Continue(()),
                }
            })
            .doing("answer")?;
        if let Some(failure) = failed {
            return Err(failure);
        }
        if !output.is_json() {
            output.text("\n")?;
        }
        Ok(Answer { generated, prepare_time, prompt_tokens, images, videos, audios })
    }

    /// Forgets the conversation.
    pub(super) fn forget(&mut self) {
        self.sequence = self.engine.sequence();
    }
}

fn count(prompt: &Prompt, kind: MediaKind) -> Media {
    let media = prompt.media.iter().filter(|medium| medium.kind == kind);
    media.fold(Media::default(), |sum, m| Media { count: sum.count + 1, tokens: sum.tokens + m.row_count() })
}
