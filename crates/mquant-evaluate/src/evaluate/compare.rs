//! Two models on one prompt, token by token, up to where they part.

use serde::Serialize;

use super::EvaluateError;
use super::likelihood::{log_sum_exp, token_divergence};
use mquant_model::error::Result;
use mquant_model::input::{AddGenerationPrompt, Message, SkipSpecial};
use mquant_model::run::{Engine, LoadedModel, Sequence, argmax};

/// Candidates that are told of each model where they part.
const CANDIDATES: usize = 5;

/// A model to compare.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The model.
    pub loaded: &'a LoadedModel,
    /// What computes it.
    pub engine: &'a Engine,
}

/// What two models say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Both answers, whole.
    pub answers: [String; 2],
    /// Tokens of both, end tokens among them.
    pub tokens: [usize; 2],
    /// What both said before they parted: all, if they never did.
    pub common: String,
    /// Mean divergence D(first ‖ second) over the tokens up to there, in nats.
    pub kl: f64,
    /// Where they part; None if they say the same.
    pub parting: Option<Parting>,
}

/// The first token that differs. Up to it both have read the same, so their probabilities can be compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parting {
    /// Its place in the answers, from 0.
    pub token: usize,
    /// What either says next, then what else was likely, the more likely first.
    pub candidates: Vec<Candidate>,
}

/// A token that may come next.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Its id.
    pub id: u32,
    /// As text; an end token as its name.
    pub text: String,
    /// Its probability in both models.
    pub probability: [f64; 2],
    /// Which of the models says it.
    pub said_by: [bool; 2],
}

/// Greedy answers of both models, each reading the messages in its own way.
///
/// # Errors
/// If a model cannot read the messages, its logits are not finite, or the models have not the same tokens.
pub fn compare(sides: [Side<'_>; 2], messages: &[Message], max_tokens: usize) -> Result<Comparison> {
    let [mut first, mut second] =
        [Speaker::begin(sides[0], messages, max_tokens)?, Speaker::begin(sides[1], messages, max_tokens)?];
    check_vocabularies(&first, &second)?;
    let (mut parting, mut kl) = (None, Vec::new());
    while first.state == State::Speaking || second.state == State::Speaking {
        if parting.is_none() {
            kl.push(token_divergence(&second.logits, &first.logits));
            if argmax(&first.logits) != argmax(&second.logits) {
                parting = Some(part([&first, &second])?);
            }
        }
        first.speak()?;
        second.speak()?;
    }
    let common = parting.as_ref().map_or(first.said.len(), |parting| parting.token);
    Ok(Comparison {
        answers: [first.text(first.said.len())?, second.text(second.said.len())?],
        tokens: [first.said.len(), second.said.len()],
        common: first.text(common)?,
        kl: kl.iter().sum::<f64>() / kl.len() as f64,
        parting,
    })
}

/// A model, speaking.
struct Speaker<'a> {
    side: Side<'a>,
    sequence: Sequence,
    max_tokens: usize,
    /// Of the next token.
    logits: Vec<f32>,
    /// The token that ends an answer among them.
    said: Vec<u32>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Speaking,
    Silent,
}

impl<'a> Speaker<'a> {
    fn begin(side: Side<'a>, messages: &[Message], max_tokens: usize) -> Result<Self> {
        let prompt = side.loaded.prepare(messages, AddGenerationPrompt::Yes)?;
        let mut sequence = side.engine.sequence();
        let logits = side.engine.prefill(&mut sequence, &prompt)?;
        let state = State::Speaking;
        Ok(Self { side, sequence, max_tokens: max_tokens.max(1), logits, said: Vec::new(), state })
    }

    /// Says the most likely token.
    fn speak(&mut self) -> Result<()> {
        if self.state == State::Silent {
            return Ok(());
        }
        let id = argmax(&self.logits);
        self.said.push(id);
        let ends = self.side.loaded.generation.eos_token_ids.contains(&id);
        if ends || self.said.len() >= self.max_tokens || self.sequence.len() >= self.side.engine.context() {
            self.state = State::Silent;
            return Ok(());
        }
        self.logits = self.side.engine.decode(&mut [&mut self.sequence], &[id])?.into_vec();
        Ok(())
    }

    /// The first tokens that were said, as text.
    fn text(&self, tokens: usize) -> Result<String> {
        Ok(self.side.loaded.tokenizer.decode(&self.said[..tokens], SkipSpecial::Yes)?)
    }
}

fn check_vocabularies(first: &Speaker<'_>, second: &Speaker<'_>) -> Result<(), EvaluateError> {
    let [ours, theirs] = [first, second].map(|speaker| speaker.logits.len());
    if ours == theirs { Ok(()) } else { Err(EvaluateError::Vocabularies { model: ours, baseline: theirs }) }
}

/// What either model would say next, and what else it thinks likely.
fn part(speakers: [&Speaker<'_>; 2]) -> Result<Parting> {
    let sums = speakers.map(|speaker| log_sum_exp(&speaker.logits));
    let probability = |id: u32| [0, 1].map(|i| (f64::from(speakers[i].logits[id as usize]) - sums[i]).exp());
    let mut ids: Vec<u32> = Vec::new();
    for speaker in speakers {
        let mut likely: Vec<u32> = (0..speaker.logits.len() as u32).collect();
        let more =
            |a: &u32, b: &u32| speaker.logits[*b as usize].total_cmp(&speaker.logits[*a as usize]).then(a.cmp(b));
        if likely.len() > CANDIDATES {
            likely.select_nth_unstable_by(CANDIDATES, more);
            likely.truncate(CANDIDATES);
        }
        ids.extend(likely);
    }
    ids.sort_unstable();
    ids.dedup();
    let said = speakers.map(|speaker| argmax(&speaker.logits));
    let candidate = |id: u32| -> Result<Candidate> {
        let text = speakers[0].side.loaded.tokenizer.decode(&[id], SkipSpecial::No)?;
        Ok(Candidate { id, text, probability: probability(id), said_by: said.map(|said| said == id) })
    };
    let mut candidates = ids.into_iter().map(candidate).collect::<Result<Vec<_>>>()?;
    let likely = |c: &Candidate| c.probability[0].max(c.probability[1]);
    let is_said = |c: &Candidate| c.said_by[0] || c.said_by[1];
    candidates.sort_by(|a, b| is_said(b).cmp(&is_said(a)).then(likely(b).total_cmp(&likely(a))));
    Ok(Parting { token: speakers[0].said.len(), candidates })
}
