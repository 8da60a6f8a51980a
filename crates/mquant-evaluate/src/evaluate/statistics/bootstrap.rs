//! Percentile intervals by resampling units with replacement, each stratum by itself (Efron and Tibshirani, An Introduction
//! to the Bootstrap, chapters 8 and 13). A rate is computed of each resampling's own numerator and denominator. Two models on the
//! same samples are resampled alike, so that their difference in each resampling is that on the same samples.

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
    /// apart; scores of the same samples need the same one, so that they are drawn alike.
    pub fn new(units: &[Unit], name: &str) -> Self {
        let mut strata: Vec<Vec<(f64, f64)>> = Vec::new();
        let is_rate = units.iter().any(|unit| unit.per.is_some());
        for unit in units {
            if strata.len() <= unit.stratum {
                strata.resize(unit.stratum + 1, Vec::new());
            }
            strata[unit.stratum].push((unit.value, unit.per.unwrap_or(0.0)));
        }
        strata.retain(|values| !values.is_empty());
        let mut random = ChaCha8Rng::from_seed(Sha256::digest(name).into());
        let mut resampled = Vec::with_capacity(RESAMPLINGS);
        for _ in 0..RESAMPLINGS {
            let mut sum = |parts: &Vec<(f64, f64)>| {
                let drawn = parts.iter().map(|_| parts[random.random_range(0..parts.len())]);
                drawn.fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1))
            };
            let (value, per) = strata.iter().map(&mut sum).fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
            resampled.push(if is_rate { rate(value, per) } else { value });
        }
        Self(resampled)
    }

    /// Every resampled score as something else.
    pub fn map(self, change: impl Fn(f64) -> f64) -> Self {
        Self(self.0.into_iter().map(change).collect())
    }

    /// The difference of two scores of the same samples.
    pub fn minus(&self, other: &Resampled) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(own, other)| own - other).collect())
    }

    /// The mean of several scores, each resampled by itself.
    pub fn mean<'a>(scores: impl IntoIterator<Item = &'a Resampled>) -> Self {
        let mut sums = vec![0.0; RESAMPLINGS];
        let mut count = 0usize;
        for resampled in scores {
            sums.iter_mut().zip(&resampled.0).for_each(|(sum, value)| *sum += value);
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
        // Sums of many parts miss a whole number by rounding; 0 has no sign.
        let at = |share: f64| {
            (sorted.get((share * last).round() as usize).copied().unwrap_or(0.0) * 1e9).round() / 1e9 + 0.0
        };
        [at(TAIL), at(1.0 - TAIL)]
    }
}

/// A rate in percent; of nothing at all it is that of one.
pub fn rate(value: f64, per: f64) -> f64 {
    100.0 * value / if per > 0.0 { per } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(values: impl IntoIterator<Item = (usize, f64)>) -> Vec<Unit> {
        values.into_iter().map(|(stratum, value)| Unit::part(stratum, value)).collect()
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
        let [own, same] = [Resampled::new(&scores, "a"), Resampled::new(&scores, "a")];
        assert_eq!(own.minus(&same).interval(), [0.0, 0.0]);
        let [low, high] = own.interval();
        assert!(low < high);
        assert_ne!(own.minus(&Resampled::new(&scores, "b")).interval(), [0.0, 0.0], "other samples are drawn apart");
    }

    #[test]
    fn a_rate_is_that_of_its_own_samples() {
        // As many errors as words everywhere: nothing can vary, however unequal the units are.
        let units = |errors: fn(usize) -> f64| -> Vec<Unit> {
            (0..200).map(|i| Unit { stratum: 0, value: errors(i), per: Some((1 + i % 9) as f64) }).collect()
        };
        assert_eq!(Resampled::new(&units(|i| (1 + i % 9) as f64), "a").interval(), [100.0, 100.0]);
        // By the linearised variance of a ratio: √(Σ(e − R·w)²)/Σw.
        let found = units(|i| f64::from(u8::from(i % 4 == 0)) * (1 + i % 9) as f64);
        let words: f64 = found.iter().filter_map(|unit| unit.per).sum();
        let share = found.iter().map(|unit| unit.value).sum::<f64>() / words;
        let square = |unit: &Unit| (unit.value - share * unit.per.unwrap_or_default()).powi(2);
        let spread = 100.0 * found.iter().map(square).sum::<f64>().sqrt() / words;
        let [low, high] = Resampled::new(&found, "a").interval();
        let expected = [100.0 * share - 1.96 * spread, 100.0 * share + 1.96 * spread];
        assert!((low - expected[0]).abs() < 0.6 && (high - expected[1]).abs() < 0.6, "{low} {high} {expected:?}");
        assert_eq!([rate(3.0, 2.0), rate(2.0, 0.0)], [150.0, 200.0]);
    }

    #[test]
    fn means_weigh_benchmarks_alike_whatever_they_count_to() {
        let percent = Resampled::new(&units([(0, 50.0)]), "a");
        let points = Resampled::new(&units([(0, 2000.0)]), "b");
        let shares = [percent, points.map(|value| value / 20.0)];
        assert_eq!(Resampled::mean(&shares).interval(), [75.0, 75.0]);
        assert_eq!(Resampled::new(&[], "a").interval(), [0.0, 0.0]);
    }
}
