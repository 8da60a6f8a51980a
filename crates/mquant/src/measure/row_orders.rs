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
pub(super) struct RowOrders([Engine; 2]);

impl RowOrders {
    pub(super) fn new(loaded: &LoadedModel, options: EngineOptions) -> Result<Self, RunError> {
        let [a, b] = RowOrder::ALL.map(|row_order| Engine::new(loaded, EngineOptions { row_order, ..options }));
        Ok(Self([a?, b?]))
    }

    /// Seconds of the decoder over the prompts, for each order.
    pub(super) fn prefill(&self, prompts: &[Prompt]) -> Result<[f64; 2], RunError> {
        let once = |engine: &Engine| {
            let mut sequences: Vec<Sequence> = prompts.iter().map(|_| engine.sequence()).collect();
            let mut all: Vec<&mut Sequence> = sequences.iter_mut().collect();
            let (_, effort) = engine.prefill_batch_measured(&mut all, &prompts.iter().collect::<Vec<_>>())?;
            Ok(effort.decoder.as_secs_f64().max(1e-9))
        };
        let [a, b] = &self.0;
        Ok([once(a)?, once(b)?])
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
