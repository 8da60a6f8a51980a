//! Choosing the next token.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::RunError;
use crate::input::generation_config::{Decoding, GenerationConfig};

/// How the next token is chosen; by Hugging Face's names and in its order: repetition penalty, temperature, top-k, top-p.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerOptions {
    /// Divides the logits; 0 takes the best token.
    pub temperature: f32,
    /// Keeps the fewest most probable tokens whose probabilities sum to this much.
    pub top_p: f32,
    /// Keeps this many tokens; 0 keeps all.
    pub top_k: usize,
    /// Divides positive and multiplies negative logits of tokens seen before; 1 changes nothing.
    pub repetition_penalty: f32,
    /// Draws repeat for equal seeds.
    pub seed: u64,
}

impl SamplerOptions {
    /// The best token, always.
    pub const GREEDY: Self = Self { temperature: 0.0, top_p: 1.0, top_k: 0, repetition_penalty: 1.0, seed: 0 };

    /// What the model's author recommends.
    pub fn published(config: &GenerationConfig) -> Self {
        let temperature = if config.decoding == Decoding::Greedy { 0.0 } else { config.temperature };
        Self {
            temperature,
            top_p: config.top_p,
            top_k: config.top_k as usize,
            repetition_penalty: config.repetition_penalty,
            seed: 0,
        }
    }

    fn check(&self) -> Result<(), RunError> {
        let wrong = |option, found: f32, expected| RunError::Option { option, found: found.to_string(), expected };
        if !(0.0..=100.0).contains(&self.temperature) {
            return Err(wrong("temperature", self.temperature, "0 to 100"));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(wrong("top-p", self.top_p, "above 0 and at most 1"));
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty <= 100.0) {
            return Err(wrong("repetition-penalty", self.repetition_penalty, "above 0 and at most 100"));
        }
        Ok(())
    }
}

/// Draws tokens.
#[derive(Clone, Debug)]
pub struct Sampler {
    options: SamplerOptions,
    rng: ChaCha8Rng,
    candidates: Vec<(f32, u32)>,
}

impl Sampler {
    /// A sampler at the beginning of its draws.
    ///
    /// # Errors
    /// If an option is out of range.
    pub fn new(options: SamplerOptions) -> Result<Self, RunError> {
        options.check()?;
        Ok(Self { options, rng: ChaCha8Rng::seed_from_u64(options.seed), candidates: Vec::new() })
    }

    /// The next token by its logits (one for each token of the vocabulary), which are changed. `seen` are the tokens so far.
    pub fn sample(&mut self, logits: &mut [f32], seen: impl Iterator<Item = u32>) -> u32 {
        self.penalise(logits, seen);
        if self.options.temperature == 0.0 {
            return argmax(logits);
        }
        let SamplerOptions { temperature, top_p, top_k, .. } = self.options;
        let candidates = &mut self.candidates;
        candidates.clear();
        candidates.extend(logits.iter().zip(0..).map(|(s, id)| (*s / temperature, id)));
        if top_k > 0 && top_k < candidates.len() {
            candidates.select_nth_unstable_by(top_k - 1, by_score);
            candidates.truncate(top_k);
            candidates.sort_unstable_by(by_score);
        }
        let max = candidates.iter().fold(f32::NEG_INFINITY, |max, c| max.max(c.0));
        candidates.iter_mut().for_each(|c| c.0 = (c.0 - max).exp());
        if top_p < 1.0 {
            let total: f32 = candidates.iter().map(|c| c.0).sum();
            let kept = nucleus(candidates, top_p * total);
            candidates.truncate(kept);
        }
        let mass: f32 = candidates.iter().map(|c| c.0).sum();
        let mut draw = self.rng.random::<f32>() * mass;
        for (p, id) in candidates.iter() {
            draw -= p;
            if draw < 0.0 {
                return *id;
            }
        }
        candidates.last().map_or(0, |c| c.1)
    }

    fn penalise(&self, logits: &mut [f32], seen: impl Iterator<Item = u32>) {
        let penalty = self.options.repetition_penalty;
        if penalty == 1.0 {
            return;
        }
        let mut ids: Vec<u32> = seen.collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let score = &mut logits[id as usize];
            *score = if *score > 0.0 { *score / penalty } else { *score * penalty };
        }
    }
}

/// The higher logit first, then the lower id.
fn by_score(a: &(f32, u32), b: &(f32, u32)) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

/// How many of the most probable candidates have the mass `wanted` together, at least one; they are put in front, sorted. A
/// vocabulary is hardly ever needed as a whole, so no more of it is sorted than the mass asks for.
fn nucleus(candidates: &mut [(f32, u32)], wanted: f32) -> usize {
    let (mut sorted, mut step, mut sum) = (0, 64, 0.0);
    while sorted < candidates.len() {
        let end = (sorted + step).min(candidates.len());
        if end < candidates.len() {
            candidates[sorted..].select_nth_unstable_by(end - sorted, by_score);
        }
        candidates[sorted..end].sort_unstable_by(by_score);
        for (i, (p, _)) in candidates.iter().enumerate().take(end).skip(sorted) {
            if sum >= wanted {
                return i.max(1);
            }
            sum += p;
        }
        (sorted, step) = (end, 4 * step);
    }
    candidates.len()
}

/// The token with the highest logit; the first of equals.
pub fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (i, s) in logits.iter().enumerate() {
        if *s > logits[best] {
            best = i;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(options: SamplerOptions, logits: &[f32], n: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(options).unwrap();
        (0..n).map(|_| sampler.sample(&mut logits.to_vec(), std::iter::empty())).collect()
    }

    #[test]
    fn draws_follow_the_distribution_and_repeat_with_the_seed() {
        let logits = [0.0f32, 1.0, 2.0, -1.0];
        let options = SamplerOptions { temperature: 1.0, seed: 7, ..SamplerOptions::GREEDY };
        let drawn = draws(options, &logits, 20_000);
        assert_eq!(drawn, draws(options, &logits, 20_000));
        assert_ne!(drawn, draws(SamplerOptions { seed: 8, ..options }, &logits, 20_000));
        let total: f64 = logits.iter().map(|s| f64::from(*s).exp()).sum();
        for (id, s) in logits.iter().enumerate() {
            let share = drawn.iter().filter(|d| **d == id as u32).count() as f64 / 20_000.0;
            assert!((share - f64::from(*s).exp() / total).abs() < 0.015, "token {id}: {share}");
        }
    }

    #[test]
    fn top_k_top_p_and_penalty_cut_what_they_should() {
        let logits = [0.0f32, 1.0, 2.0, -1.0];
        let options = SamplerOptions { temperature: 1.0, ..SamplerOptions::GREEDY };
        let only = |options, allowed: &[u32]| draws(options, &logits, 500).iter().all(|d| allowed.contains(d));
        assert!(only(SamplerOptions { top_k: 2, ..options }, &[1, 2]));
        assert!(only(SamplerOptions { top_p: 0.6, ..options }, &[2]));
        assert!(only(SamplerOptions { top_p: 0.7, ..options }, &[1, 2]));
        let mut sampler = Sampler::new(SamplerOptions { repetition_penalty: 4.0, ..SamplerOptions::GREEDY }).unwrap();
        assert_eq!(sampler.sample(&mut logits.to_vec(), [2, 2].into_iter()), 1);
        let negative = [-1.0f32, -3.0];
        assert_eq!(sampler.sample(&mut negative.to_vec(), [0].into_iter()), 1);
    }

    #[test]
    fn the_nucleus_is_that_of_a_full_sort() {
        for n in [1, 63, 64, 65, 1000] {
            let all: Vec<(f32, u32)> = (0..n).map(|i| (((i * 7919) % 997) as f32 / 997.0, i as u32)).collect();
            for share in [0.0, 0.01, 0.5, 0.9, 0.999] {
                let wanted = share * all.iter().map(|c| c.0).sum::<f32>();
                let mut sorted = all.clone();
                sorted.sort_unstable_by(by_score);
                let mut sum = 0.0;
                let before = |c: &&(f32, u32)| {
                    let is_short = sum < wanted;
                    sum += c.0;
                    is_short
                };
                let kept = sorted.iter().take_while(before).count().max(1);
                let mut some = all.clone();
                assert_eq!(nucleus(&mut some, wanted), kept, "{n} candidates, {share}");
                assert_eq!(some[..kept], sorted[..kept], "{n} candidates, {share}");
            }
        }
    }

    #[test]
    fn options_out_of_range_are_refused() {
        for options in [
            SamplerOptions { temperature: f32::NAN, ..SamplerOptions::GREEDY },
            SamplerOptions { temperature: -1.0, ..SamplerOptions::GREEDY },
            SamplerOptions { top_p: 0.0, ..SamplerOptions::GREEDY },
            SamplerOptions { top_p: 1.5, ..SamplerOptions::GREEDY },
            SamplerOptions { repetition_penalty: 0.0, ..SamplerOptions::GREEDY },
        ] {
            assert!(matches!(Sampler::new(options), Err(RunError::Option { .. })), "{options:?}");
        }
    }
}
