//! How answers are drawn and when they end: the model's published defaults, and the flags that override them.

use clap::Args;
use mquant::checkpoint::Fields;
use mquant::run::{GenerateOptions, LoadedModel, RunError, Sampler, SamplerOptions};

use crate::failure::{Doing, Failure};

/// Tokens of an answer where neither a flag nor the model says.
pub(crate) const DEFAULT_MAX_TOKENS: usize = 1024;
/// Most end tokens a configuration may list.
const MAX_END_TOKENS: usize = 256;

/// Options of sampling.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    /// Most tokens of an answer [default: the model's, else 1024]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_tokens: Option<u64>,
    /// Divides the scores before a token is drawn; 0 always takes the best [default: the model's]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// Keeps the most probable tokens that sum to this probability [default: the model's]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f32>,
    /// Keeps this many tokens; 0 keeps all [default: the model's]
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Makes tokens seen before less probable; 1 changes nothing [default: the model's]
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    repetition_penalty: Option<f32>,
    /// Equal seeds draw equal answers
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// A text that ends the answer and is no part of it; may be given more than once
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
}

impl SamplingArgs {
    /// Refuses what is out of range, for a word before a model is loaded.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        Sampler::new(self.over(SamplerOptions::GREEDY)).map(drop).doing("read the options")
    }

    /// How tokens are drawn.
    pub(crate) fn sampler(&self, loaded: &LoadedModel) -> Result<(Sampler, SamplerOptions), RunError> {
        let options = self.over(SamplerOptions::published(&loaded.generation));
        Ok((Sampler::new(options)?, options))
    }

    /// When an answer ends.
    pub(crate) fn generation(&self, loaded: &LoadedModel) -> Result<GenerateOptions, Failure> {
        let published = loaded.generation.max_new_tokens;
        let most = self.max_tokens.or(published).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        Ok(GenerateOptions {
            max_tokens: Some(most.unwrap_or(DEFAULT_MAX_TOKENS)),
            stop: self.stop.clone(),
            end_tokens: end_tokens(loaded)?,
        })
    }

    fn over(&self, published: SamplerOptions) -> SamplerOptions {
        SamplerOptions {
            temperature: self.temperature.unwrap_or(published.temperature),
            top_p: self.top_p.unwrap_or(published.top_p),
            top_k: self.top_k.unwrap_or(published.top_k),
            repetition_penalty: self.repetition_penalty.unwrap_or(published.repetition_penalty),
            seed: self.seed,
        }
    }
}

/// The tokens that end an answer: those of `generation_config.json`, else of `config.json`.
pub(crate) fn end_tokens(loaded: &LoadedModel) -> Result<Vec<u32>, Failure> {
    if !loaded.generation.eos_token_ids.is_empty() {
        return Ok(loaded.generation.eos_token_ids.clone());
    }
    let config = loaded.checkpoint.config();
    let most = loaded.blueprint.vocabulary() - 1;
    let listed = |fields: &Fields| {
        let ids = fields.usize_or_list("eos_token_id", MAX_END_TOKENS, 0..=most);
        ids.map(|ids| ids.into_iter().map(|id| id as u32).collect::<Vec<_>>())
    };
    let text = config.opt_object("text_config").doing("find the end token")?;
    let ids = text.as_ref().map_or(Ok(Vec::new()), listed).doing("find the end token")?;
    if ids.is_empty() { listed(config).doing("find the end token") } else { Ok(ids) }
}
