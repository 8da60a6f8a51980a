//! Reference answers token by token: how likely a model finds them, and how far its distributions are from another's.

use mquant_kernels::Rows;
use serde::{Deserialize, Serialize};

use super::TokenRecord;
use mquant_model::error::Result;
use mquant_model::run::{Engine, Prompt, RunError, argmax};

/// What two models make of one reference answer. Of all tokens: sums, so that samples can be added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Likelihood {
    /// Tokens of the answer, the one that ends it among them.
    pub tokens: usize,
    /// −Σ ln p of the model.
    pub nll: f64,
    /// −Σ ln p of the baseline.
    pub baseline_nll: f64,
    /// Σ of the Kullback-Leibler divergences D(baseline ‖ model), in nats.
    pub kl: f64,
    /// The largest divergence of a token.
    pub kl_max: f64,
    /// Tokens that both find most likely the same.
    pub top1_equal: usize,
    /// Tokens of the reference that the model finds most likely.
    pub right: usize,
    /// Tokens of the reference that the baseline finds most likely.
    pub baseline_right: usize,
}

impl Likelihood {
    /// Adds another sample.
    pub fn add(&mut self, other: &Likelihood) {
        self.tokens += other.tokens;
        self.nll += other.nll;
        self.baseline_nll += other.baseline_nll;
        self.kl += other.kl;
        self.kl_max = self.kl_max.max(other.kl_max);
        self.top1_equal += other.top1_equal;
        self.right += other.right;
        self.baseline_right += other.baseline_right;
    }

    /// As it is reported; None of no token.
    pub fn record(&self) -> Option<TokenRecord> {
        let tokens = self.tokens;
        let mean = |sum: f64| sum / tokens as f64;
        (tokens > 0).then(|| TokenRecord {
            tokens,
            perplexity: mean(self.nll).exp(),
            baseline_perplexity: mean(self.baseline_nll).exp(),
            kl: mean(self.kl),
            kl_max: self.kl_max,
            top1_agreement: self.top1_equal as f64 / tokens as f64,
        })
    }

    /// Compares the logits before each token of `ids`: tokens × vocabulary of the model and of the baseline.
    ///
    /// # Panics
    /// If there is not one row of logits for each token, or the vocabularies differ.
    pub fn of(logits: &Rows, baseline: &Rows, ids: &[u32]) -> Self {
        assert_eq!((logits.rows(), baseline.rows()), (ids.len(), ids.len()), "a row of logits for each token");
        assert_eq!(logits.features(), baseline.features(), "vocabularies");
        let mut sum = Self::default();
        for (row, id) in ids.iter().enumerate() {
            let (ours, theirs) = (logits.row(row), baseline.row(row));
            let (our_sum, their_sum) = (log_sum_exp(ours), log_sum_exp(theirs));
            let kl = token_divergence(ours, theirs);
            let (our_best, their_best) = (argmax(ours), argmax(theirs));
            sum.add(&Self {
                tokens: 1,
                nll: our_sum - f64::from(ours[*id as usize]),
                baseline_nll: their_sum - f64::from(theirs[*id as usize]),
                kl,
                kl_max: kl,
                top1_equal: usize::from(our_best == their_best),
                right: usize::from(our_best == *id),
                baseline_right: usize::from(their_best == *id),
            });
        }
        sum
    }
}

/// A prompt whose last tokens are a reference answer.
#[derive(Clone, Debug)]
pub struct Referenced {
    /// Question and answer.
    pub prompt: Prompt,
    /// Tokens of the answer at its end.
    pub answer: usize,
}

impl Referenced {
    /// A prompt with an answer after it.
    pub fn new(mut prompt: Prompt, answer: &[u32]) -> Self {
        prompt.extend_text(answer);
        Self { prompt, answer: answer.len() }
    }

    /// The tokens of the answer.
    pub fn ids(&self) -> &[u32] {
        &self.prompt.ids[self.prompt.ids.len() - self.answer..]
    }
}

/// The logits before each token of some reference answers, computed together: tokens × vocabulary of each.
///
/// # Errors
/// If a prompt does not fit the context, or logits are not finite.
pub fn reference_logits(engine: &Engine, referenced: &[&Referenced]) -> Result<Vec<Rows>, RunError> {
    let prompts: Vec<&Prompt> = referenced.iter().map(|r| &r.prompt).collect();
    // The row before a token holds its score.
    let first: Vec<usize> = referenced.iter().map(|r| r.prompt.ids.len() - r.answer - 1).collect();
    let logits = engine.logits_from_batch(&prompts, &first)?;
    let cut = |(logits, r): (Rows, &&Referenced)| {
        let features = logits.features();
        Rows::from_vec(logits.range(0..r.answer).to_vec(), features)
    };
    Ok(logits.into_iter().zip(referenced).map(cut).collect())
}

/// D(p ‖ q) of the distributions that logits stand for, in nats: how surprised `q`, the model, is by what `p`, the
/// baseline, expects.
pub(super) fn token_divergence(q: &[f32], p: &[f32]) -> f64 {
    let (q_sum, p_sum) = (log_sum_exp(q), log_sum_exp(p));
    let of = |(q, p): (&f32, &f32)| {
        let (log_q, log_p) = (f64::from(*q) - q_sum, f64::from(*p) - p_sum);
        log_p.exp() * (log_p - log_q)
    };
    // Below 0 only by rounding.
    q.iter().zip(p).map(of).sum::<f64>().max(0.0)
}

/// ln Σ eˣ, without overflow.
pub(super) fn log_sum_exp(logits: &[f32]) -> f64 {
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    most + logits.iter().map(|s| (f64::from(*s) - most).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_definition() {
        // p = (½, ¼, ¼) and q = (¼, ¼, ½), their logits shifted at will.
        let (quarter, half) = (0.25f32.ln(), 0.5f32.ln());
        let ours = Rows::from_vec(vec![quarter + 3.0, quarter + 3.0, half + 3.0], 3);
        let theirs = Rows::from_vec(vec![half - 50.0, quarter - 50.0, quarter - 50.0], 3);
        let found = Likelihood::of(&ours, &theirs, &[0]);
        let kl = 0.5 * 2f64.ln() + 0.25 * 0.0 - 0.25 * 2f64.ln();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-5, "{a} for {b}");
        near(found.kl, kl);
        near(found.nll, 4f64.ln());
        near(found.baseline_nll, 2f64.ln());
        assert_eq!((found.top1_equal, found.right, found.baseline_right), (0, 0, 1));
        let mut two = found;
        two.add(&Likelihood::of(&theirs, &theirs, &[1]));
        let record = two.record().unwrap();
        near(record.kl, kl / 2.0);
        near(record.kl_max, kl);
        near(record.perplexity, 4.0);
        near(record.baseline_perplexity, 8f64.sqrt());
        near(record.top1_agreement, 0.5);
        assert_eq!(Likelihood::default().record(), None);
    }

    #[test]
    fn scores_of_hundreds_do_not_overflow() {
        let far = Rows::from_vec(vec![800.0, -800.0], 2);
        let near = Rows::from_vec(vec![-800.0, 800.0], 2);
        let found = Likelihood::of(&far, &near, &[0]);
        assert_eq!((found.kl, found.baseline_nll), (1600.0, 1600.0));
    }
}
