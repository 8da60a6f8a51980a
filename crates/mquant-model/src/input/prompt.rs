//! Messages to token ids: the template writes the prompt, the tokenizer reads it, and users' texts stay text.

use thiserror::Error;

use super::chat_template::{AddGenerationPrompt, ChatTemplate, TemplateError};
use super::messages::{Body, Content, Message};
use super::tokenizer::{Marked, Tokenizer, TokenizerError, Trust};
use crate::error::{Class, Explain};

/// Why a prompt could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PromptError {
    /// The template failed.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The texts use every character that could mark them.
    #[error("the messages use every private and unassigned character, so that their text cannot be kept apart")]
    NoSentinel,
}

impl Explain for PromptError {
    fn class(&self) -> Class {
        match self {
            PromptError::Template(e) => e.class(),
            PromptError::Tokenizer(e) => e.class(),
            PromptError::NoSentinel => Class::Input,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            PromptError::Template(e) => e.code(),
            PromptError::Tokenizer(e) => e.code(),
            PromptError::NoSentinel => "PROMPT_SENTINEL",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PromptError::Template(e) => e.hint(),
            PromptError::Tokenizer(e) => e.hint(),
            PromptError::NoSentinel => None,
        }
    }
}

/// The ids of a conversation. Every control id in them was written by the template, or by the tokenizer's post-processor
/// where the prompt does not begin with `bos_token` already. Each image, video and sound is the placeholders the template wrote
/// for it, not yet repeated for its patches.
///
/// # Errors
/// The template fails, refuses or passes a budget; the tokenizer fails or passes one.
pub fn encode_chat(
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    messages: &[Message],
    add: AddGenerationPrompt,
) -> Result<Vec<u32>, PromptError> {
    Ok(RenderedChat::new(template, tokenizer, messages, add)?.encode(template, tokenizer)?)
}

/// A conversation as the template wrote it, users' texts marked so that nothing in them is a control token.
#[derive(Clone, Debug)]
pub struct RenderedChat {
    text: String,
    marked: Marked,
}

impl RenderedChat {
    /// Renders a conversation.
    ///
    /// # Errors
    /// The template fails, refuses or passes a budget.
    pub fn new(
        template: &ChatTemplate,
        tokenizer: &Tokenizer,
        messages: &[Message],
        add: AddGenerationPrompt,
    ) -> Result<Self, PromptError> {
        let marker = tokenizer.marker();
        let texts = messages.iter().flat_map(Message::texts).chain([template.source()]);
        let marked = marker.choose(texts).ok_or(PromptError::NoSentinel)?;
        let messages: Vec<Message> = messages.iter().map(|message| mark(message, tokenizer, marked)).collect();
        Ok(Self { text: template.render(&messages, add)?, marked })
    }

    /// Writes `written[i]` in place of the i-th `placeholder` that the template wrote; None leaves it, and so does the end of
    /// the list.
    pub fn replace(&mut self, placeholder: &str, written: &[Option<String>]) {
        if placeholder.is_empty() || written.iter().all(Option::is_none) {
            return;
        }
        let mut pieces = self.text.split(placeholder);
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for (i, piece) in pieces.enumerate() {
            text.push_str(written.get(i).and_then(Option::as_deref).unwrap_or(placeholder));
            text.push_str(piece);
        }
        self.text = text;
    }

    /// Its ids.
    ///
    /// # Errors
    /// The tokenizer fails or passes a budget.
    pub fn encode(&self, template: &ChatTemplate, tokenizer: &Tokenizer) -> Result<Vec<u32>, TokenizerError> {
        let ids = tokenizer.encode(&self.text, Trust::Prompt(self.marked))?;
        let begun = template.variable("bos_token").is_some_and(|bos| self.text.starts_with(bos));
        if begun {
            return Ok(ids);
        }
        let (before, after) = tokenizer.frame();
        Ok([before, &ids, after].concat())
    }
}

/// The ids of one plain text with the post-processor's around it; nothing in it is a control token.
///
/// # Errors
/// The tokenizer fails or passes a budget.
pub fn encode_text(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, TokenizerError> {
    let (before, after) = tokenizer.frame();
    Ok([before, &tokenizer.encode_text(text)?, after].concat())
}

fn mark(message: &Message, tokenizer: &Tokenizer, marked: Marked) -> Message {
    let mark = |text: &str| tokenizer.marker().mark(text, marked).into_owned();
    let body = match &message.body {
        Body::Plain(text) => Body::Plain(mark(text)),
        Body::Parts(parts) => Body::Parts(
            parts
                .iter()
                .map(|part| match part {
                    Content::Text(text) => Content::Text(mark(text)),
                    media @ (Content::Image(_) | Content::Video(_) | Content::Audio(_)) => media.clone(),
                })
                .collect(),
        ),
    };
    Message { role: message.role.clone(), body }
}
