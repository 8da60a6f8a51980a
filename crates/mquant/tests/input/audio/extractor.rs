//! Features against the reference, and settings that are refused.

use super::{fixtures, floats, largest_difference, sine, table};
use mquant::checkpoint::Fields;
use mquant::input::audio::{AudioLimits, ExtractorError, ExtractorFiles, FeatureExtractor, Sound, open};
use mquant::{Class, Explain};
use mquant_testkit::bare;
use serde_json::{Value, json};

/// Largest difference to the reference that is allowed.
const TOLERANCE: f32 = 1e-3;

fn golden_extractor() -> FeatureExtractor {
    let bytes = std::fs::read(fixtures().join("goldens/processor_config.json")).unwrap();
    let processor = Some(Fields::parse("processor_config.json", &bytes).unwrap());
    FeatureExtractor::from_fields(ExtractorFiles { processor, ..Default::default() }).unwrap()
}

fn flat(config: &Value) -> Result<FeatureExtractor, ExtractorError> {
    let preprocessor = Some(bare::fields("preprocessor_config.json", config));
    FeatureExtractor::from_fields(ExtractorFiles { preprocessor, ..Default::default() })
}

fn golden_sound(name: &str) -> Sound {
    open(&fixtures().join(format!("goldens/{name}.wav")), &AudioLimits::default()).unwrap()
}

#[test]
fn features_equal_the_goldens() {
    let extractor = golden_extractor();
    assert_eq!((extractor.mels(), extractor.longest_seconds()), (128, 300));
    for (name, frames) in [("audio", 201), ("image-audio", 57)] {
        let sound = golden_sound(name);
        let features = extractor.features(&sound).unwrap().rows;
        assert_eq!((features.rows(), features.features()), (frames, 128), "{name}");
        assert_eq!(extractor.frames(sound.samples().len()), frames);
        let found = largest_difference(features.as_slice(), &floats(&format!("goldens/{name}.f32")));
        println!("{name}: {found:e}");
        assert!(found <= TOLERANCE, "{name}: off by {found:e}");
    }
}

#[test]
fn features_equal_the_reference_for_every_length() {
    let all = golden_sound("audio");
    let expected = floats("features.f32");
    let mut at = 0;
    for [mels, seconds, samples, frames] in table("features.tsv") {
        let [mels, seconds, samples, frames] = [mels, seconds, samples, frames].map(|n| n.parse::<usize>().unwrap());
        let config =
            json!({"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": mels, "chunk_length": seconds});
        let sound = Sound::new(all.samples()[..samples].to_vec(), 16_000).unwrap();
        let features = flat(&config).unwrap().features(&sound).unwrap().rows;
        assert_eq!((features.rows(), features.features()), (frames, mels), "{samples} samples");
        let found = largest_difference(features.as_slice(), &expected[at..at + frames * mels]);
        at += frames * mels;
        println!("{mels} mels, {seconds} s, {samples} samples: {found:e}");
        assert!(found <= TOLERANCE, "{samples} samples: off by {found:e}");
    }
    assert_eq!(at, expected.len());
}

#[test]
fn other_rates_are_resampled_first() {
    let extractor = golden_extractor();
    let direct = extractor.features(&sine(440.0, 16_000, 16_000)).unwrap().rows;
    let resampled = extractor.features(&sine(440.0, 48_000, 48_000)).unwrap().rows;
    assert_eq!(resampled.rows(), direct.rows());
    // Onset and end ring differently, and what lies far below the tone is noise of either path.
    let (direct, resampled) = (&direct.as_slice()[5 * 128..95 * 128], &resampled.as_slice()[5 * 128..95 * 128]);
    let loudest = direct.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for (&a, &b) in direct.iter().zip(resampled) {
        assert!((a - b).abs() < 0.02 || a.max(b) < loudest - 1.5, "{a} and {b}, loudest {loudest}");
    }
}

#[test]
fn a_sound_that_the_reference_would_cut_is_refused() {
    let config = json!({"feature_extractor_type": "WhisperFeatureExtractor", "chunk_length": 1});
    let extractor = flat(&config).unwrap();
    assert!(extractor.features(&sine(440.0, 16_000, 16_000)).is_ok());
    for (rate, count) in [(16_000, 16_001), (48_000, 48_001)] {
        let error = extractor.features(&sine(440.0, rate, count)).unwrap_err();
        assert_eq!((error.code(), error.class()), ("AUDIO_TOO_LONG", Class::Input), "{error}");
    }
}

#[test]
fn other_settings_are_refused_by_name() {
    let base = json!({
        "feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 128, "hop_length": 160, "n_fft": 400,
        "sampling_rate": 16000, "chunk_length": 300, "n_samples": 4_800_000, "nb_max_frames": 30_000, "padding_value": 0.0,
        "padding_side": "right", "dither": 0.0, "return_attention_mask": true,
    });
    assert!(flat(&base).is_ok());
    for (field, value, code) in [
        ("feature_extractor_type", json!("SeamlessM4TFeatureExtractor"), "FIELD_CHOICE"),
        ("feature_size", json!(64), "FIELD_CHOICE"),
        ("feature_size", json!(0), "FIELD_RANGE"),
        ("feature_size", json!("128"), "FIELD_KIND"),
        ("hop_length", json!(0), "FIELD_RANGE"),
        ("hop_length", json!(200), "FIELD_CHOICE"),
        ("n_fft", json!(512), "FIELD_CHOICE"),
        ("sampling_rate", json!(24000), "FIELD_CHOICE"),
        ("chunk_length", json!(0), "FIELD_RANGE"),
        ("chunk_length", json!(3601), "FIELD_RANGE"),
        ("n_samples", json!(480_000), "FIELD_CONFLICT"),
        ("nb_max_frames", json!(3000), "FIELD_CONFLICT"),
        ("padding_value", json!(1.0), "FIELD_CHOICE"),
        ("padding_side", json!("left"), "FIELD_CHOICE"),
        ("dither", json!(1e-4), "FIELD_CHOICE"),
    ] {
        let mut config = base.clone();
        config[field] = value.clone();
        let error = flat(&config).expect_err(field);
        assert!(error.to_string().contains(field), "{error}");
        assert_eq!(error.code(), code, "{field} {value}: {error}");
    }
}

#[test]
fn a_model_without_extractor_is_told_apart() {
    let error = flat(&json!({"image_processor_type": "Qwen2VLImageProcessor"})).unwrap_err();
    assert_eq!((error.code(), error.class()), ("AUDIO_EXTRACTOR", Class::Unsupported));
}
