//! Prefill of picture and text with the decoder's rows in each order, towers left out.

use super::median;
use crate::error::Result;
use crate::run::{Engine, EngineOptions, LoadedModel, Prompt, RowOrder, RunError, Sequence};

/// Tokens of picture and text that the decoder computes each second, all sequences together: medians over the repeats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OrderedPrefill {
    /// Rows as in the prompt.
    pub original_tokens_per_s: f64,
    /// Rows of the picture first.
    pub modality_first_tokens_per_s: f64,
}

/// An engine for each row order, in the order of [`RowOrder::ALL`].
pub(super) struct RowOrders {
    engines: [Engine; 2],
    /// One for each prompt, which remember the features of their pictures: towers run once, while everything warms up.
    sequences: Vec<Sequence>,
    repeats: usize,
}

impl RowOrders {
    pub(super) fn new(loaded: &LoadedModel, options: EngineOptions) -> Result<Self, RunError> {
        let [a, b] = RowOrder::ALL.map(|row_order| Engine::new(loaded, EngineOptions { row_order, ..options }));
        Ok(Self { engines: [a?, b?], sequences: Vec::new(), repeats: 0 })
    }

    /// Seconds of the decoder over the prompts, for each order. The orders take turns in being the first.
    pub(super) fn prefill(&mut self, prompts: &[Prompt]) -> Result<[f64; 2], RunError> {
        if self.sequences.is_empty() {
            self.sequences = prompts.iter().map(|_| self.engines[0].sequence()).collect();
            self.once(0, prompts)?;
        }
        let mut seconds = [0.0; 2];
        for turn in 0..2 {
            let order = (turn + self.repeats) % 2;
            seconds[order] = self.once(order, prompts)?;
        }
        self.repeats += 1;
        Ok(seconds)
    }

    fn once(&mut self, order: usize, prompts: &[Prompt]) -> Result<f64, RunError> {
        self.sequences.iter_mut().for_each(Sequence::forget_rows);
        let mut all: Vec<&mut Sequence> = self.sequences.iter_mut().collect();
        let (_, stats) = self.engines[order].prefill_batch_measured(&mut all, &prompts.iter().collect::<Vec<_>>())?;
        Ok(stats.decoder.as_secs_f64().max(1e-9))
    }
}

impl OrderedPrefill {
    /// Of the seconds that `tokens` tokens took in each repeat; None without repeats.
    pub(super) fn of(seconds: &[[f64; 2]], tokens: usize) -> Option<Self> {
        let rate = |order: usize| tokens as f64 / median(seconds.iter().map(|each| each[order]).collect());
        (!seconds.is_empty()).then(|| Self { original_tokens_per_s: rate(0), modality_first_tokens_per_s: rate(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_median_of_each_order() {
        let found = OrderedPrefill::of(&[[1.0, 4.0], [2.0, 8.0], [3.0, 2.0]], 8);
        assert_eq!(found, Some(OrderedPrefill { original_tokens_per_s: 4.0, modality_first_tokens_per_s: 2.0 }));
        assert_eq!(OrderedPrefill::of(&[], 8), None);
    }
}
