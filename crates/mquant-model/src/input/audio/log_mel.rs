//! A logarithmic mel spectrogram as Whisper's feature extractor computes it.
//!
//! Frames of [`WINDOW`] samples every [`HOP`], centred on their place, the first ones filled up by reflection; a periodic Hann
//! window; the power of the spectrum through triangular mel filters (Slaney's scale, each of area 1, 0 to 8 kHz);
//! `log10(max(·, 1e-10))`, no lower than 8 below the largest value of the whole sound, then `(· + 4) / 4`.
//! Computed in f64; the reference, in f32, differs by its own rounding.

use std::f64::consts::PI;
use std::sync::Arc;

use mquant_kernels::Rows;
use realfft::{RealFftPlanner, RealToComplex};

/// Samples in a second.
pub(super) const SAMPLE_RATE: u32 = 16_000;

/// Samples under the window, and points of the transform.
pub(super) const WINDOW: usize = 400;

/// Samples from one frame to the next.
pub(super) const HOP: usize = 160;

/// Frequencies of a spectrum.
const BINS: usize = WINDOW / 2 + 1;

/// Decades that a spectrogram keeps below its largest value.
const RANGE: f64 = 8.0;

/// The transform and its tables.
#[derive(Clone)]
pub(super) struct LogMel {
    fft: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,
    filters: Vec<Filter>,
}

/// A triangle over consecutive frequencies.
#[derive(Clone)]
struct Filter {
    first: usize,
    weights: Vec<f64>,
}

impl LogMel {
    /// Of `mels` features.
    pub(super) fn new(mels: usize) -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(WINDOW);
        let window = (0..WINDOW).map(|i| 0.5 - 0.5 * (2.0 * PI * i as f64 / WINDOW as f64).cos()).collect();
        Self { fft, window, filters: filters(mels) }
    }

    /// Values in a row.
    pub(super) fn mels(&self) -> usize {
        self.filters.len()
    }

    /// Rows of the frames that begin inside `samples`, at most `padded` of them, as if zeros followed up to `padded` samples.
    pub(super) fn rows(&self, samples: &[f32], padded: usize) -> Rows {
        let valid = samples.len().div_ceil(HOP);
        // Those behind the last row that still hear its end count for the largest value.
        let frames = (samples.len() + WINDOW / 2).div_ceil(HOP).min(padded / HOP).max(valid);
        let mels = self.mels();
        let mut values = vec![0.0; frames * mels];
        let (mut input, mut spectrum) = (self.fft.make_input_vec(), self.fft.make_output_vec());
        let mut scratch = self.fft.make_scratch_vec();
        let mut power = vec![0.0; BINS];
        for (frame, row) in values.chunks_exact_mut(mels).enumerate() {
            for (i, (value, window)) in input.iter_mut().zip(&self.window).enumerate() {
                *value = f64::from(sample(samples, padded, frame * HOP + i)) * window;
            }
            self.fft
                .process_with_scratch(&mut input, &mut spectrum, &mut scratch)
                .expect("the buffers are the plan's own");
            for (power, value) in power.iter_mut().zip(&spectrum) {
                *power = value.norm_sqr();
            }
            for (value, filter) in row.iter_mut().zip(&self.filters) {
                let weighted = filter.weights.iter().zip(&power[filter.first..]).map(|(w, p)| w * p);
                *value = weighted.sum::<f64>().max(1e-10).log10();
            }
        }
        let floor = values.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b)) - RANGE;
        let normalised = values[..valid * mels].iter().map(|v| ((v.max(floor) + 4.0) / 4.0) as f32);
        Rows::from_vec(normalised.collect(), mels)
    }
}

/// The sample at `at`, counted from half a window before the first one.
fn sample(samples: &[f32], padded: usize, at: usize) -> f32 {
    let half = WINDOW / 2;
    let place = match at.checked_sub(half) {
        None => half - at,
        Some(place) if place < padded => place,
        Some(place) => 2 * (padded - 1) - place,
    };
    samples.get(place).copied().unwrap_or(0.0)
}

/// Mel filters; neighbours meet at each other's centres.
fn filters(mels: usize) -> Vec<Filter> {
    let nyquist = f64::from(SAMPLE_RATE) / 2.0;
    let top = mel(nyquist);
    let edges: Vec<f64> = (0..mels + 2).map(|i| hertz(top * i as f64 / (mels + 1) as f64)).collect();
    let bins: Vec<f64> = (0..BINS).map(|i| nyquist * i as f64 / (BINS - 1) as f64).collect();
    let filter = |edges: &[f64]| {
        let [low, centre, high] = edges else { unreachable!("windows of three") };
        let weight = |f: &f64| {
            let triangle = ((f - low) / (centre - low)).min((high - f) / (high - centre)).max(0.0);
            triangle * 2.0 / (high - low)
        };
        let all: Vec<f64> = bins.iter().map(weight).collect();
        let first = all.iter().position(|&w| w > 0.0).unwrap_or(0);
        let past = all.iter().rposition(|&w| w > 0.0).map_or(first, |last| last + 1);
        Filter { first, weights: all[first..past].to_vec() }
    };
    edges.windows(3).map(filter).collect()
}

/// Slaney's scale: linear up to 1 kHz, then 27 mels for a factor of 6.4.
fn mel(hertz: f64) -> f64 {
    if hertz < 1000.0 { hertz * 3.0 / 200.0 } else { 15.0 + (hertz / 1000.0).ln() * 27.0 / 6.4_f64.ln() }
}

fn hertz(mel: f64) -> f64 {
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * ((mel - 15.0) * 6.4_f64.ln() / 27.0).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_has_an_inverse() {
        for f in [0.0, 440.0, 999.0, 1000.0, 3000.0, 8000.0] {
            assert!((hertz(mel(f)) - f).abs() < 1e-9, "{f}");
        }
    }

    #[test]
    fn both_ends_reflect() {
        let samples: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let around = |at: usize| sample(&samples, 1000, at);
        assert_eq!([around(0), around(199), around(200), around(1199), around(1200)], [200.0, 1.0, 0.0, 999.0, 998.0]);
        assert_eq!(sample(&samples, 5000, 1200), 0.0);
    }

    #[test]
    fn silence_is_the_floor() {
        let rows = LogMel::new(128).rows(&[0.0; 161], 16_000);
        assert_eq!((rows.rows(), rows.features()), (2, 128));
        assert!(rows.as_slice().iter().all(|&v| v == -1.5));
    }
}
