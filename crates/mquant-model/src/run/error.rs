//! What can go wrong between a prompt and its answer.

use thiserror::Error;

use crate::error::{Class, Explain};
use crate::input::MediaKind;

/// Why a prompt cannot be answered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The template wrote another number of placeholders than there are media.
    #[error("the chat template wrote {placeholders} {} placeholders for {media} in the messages", .kind.name())]
    Placeholders {
        /// Of images, of videos or of sounds.
        kind: MediaKind,
        /// In the prompt.
        placeholders: usize,
        /// In the messages.
        media: usize,
    },
    /// A video with a sound track: nothing places the rows of both together.
    #[error("video {video} has a sound track, which cannot be placed among the frames")]
    SoundTrack {
        /// Among the videos of the conversation, counted from 1.
        video: usize,
    },
    /// More tokens than the context holds.
    #[error("{needed} tokens are needed ({prompt} of them in the prompt), the context holds {limit}")]
    Context {
        /// Prompt and answer together.
        needed: usize,
        /// In the prompt.
        prompt: usize,
        /// What the context holds.
        limit: usize,
    },
    /// A prompt without a token.
    #[error("the prompt has no token")]
    Empty,
    /// A context that was asked for is larger than the model's.
    #[error("a context of {asked} tokens was asked for, the model's max_position_embeddings is {limit}")]
    ContextTooLarge {
        /// Asked for.
        asked: usize,
        /// The model's.
        limit: usize,
    },
    /// The stream after the last block has a value that is not finite. Integer sites take NaN for 0, so the logits alone
    /// would not tell.
    #[error("the activations of token {row} are not finite")]
    ActivationsNotFinite {
        /// Its row in the sequence.
        row: usize,
    },
    /// A logit is not finite.
    #[error("the logit of token {token} after {tokens} tokens is not finite")]
    NotFinite {
        /// The first such token.
        token: usize,
        /// Length of the sequence.
        tokens: usize,
    },
    /// A sampling option out of range.
    #[error("{option} is {found}, expected {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What was given.
        found: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// The system gave no threads.
    #[error("cannot start {count} threads: {reason}")]
    Threads {
        /// Asked for.
        count: usize,
        /// The system's reason.
        reason: String,
    },
}

impl Explain for RunError {
    fn class(&self) -> Class {
        match self {
            RunError::Placeholders { .. } | RunError::Context { .. } | RunError::Empty => Class::Input,
            RunError::SoundTrack { .. } => Class::Unsupported,
            RunError::ContextTooLarge { .. } | RunError::Option { .. } => Class::Usage,
            RunError::ActivationsNotFinite { .. } | RunError::NotFinite { .. } => Class::Numeric,
            RunError::Threads { .. } => Class::Resources,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            RunError::Placeholders { .. } => "PROMPT_PLACEHOLDERS",
            RunError::SoundTrack { .. } => "SOUND_TRACK",
            RunError::Context { .. } => "CONTEXT_EXCEEDED",
            RunError::Empty => "PROMPT_EMPTY",
            RunError::ContextTooLarge { .. } => "CONTEXT_TOO_LARGE",
            RunError::ActivationsNotFinite { .. } => "ACTIVATIONS_NOT_FINITE",
            RunError::NotFinite { .. } => "LOGITS_NOT_FINITE",
            RunError::Option { .. } => "OPTION_RANGE",
            RunError::Threads { .. } => "THREADS",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RunError::Placeholders { .. } => Some("check that the chat template is the model's own".to_owned()),
            RunError::Context { .. } => Some(
                "shorten the prompt or its sounds, make images smaller with --max-pixels, or raise --context"
                    .to_owned(),
            ),
            RunError::SoundTrack { .. } => {
                Some("give the sound as a part of its own, before or after the video".to_owned())
            }
            RunError::Empty => Some("give a prompt".to_owned()),
            RunError::ActivationsNotFinite { .. } | RunError::NotFinite { .. } => {
                Some("the weights may be damaged; compare their checksums".to_owned())
            }
            RunError::ContextTooLarge { .. } | RunError::Option { .. } | RunError::Threads { .. } => None,
        }
    }
}
