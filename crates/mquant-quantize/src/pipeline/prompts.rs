//! Samples as the model is to see them: prompt and answer.

use std::collections::BTreeMap;

use mquant_kernels::Backend;

use super::PipelineError;
use super::calibration_batches::CalibrationPrompt;
use crate::calibrate::statistics::{Statistics, Wanted};
use mquant_data::samples::Sample;
use mquant_model::error::{Class, Error, Result};
use mquant_model::input::AddGenerationPrompt;
use mquant_model::nn::SiteId;
use mquant_model::run::{Batch, Engine, Input, LoadedModel, Prompt, argmax};

/// Makes prompts of samples.
pub(super) struct Prompts<'a> {
    pub(super) loaded: &'a LoadedModel,
    pub(super) engine: &'a Engine,
    pub(super) backend: &'a dyn Backend,
    /// Tokens of an answer that the data do not have.
    pub(super) generated_tokens: usize,
    /// Every site of the model.
    pub(super) sites: &'a [SiteId],
}

impl Prompts<'_> {
    /// The prompt of a sample with the tokens of its answer: the reference answer where there is one (teacher-forced), else
    /// what the float model says. Decoding reads text scales, so they have to have seen answers.
    ///
    /// # Errors
    /// The sample cannot be used; or, of class numeric, the model cannot be.
    pub(super) fn prepare(&self, sample: &Sample) -> Result<CalibrationPrompt> {
        let mut prompt = self.loaded.prepare(&sample.messages, AddGenerationPrompt::Yes)?;
        let asked = prompt.ids.len();
        let end_tokens = &self.loaded.generation.eos_token_ids;
        let answer = match &sample.answer {
            Some(answer) => self.loaded.encode_answer(answer)?,
            None => self.greedy(&prompt, end_tokens).map_err(|e| match e.class() {
                Class::Numeric => self.fault(sample, &prompt).map_or(e, Error::from),
                _ => e,
            })?,
        };
        prompt.extend_text(&answer);
        // The scores of the last token are asked for by nobody.
        let end = prompt.ids.len().max(asked + 1) - 1;
        Ok(CalibrationPrompt { source: sample.origin.to_string(), prompt, scored: asked - 1..end.max(asked) })
    }

    fn greedy(&self, prompt: &Prompt, end_tokens: &[u32]) -> Result<Vec<u32>> {
        let (engine, most) = (self.engine, self.generated_tokens);
        let mut answer = Vec::new();
        if most == 0 {
            return Ok(answer);
        }
        let mut batch = Batch::new(engine);
        batch.push(0, engine.sequence(), Input::Prompt(prompt));
        while !batch.is_empty() {
            batch.step(&mut |_, sequence, logits| -> Result<Option<u32>> {
                let id = argmax(&logits?);
                answer.push(id);
                let ends = answer.len() >= most || end_tokens.contains(&id) || sequence.len() >= engine.context();
                Ok((!ends).then_some(id))
            })?;
        }
        Ok(answer)
    }

    /// The first site where a model whose scores are not finite goes wrong; None if its activations are.
    fn fault(&self, sample: &Sample, prompt: &Prompt) -> Option<PipelineError> {
        let wanted: BTreeMap<_, _> = self.sites.iter().map(|site| (*site, Wanted::default())).collect();
        let mut seen = Statistics::new(self.backend, wanted);
        // That it fails is known; where is what the statistics tell.
        let _ = self.engine.all_logits_batch(&[prompt], Some(&mut seen));
        let fault = seen.fault?;
        Some(PipelineError::NotFinite { site: fault.site, sample: sample.origin.to_string(), row: fault.row })
    }
}
