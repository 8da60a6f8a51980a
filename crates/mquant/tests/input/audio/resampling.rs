//! Quality of the resampler: sines and a sweep against what they are at the new rate.

use std::f64::consts::TAU;

use super::sine;
use mquant::Explain;
use mquant::input::audio::Sound;

const TO: u32 = 16_000;

/// Samples at either end that ring at the onset and the end of a sound.
fn edge(rate: u32) -> usize {
    // Two seconds is a block of a rate that has no divisor in common with 16 kHz.
    if rate.is_multiple_of(25) { 2048 } else { 40_000 }
}

/// Of a sound whose middle is measured.
fn seconds(rate: u32) -> usize {
    if rate.is_multiple_of(25) { 1 } else { 6 }
}

fn decibel(ratio: f64) -> f64 {
    20.0 * ratio.max(1e-12).log10()
}

fn rms(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), v| (sum + v * v, count + 1.0));
    (sum / count).sqrt()
}

/// Gain of a sine and what else is in the output, both against the sine that belongs there.
fn response(frequency: f64, rate: u32) -> (f64, f64) {
    let sound = sine(frequency, rate, seconds(rate) * rate as usize).resampled(TO).unwrap();
    let count = seconds(rate) * TO as usize;
    assert_eq!(sound.samples().len(), count);
    let step = TAU * frequency / f64::from(TO);
    let inner = || sound.samples().iter().enumerate().skip(edge(rate)).take(count - 2 * edge(rate));
    // Least squares: the part of the output that is in step with the sine.
    let (dot, energy) = inner().fold((0.0, 0.0), |(dot, energy), (i, &v)| {
        let s = 0.5 * (step * i as f64).sin();
        (dot + s * f64::from(v), energy + s * s)
    });
    let gain = dot / energy;
    let rest = rms(inner().map(|(i, &v)| f64::from(v) - gain * 0.5 * (step * i as f64).sin()));
    (gain, rest / (0.5 / 2.0_f64.sqrt()))
}

#[test]
fn the_passband_is_flat_and_what_would_alias_is_gone() {
    for rate in [8_000, 11_025, 22_050, 24_000, 32_000, 44_100, 44_101, 48_000, 96_000, 192_000] {
        let half = f64::from(rate.min(TO)) / 2.0;
        let (mut ripple, mut noise) = (0.0_f64, 0.0_f64);
        for part in [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.93] {
            let (gain, rest) = response(part * half + 0.3, rate);
            ripple = ripple.max(decibel(gain).abs());
            noise = noise.max(rest);
        }
        let mut alias = 0.0_f64;
        for frequency in [8_000.0, 8_100.0, 9_000.0, 12_000.0, 15_999.0, 20_000.0, 40_000.0, 90_000.0] {
            if frequency < f64::from(rate) / 2.0 {
                let sound = sine(frequency, rate, seconds(rate) * rate as usize).resampled(TO).unwrap();
                let inner = &sound.samples()[edge(rate)..seconds(rate) * TO as usize - edge(rate)];
                alias = alias.max(rms(inner.iter().map(|&v| f64::from(v))) / (0.5 / 2.0_f64.sqrt()));
            }
        }
        let (noise, alias) = (decibel(noise), decibel(alias));
        println!("{rate} Hz: ripple {ripple:.4} dB, noise {noise:.1} dB, aliases {alias:.1} dB");
        assert!(ripple < 0.01 && noise < -100.0 && alias < -100.0, "{rate} Hz");
    }
}

#[test]
fn a_sweep_stays_in_step() {
    for rate in [44_100, 48_000, 8_000] {
        let seconds = 2.0;
        let top = 0.9 * f64::from(rate.min(TO)) / 2.0;
        // 50 Hz to the top of the passband.
        let sweep = |t: f64| 0.5 * (TAU * (50.0 * t + (top - 50.0) * t * t / (2.0 * seconds))).sin();
        let at = |rate: u32, i: usize| sweep(i as f64 / f64::from(rate));
        let samples = (0..2 * rate as usize).map(|i| at(rate, i) as f32).collect();
        let found = Sound::new(samples, rate).unwrap().resampled(TO).unwrap();
        let inner = edge(rate)..2 * TO as usize - edge(rate);
        let error = rms(inner.clone().map(|i| f64::from(found.samples()[i]) - at(TO, i)));
        let snr = decibel(rms(inner.map(|i| at(TO, i))) / error);
        println!("{rate} Hz: a sweep at {snr:.1} dB over its error");
        assert!(snr > 90.0, "{rate} Hz: {snr:.1} dB");
    }
}

#[test]
fn lengths_are_rounded_up() {
    for (rate, count, expected) in
        [(44_100, 1, 1), (44_100, 441, 160), (44_100, 442, 161), (8_000, 3, 6), (16_000, 5, 5)]
    {
        let sound = Sound::new(vec![0.1; count], rate).unwrap().resampled(TO).unwrap();
        assert_eq!((sound.samples().len(), sound.sample_rate()), (expected, TO), "{count} at {rate} Hz");
    }
    assert_eq!(sine(100.0, 8_000, 80).resampled(3_999).unwrap_err().code(), "AUDIO_RATE");
}
