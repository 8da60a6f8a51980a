//! Percentile intervals by resampling units with replacement, each stratum by itself (Efron and Tibshirani, An Introduction
//! to the Bootstrap, chapters 8 and 13). Of two models on the same samples the differences are resampled.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::evaluate::Unit;

/// Resamplings: enough for the ends of a 95 % interval to be steady in the first decimal.
const RESAMPLINGS: usize = 4000;
/// Share of resamplings on either side of an interval.
const TAIL: f64 = 0.025;

/// What a score might have been on other samples of the same kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Resampled(Vec<f64>);

impl Resampled {
    /// Resamples a score whose parts are these units. Scores of other samples need another name, so that they are drawn
    /// apart.
    pub fn new(units: &[Unit], name: &str) -> Self {
        let mut strata: Vec<Vec<f64>> = Vec::new();
        for unit in units {
            if strata.len() <= unit.stratum {
                strata.resize(unit.stratum + 1, Vec::new());
            }
            strata[unit.stratum].push(unit.value);
        }
        strata.retain(|values| !values.is_empty());
        let mut random = ChaCha8Rng::from_seed(Sha256::digest(name).into());
        let mut resampled = Vec::with_capacity(RESAMPLINGS);
        for _ in 0..RESAMPLINGS {
            let sum = |values: &Vec<f64>| -> f64 {
                values.iter().map(|_| values[random.random_range(0..values.len())]).sum()
            };
            resampled.push(strata.iter().map(sum).sum());
        }
        Self(resampled)
    }

    /// The mean of several scores, each resampled by itself and taken as a share of what can be reached, in percent.
    pub fn mean_percent<'a>(scores: impl IntoIterator<Item = (&'a Resampled, f64)>) -> Self {
        let mut sums = vec![0.0; RESAMPLINGS];
        let mut count = 0usize;
        for (resampled, of) in scores {
            sums.iter_mut().zip(&resampled.0).for_each(|(sum, value)| *sum += 100.0 * value / of);
            count += 1;
        }
        sums.iter_mut().for_each(|sum| *sum /= count.max(1) as f64);
        Self(sums)
    }

    /// The interval that 95 % of the resampled scores are in, rounded to nearest.
    pub fn interval(&self) -> [f64; 2] {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1) as f64;
        // Sums of many parts miss a whole number by rounding.
        let at = |share: f64| (sorted.get((share * last).round() as usize).copied().unwrap_or(0.0) * 1e9).round() / 1e9;
        [at(TAIL), at(1.0 - TAIL)]
    }
}

/// Units of the difference of two models' scores on the same samples.
///
/// # Panics
/// If the units are not those of the same samples.
pub fn paired_units(model: &[Unit], baseline: &[Unit]) -> Vec<Unit> {
    assert_eq!(model.len(), baseline.len(), "units of the same samples");
    let difference = |(model, baseline): (&Unit, &Unit)| Unit { value: model.value - baseline.value, ..*model };
    model.iter().zip(baseline).map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(values: impl IntoIterator<Item = (usize, f64)>) -> Vec<Unit> {
        values.into_iter().map(|(stratum, value)| Unit { stratum, value }).collect()
    }

    #[test]
    fn the_interval_of_a_share_is_that_of_the_normal_approximation() {
        // 300 of 400 right: the standard error of the score in percent is 100·√(0.75·0.25/400) = 2.165.
        let found = Resampled::new(&units((0..400).map(|i| (0, if i % 4 == 0 { 0.0 } else { 0.25 }))), "a").interval();
        let expected = [75.0 - 1.96 * 2.165, 75.0 + 1.96 * 2.165];
        found.iter().zip(expected).for_each(|(f, e)| assert!((f - e).abs() < 0.4, "{found:?} for {expected:?}"));
    }

    #[test]
    fn strata_keep_their_sizes() {
        // All of one stratum are right, all of the other wrong: nothing can vary.
        let found =
            Resampled::new(&units((0..10).map(|i| (i % 2, if i % 2 == 0 { 20.0 } else { 0.0 }))), "a").interval();
        assert_eq!(found, [100.0, 100.0]);
    }

    #[test]
    fn equal_models_differ_by_nothing_however_uncertain_their_scores_are() {
        let scores = units((0..50).map(|i| (0, f64::from(i % 3))));
        assert_eq!(Resampled::new(&paired_units(&scores, &scores), "a").interval(), [0.0, 0.0]);
        let [low, high] = Resampled::new(&scores, "a").interval();
        assert!(low < high);
    }

    #[test]
    fn means_weigh_benchmarks_alike_whatever_they_count_to() {
        let percent = Resampled::new(&units([(0, 50.0)]), "a");
        let points = Resampled::new(&units([(0, 2000.0)]), "b");
        assert_eq!(Resampled::mean_percent([(&percent, 100.0), (&points, 2000.0)]).interval(), [75.0, 75.0]);
        assert_eq!(Resampled::new(&[], "a").interval(), [0.0, 0.0]);
    }
}
