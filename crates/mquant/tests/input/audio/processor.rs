//! A processor with ears: both forms of configuration, and a WAV file from its path to rows of a prompt.

use std::fs;
use std::path::Path;

use mquant::checkpoint::Checkpoint;
use mquant::input::audio::{self, AudioLimits};
use mquant::input::image::RgbImage;
use mquant::input::vision_processor::{Grid, Patches, ProcessorError, VisionProcessor};
use mquant::input::{
    AddGenerationPrompt, Content, MediaKind, MediaProcessor, MediaSource, Message, Modality, Video, WithAudio,
};
use mquant::models::{EncoderBatch, MediaLayout, Piece};
use mquant::nn::{Position, Tower};
use mquant::run::Prompt;
use mquant::{Class, Explain};
use mquant_testkit::bare;
use mquant_testkit::golden::GoldenFolder;
use serde_json::{Value, json};

use super::{fixtures, floats, largest_difference, sine};

/// A family without pictures.
struct Blind;

impl MediaProcessor for Blind {
    fn image(&self, _: &RgbImage) -> Result<Patches, ProcessorError> {
        Err(ProcessorError::NoFrames)
    }

    fn video(&self, _: &[RgbImage], _: f32) -> Result<Patches, ProcessorError> {
        Err(ProcessorError::NoVideo)
    }

    fn image_grid(&self, _: u32, _: u32) -> Result<Grid, ProcessorError> {
        Ok(Grid { t: 1, h: 2, w: 3 })
    }
}

/// A family that takes one row for every two frames, between texts.
struct Halved;

const SOUND: u32 = 9;

impl MediaLayout for Halved {
    fn placeholder(&self, kind: MediaKind) -> Option<u32> {
        (kind == MediaKind::Audio).then_some(SOUND)
    }

    fn tokens(&self, _: MediaKind, grid: Grid) -> usize {
        grid.t.div_ceil(2)
    }

    fn positions(&self, pieces: &[Piece]) -> (Vec<Position>, u32) {
        let rows = pieces.iter().map(|piece| match piece {
            Piece::Text(tokens) => *tokens,
            Piece::Media(media) => self.tokens(media.kind, media.grid),
            Piece::SoundTrack { .. } => unreachable!("no sound in a video"),
        });
        let rows = rows.sum::<usize>() as u32;
        ((0..rows).map(|row| [row; 3]).collect(), rows)
    }

    fn encoder_batch(&self, _: Tower, _: &[Grid]) -> EncoderBatch {
        unreachable!("nothing is computed")
    }
}

/// What Qwen2.5-Omni publishes as `preprocessor_config.json`: pictures and sounds in one object.
fn both_in_one() -> Value {
    json!({
        "chunk_length": 300, "dither": 0.0, "feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 128,
        "hop_length": 160, "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_processor_type": "Qwen2VLImageProcessor", "image_std": [0.26862954, 0.26130258, 0.27577711],
        "max_pixels": 12_845_056, "merge_size": 2, "min_pixels": 3136, "n_fft": 400, "n_samples": 4_800_000,
        "nb_max_frames": 30_000, "padding_side": "right", "padding_value": 0.0, "patch_size": 14,
        "processor_class": "Qwen2_5OmniProcessor", "return_attention_mask": true, "sampling_rate": 16_000,
        "temporal_patch_size": 2,
    })
}

/// A model folder with one file beside its weights.
fn folder(file: &str, content: &Value) -> (tempfile::TempDir, Checkpoint) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(file), content.to_string()).unwrap();
    let checkpoint = bare::checkpoint(dir.path());
    (dir, checkpoint)
}

fn read(file: &str, content: &Value) -> Result<WithAudio, ProcessorError> {
    WithAudio::read(Box::new(Blind), &folder(file, content).1)
}

#[test]
fn both_forms_of_configuration_are_read() {
    let nested: Value =
        serde_json::from_slice(&fs::read(fixtures().join("goldens/processor_config.json")).unwrap()).unwrap();
    for (file, content) in [("processor_config.json", nested), ("preprocessor_config.json", both_in_one())] {
        let processor = read(file, &content).unwrap();
        assert_eq!((processor.extractor().mels(), processor.extractor().longest_seconds()), (128, 300), "{file}");
        let patches = processor.audio(&sine(440.0, 16_000, 1601)).unwrap();
        assert_eq!((patches.rows.rows(), patches.rows.features()), (11, 128), "{file}");
        assert_eq!((patches.grid, patches.seconds_per_step), (Grid { t: 11, h: 1, w: 1 }, 0.01), "{file}");
        assert!(patches.times.is_empty(), "{file}");
    }
    let (_dir, checkpoint) = folder("preprocessor_config.json", &both_in_one());
    let vision = VisionProcessor::read(&checkpoint).unwrap();
    let grid = vision.image_grid(640, 480).unwrap();
    let both = WithAudio::read(Box::new(vision), &checkpoint).unwrap();
    assert_eq!(both.image_grid(640, 480).unwrap(), grid);
    assert!(both.audio(&sine(440.0, 16_000, 1600)).is_ok());
}

#[test]
fn fields_that_are_not_handled_are_refused_by_file_and_name() {
    let mut nested = json!({"feature_extractor": both_in_one()});
    for (field, value, code) in [
        ("feature_extractor_type", json!("SpeechT5FeatureExtractor"), "FIELD_CHOICE"),
        ("hop_length", json!(320), "FIELD_CHOICE"),
        ("sampling_rate", json!("16000"), "FIELD_KIND"),
        ("dither", json!(0.5), "FIELD_CHOICE"),
        ("n_samples", json!(16_000), "FIELD_CONFLICT"),
    ] {
        let mut flat = both_in_one();
        flat[field] = value.clone();
        nested["feature_extractor"] = flat.clone();
        for (file, content, path) in [
            ("preprocessor_config.json", &flat, field.to_owned()),
            ("processor_config.json", &nested, format!("feature_extractor.{field}")),
        ] {
            let error = read(file, content).unwrap_err();
            let text = error.to_string();
            let class = if code == "FIELD_CHOICE" { Class::Unsupported } else { Class::Model };
            assert_eq!((error.code(), error.class()), (code, class), "{text}");
            assert!(text.starts_with(&format!("{file}: {path}")), "{text}");
        }
    }
    let error =
        read("preprocessor_config.json", &json!({"image_processor_type": "Qwen2VLImageProcessor"})).unwrap_err();
    assert_eq!((error.code(), error.class()), ("AUDIO_EXTRACTOR", Class::Unsupported));
    assert!(error.hint().is_some());
}

#[test]
fn a_wav_file_becomes_rows_of_a_prompt() {
    let path = fixtures().join("goldens/audio.wav");
    let processor = read("preprocessor_config.json", &both_in_one()).unwrap();
    let patches = processor.audio(&audio::open(&path, &AudioLimits::default()).unwrap()).unwrap();
    assert!(largest_difference(patches.rows.as_slice(), &floats("goldens/audio.f32")) <= 1e-3);
    let short = processor.audio(&sine(440.0, 16_000, 480)).unwrap();
    let media = vec![(MediaKind::Audio, patches), (MediaKind::Audio, short)];
    let prompt = Prompt::arrange(&Halved, &[1, SOUND, 2, SOUND], media).unwrap();
    let [first, second] = &prompt.media[..] else { panic!("two sounds") };
    assert_eq!((first.extent(), second.extent()), (1..102, 103..105));
    assert_eq!((first.patches.grid.t, second.patches.grid.t), (201, 3));
    let spans: Vec<_> = prompt.spans.iter().collect();
    let (text, sound) = (Modality::Text, Modality::Audio);
    assert_eq!(spans, [(text, 0..1), (sound, 1..102), (text, 102..103), (sound, 103..105)]);
    assert_eq!(prompt.next_position, 105);
}

#[test]
fn sounds_beyond_a_limit_are_refused() {
    let path = fixtures().join("goldens/audio.wav");
    let limits = AudioLimits { seconds: 1, ..AudioLimits::default() };
    assert_eq!(audio::open(&path, &limits).unwrap_err().code(), "AUDIO_TOO_LONG");
    let mut brief = both_in_one();
    brief["chunk_length"] = json!(1);
    brief.as_object_mut().unwrap().retain(|key, _| !matches!(key.as_str(), "n_samples" | "nb_max_frames"));
    let processor = read("preprocessor_config.json", &brief).unwrap();
    let error = processor.audio(&audio::open(&path, &AudioLimits::default()).unwrap()).unwrap_err();
    assert_eq!((error.code(), error.class()), ("AUDIO_TOO_LONG", Class::Input), "{error}");
}

#[test]
fn a_model_that_reads_no_sound_says_so_before_a_file_is_opened() {
    let refused = Blind.audio(&sine(440.0, 16_000, 160)).unwrap_err();
    assert_eq!(refused.to_string(), "the model reads no sound");
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let loaded = GoldenFolder::new(goldens.join("qwen2_vl")).load();
    let nowhere = || MediaSource::Path("/nowhere.wav".into());
    let track = Video { audio: Some(nowhere()), ..Video::from(nowhere()) };
    for part in [Content::Audio(nowhere()), Content::Video(track)] {
        let messages = [Message::parts("user", vec![part, Content::Text("What is said?".to_owned())])];
        let error = loaded.prepare(&messages, AddGenerationPrompt::Yes).unwrap_err();
        assert_eq!((error.code(), error.class()), ("AUDIO_NOT_READ", Class::Unsupported));
        assert_eq!((error.to_string(), error.hint().is_some()), (refused.to_string(), true));
    }
}
