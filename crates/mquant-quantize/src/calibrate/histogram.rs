//! A histogram of magnitudes with logarithmic bins over the whole range of f32, from which ranges are chosen: the largest
//! magnitude, a percentile, or the least expected squared error.
//!
//! A bin is what shares an exponent and the first 7 bits of the mantissa, so it is at most 0.8 % wide. Bins below the
//! smallest normal number are as wide as those of the smallest exponent. Merging in any order gives the same histogram.

use mquant_kernels::{SMALLEST_SCALE, scale_of};

/// Bins of an exponent.
const BINS: usize = 128;
/// Exponents of finite numbers.
const EXPONENTS: usize = 255;
/// Candidate ranges of an octave in the first search for the best scale.
const CANDIDATES: i32 = 16;
/// Steps that narrow the best candidate down.
const STEPS: usize = 24;

/// How often magnitudes were seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Counts of an exponent's bins, for the exponents that were seen.
    exponents: Vec<Option<Box<[u64; BINS]>>>,
    absmax: f32,
    zeros: u64,
    finite: u64,
    not_finite: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// Nothing seen.
    pub fn new() -> Self {
        Self { exponents: vec![None; EXPONENTS], absmax: 0.0, zeros: 0, finite: 0, not_finite: 0 }
    }

    /// Counts the magnitudes of `values`.
    pub fn add(&mut self, values: &[f32]) {
        for value in values {
            let magnitude = value.abs();
            if !magnitude.is_finite() {
                self.not_finite += 1;
                continue;
            }
            self.finite += 1;
            if magnitude == 0.0 {
                self.zeros += 1;
                continue;
            }
            let bin = (magnitude.to_bits() >> 16) as usize;
            let bins = self.exponents[bin / BINS].get_or_insert_with(|| Box::new([0; BINS]));
            bins[bin % BINS] += 1;
            self.absmax = self.absmax.max(magnitude);
        }
    }

    /// Counts what `other` has counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (own, other) in self.exponents.iter_mut().zip(&other.exponents) {
            if let Some(other) = other {
                let own = own.get_or_insert_with(|| Box::new([0; BINS]));
                own.iter_mut().zip(&**other).for_each(|(own, other)| *own += other);
            }
        }
        self.absmax = self.absmax.max(other.absmax);
        self.zeros += other.zeros;
        self.finite += other.finite;
        self.not_finite += other.not_finite;
    }

    /// The largest finite magnitude, exact; 0 if there was none.
    pub fn absmax(&self) -> f32 {
        self.absmax
    }

    /// Finite values seen, zeros among them.
    pub fn count(&self) -> u64 {
        self.finite
    }

    /// Values that were 0.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Values that were NaN or infinite; nothing else takes notice of them.
    pub fn not_finite(&self) -> u64 {
        self.not_finite
    }

    /// A magnitude that at least the share `p` (0…1) of the finite values does not exceed, and at most 0.8 % above the
    /// smallest such; at 1 the exact largest. 0 if nothing was seen; a `p` that is not a number counts as 1.
    pub fn percentile(&self, p: f64) -> f32 {
        let p = if p.is_nan() { 1.0 } else { p };
        let mut left = (p * self.finite as f64).ceil() - self.zeros as f64;
        if left <= 0.0 {
            return 0.0;
        }
        for bin in self.bins() {
            left -= bin.count;
            if left <= 0.0 {
                return bin.to as f32;
            }
        }
        self.absmax
    }

    /// The scale of symmetric codes −levels…levels whose expected squared error of rounding and clipping is least: at most
    /// absmax / levels, at least the smallest scale. Values are taken as spread evenly within their bin.
    pub fn mse_scale(&self, levels: u32) -> f32 {
        let levels = f64::from(levels.max(1));
        let whole = scale_of(self.absmax, levels as f32);
        let bins: Vec<Bin> = self.bins().collect();
        let Some(first) = bins.first() else { return whole };
        let error = |scale: f64| bins.iter().map(|bin| bin.error(scale, levels)).sum::<f64>();
        // Below the range of the smallest magnitude everything is clipped more and more.
        let (mut best, mut least) = (f64::from(whole), error(f64::from(whole)));
        for step in 1.. {
            let scale = f64::from(whole) * (-f64::from(step) / f64::from(CANDIDATES)).exp2();
            if scale * levels < first.from || scale < f64::from(SMALLEST_SCALE) {
                break;
            }
            let found = error(scale);
            if found < least {
                (best, least) = (scale, found);
            }
            // What is clipped never becomes less.
            if bins.iter().rev().map(|bin| bin.clipped(scale, levels)).sum::<f64>() > least {
                break;
            }
        }
        // Finer and finer neighbours of the best so far.
        let mut ratio = 1.0 / f64::from(CANDIDATES);
        for _ in 0..STEPS {
            ratio *= 0.7;
            for scale in [best * (-ratio).exp2(), (best * ratio.exp2()).min(f64::from(whole))] {
                let found = error(scale);
                if found < least {
                    (best, least) = (scale, found);
                }
            }
        }
        (best as f32).clamp(SMALLEST_SCALE.min(whole), whole)
    }

    /// Bins with something in them, smallest first. The largest magnitude is the last, by itself: a single outlier would be
    /// taken for something smaller.
    fn bins(&self) -> impl Iterator<Item = Bin> {
        let absmax = f64::from(self.absmax);
        let counts = self.exponents.iter().enumerate();
        let counts = counts.filter_map(|(exponent, bins)| Some((exponent, bins.as_deref()?)));
        let bins = counts.flat_map(move |(exponent, bins)| {
            bins.iter().enumerate().map(move |(bin, count)| {
                let edge = |bin: usize| f64::from(f32::from_bits((bin as u32) << 16));
                let bin = exponent * BINS + bin;
                let largest = u64::from(bin == (self.absmax.to_bits() >> 16) as usize);
                // What follows the last bin is infinity; the largest magnitude ends every bin.
                Bin { from: edge(bin), to: edge(bin + 1).min(absmax), count: count.saturating_sub(largest) as f64 }
            })
        });
        let largest = Bin { from: absmax, to: absmax, count: if absmax > 0.0 { 1.0 } else { 0.0 } };
        bins.chain([largest]).filter(|bin| bin.count > 0.0)
    }
}

/// Magnitudes from `from` to `to`.
#[derive(Clone, Copy, Debug)]
struct Bin {
    from: f64,
    to: f64,
    count: f64,
}

impl Bin {
    /// Σ (x − s·q(x))² of values spread evenly.
    fn error(self, scale: f64, levels: f64) -> f64 {
        // ∫₀ˣ of the squared error: s³/12 for every whole step passed, and a cubic in what is left of the last.
        let integral = |x: f64| {
            let steps = (x / scale).round_ties_even().min(levels);
            steps * scale.powi(3) / 12.0 + (x - steps * scale).powi(3) / 3.0
        };
        let width = self.to - self.from;
        // The difference of two integrals so close has no digits; the middle stands for all.
        if width <= 1e-4 * scale || width <= 1e-6 * self.to {
            let middle = (self.from + self.to) * 0.5;
            return self.count * (middle - (middle / scale).round_ties_even().min(levels) * scale).powi(2);
        }
        self.count * (integral(self.to) - integral(self.from)) / width
    }

    /// The part of the error that clipping makes, at least.
    fn clipped(self, scale: f64, levels: f64) -> f64 {
        self.count * (self.from - levels * scale).max(0.0).powi(2)
    }
}

#[cfg(test)]
mod tests;
