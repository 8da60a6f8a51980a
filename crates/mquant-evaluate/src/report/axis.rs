//! A logarithmic axis, and numbers in drawings.

use std::ops::RangeInclusive;

/// A logarithmic axis between two places.
#[derive(Clone, Debug)]
pub(super) struct LogAxis {
    /// Decimal logarithms of its ends.
    ends: [f64; 2],
    /// Where they are drawn.
    places: [f64; 2],
}

impl LogAxis {
    /// Covers the positive ones of some values; None if there are none.
    pub(super) fn covering(values: impl IntoIterator<Item = f64>, places: [f64; 2]) -> Option<Self> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(|value| is_drawable(*value)) {
            (low, high) = (low.min(value.log10()), high.max(value.log10()));
        }
        if low > high {
            return None;
        }
        // At least half a decade, and some air.
        let air = ((0.5 - (high - low)) / 2.0).max(0.04 * (high - low));
        Some(Self { ends: [low - air, high + air], places })
    }

    /// Where a value is drawn.
    pub(super) fn place(&self, value: f64) -> f64 {
        let [low, high] = self.ends;
        let share = ((value.log10() - low) / (high - low)).clamp(0.0, 1.0);
        self.places[0] + share * (self.places[1] - self.places[0])
    }

    /// Round values to mark, from low to high: decades, and within two of them also 2 and 5, or fewer in many decades.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let [low, high] = self.ends;
        let decades = high - low;
        let every = ((decades / 5.0).ceil() as i32).max(1);
        let steps: &[f64] = if decades <= 1.0 {
            &[1.0, 2.0, 3.0, 5.0, 7.0]
        } else if decades <= 2.0 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        let all: RangeInclusive<i32> = low.floor() as i32..=high.ceil() as i32;
        let ticks = all
            .filter(|decade| decade % every == 0)
            .flat_map(|decade| steps.iter().map(move |s| s * 10f64.powi(decade)));
        ticks.filter(|tick| (low..=high).contains(&tick.log10())).collect()
    }
}

/// Whether a value has a place on such an axis.
pub(super) fn is_drawable(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

/// A tick's label.
pub(super) fn label(tick: f64) -> String {
    match tick {
        t if (0.01..10_000.0).contains(&t) => {
            let text = format!("{t:.2}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        t => format!("{t:.0e}").replace('-', "−"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_placed_by_their_logarithm() {
        let axis = LogAxis::covering([1.0, 100.0, 0.0, -3.0, f64::NAN, f64::INFINITY], [0.0, 108.0]).unwrap();
        // Two decades and 4 % of air at both ends.
        for (value, place) in [(1.0, 4.0), (10.0, 54.0), (100.0, 104.0), (1e9, 108.0)] {
            assert!((axis.place(value) - place).abs() < 1e-9, "{value}: {}", axis.place(value));
        }
        assert!(LogAxis::covering([0.0, f64::NAN], [0.0, 1.0]).is_none());
    }

    #[test]
    fn ticks_are_round_and_few() {
        let ticks = |low: f64, high: f64| LogAxis::covering([low, high], [0.0, 1.0]).unwrap().ticks();
        assert_eq!(ticks(0.5, 500.0), [1.0, 10.0, 100.0]);
        // The air at the low end is 4 % of 1.44 decades: down to 0.96.
        assert_eq!(ticks(1.1, 30.0), [1.0, 2.0, 5.0, 10.0, 20.0]);
        assert!(ticks(7.0, 7.0).len() >= 2);
        assert!((2..=6).contains(&ticks(1e-30, 1e30).len()));
        assert_eq!([label(0.05), label(20.0), label(1e5), label(0.001)], ["0.05", "20", "1e5", "1e−3"]);
    }
}
