//! Samples as the model is to see them: prompt and answer.

use crate::calibrate::samples::Sample;
use crate::error::Result;
use crate::input::AddGenerationPrompt;
use crate::run::{Engine, LoadedModel, Prompt, best};

use super::shown::ShownPrompt;

/// The prompt of a sample with the tokens of its answer: the reference answer where there is one (teacher-forced), else
/// what the float model says, up to `generate` tokens. Decoding reads text scales, so they have to have seen answers.
pub(super) fn prepare(loaded: &LoadedModel, engine: &Engine, sample: &Sample, generate: usize) -> Result<ShownPrompt> {
    let mut prompt = loaded.prepare(&sample.messages, AddGenerationPrompt::Yes)?;
    let asked = prompt.ids.len();
    let end_tokens = &loaded.generation.eos_token_ids;
    let answer = match &sample.answer {
        Some(answer) => {
            let ids = loaded.tokenizer.encode_text(answer)?;
            ids.into_iter().chain(end_tokens.first().copied()).collect()
        }
        None => greedy(engine, &prompt, end_tokens, generate)?,
    };
    prompt.extend_text(&answer);
    // The scores of the last token are asked for by nobody.
    let end = prompt.ids.len().max(asked + 1) - 1;
    Ok(ShownPrompt { source: sample.origin.to_string(), prompt, scored: asked - 1..end.max(asked) })
}

fn greedy(engine: &Engine, prompt: &Prompt, end_tokens: &[u32], most: usize) -> Result<Vec<u32>> {
    let mut answer = Vec::new();
    if most == 0 {
        return Ok(answer);
    }
    let mut sequence = engine.sequence();
    let mut id = best(&engine.prefill(&mut sequence, prompt)?);
    loop {
        answer.push(id);
        if answer.len() >= most || end_tokens.contains(&id) || sequence.len() >= engine.context() {
            return Ok(answer);
        }
        id = best(engine.decode(&mut [&mut sequence], &[id])?.row(0));
    }
}
