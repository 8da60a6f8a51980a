//! Model folders that tests quantise, samples to show them, and how far their scores lie apart.

use std::fs;
use std::path::{Path, PathBuf};

use mquant::bundle::PackedCache;
use mquant::calibrate::samples::{DataSource, Gathered, Request, Visual, gather};
use mquant::input::{AddGenerationPrompt, Message};
use mquant::kernels::Rows;
use mquant::run::{Engine, EngineOptions, LoadOptions, LoadedModel, Prompt};
use safetensors::SafeTensors;
use tempfile::TempDir;

/// Random weights, untied head, f32.
pub(crate) const GOLDEN: &str = "crates/mquant/tests/goldens/qwen2_vl";
/// Random weights, tied head, bf16, and so many features that no group of 128 fits.
pub(crate) const PUBLISHED: &str = "crates/mquant/tests/goldens/qwen2_vl_published";
/// Qwen2.5-VL: attention in windows, gated MLPs in the tower whose width no Hadamard matrix fits.
pub(crate) const WINDOWS: &str = "crates/mquant/tests/goldens/qwen2_5_vl";
/// Qwen3-VL: learned positions, LayerNorms of several rows, features added to the decoder's first blocks, head norms.
pub(crate) const DEEPSTACK: &str = "crates/mquant/tests/goldens/qwen3_vl";
/// Qwen2.5-Omni's thinker: an audio tower beside the vision tower.
pub(crate) const HEARS: &str = "crates/mquant/tests/goldens/qwen2_5_omni";
/// Trained, tied head, bf16.
pub(crate) const DEMO: &str = "models/demo";
/// The same function with outliers.
pub(crate) const DEMO_STRESS: &str = "models/demo-stress";

pub(crate) fn at(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

pub(crate) fn open(dir: &Path) -> LoadedModel {
    let options = LoadOptions { packed_cache: PackedCache::Disabled, ..LoadOptions::in_process() };
    LoadedModel::open(dir.to_str().unwrap(), &options).unwrap()
}

/// A copy of the golden model without its cases.
pub(crate) fn golden_copy() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(at(GOLDEN)).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        let is_case = name.contains("golden") || name.contains("messages") || name.ends_with("png");
        if entry.path().is_file() && !is_case {
            fs::copy(entry.path(), dir.path().join(name)).unwrap();
        }
    }
    dir
}

/// The values of an f32 tensor of a model of one file, changed.
pub(crate) fn edit(model: &Path, tensor: &str, change: impl Fn(usize, f32) -> f32) {
    let path = model.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let (start, length) = {
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let data = file.tensor(tensor).unwrap().data();
        (data.as_ptr() as usize - bytes.as_ptr() as usize, data.len())
    };
    for (i, value) in bytes[start..start + length].chunks_exact_mut(4).enumerate() {
        let old = f32::from_le_bytes(<[u8; 4]>::try_from(&*value).unwrap());
        value.copy_from_slice(&change(i, old).to_le_bytes());
    }
    fs::write(path, bytes).unwrap();
}

/// Samples of the demo model's calibration files, which take turns.
pub(crate) fn samples(count: usize) -> Gathered {
    gathered(&at(DEMO).join("calibration"), count)
}

/// Samples that no calibration has: from the benchmarks.
pub(crate) fn held_out(count: usize) -> Vec<Vec<Message>> {
    gathered(&at(DEMO).join("bench"), count).samples.into_iter().map(|sample| sample.messages).collect()
}

fn gathered(folder: &Path, count: usize) -> Gathered {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let first = files.len().min(count);
    let sources = files.into_iter().take(first).map(DataSource::Benchmark).collect();
    gather(&Request { sources, count, visual: Visual::Needed }).unwrap()
}

/// Conversations that a golden folder has as cases, in this order.
pub(crate) fn cases(folder: &str, names: &[&str]) -> Gathered {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cases.jsonl");
    let line = |name: &&str| {
        let text = fs::read_to_string(at(folder).join(format!("{name}.messages.json"))).unwrap();
        let mut messages: serde_json::Value = serde_json::from_str(&text).unwrap();
        let parts = messages.as_array_mut().unwrap().iter_mut();
        let parts = parts.filter_map(|message| message["content"].as_array_mut()).flatten();
        for part in parts {
            let place = |source: &mut serde_json::Value| {
                if let Some(relative) = source.as_str() {
                    *source = at(folder).join(relative).to_str().unwrap().into();
                }
            };
            for kind in ["image_url", "video_url", "audio_url"] {
                if let Some(url) = part.pointer_mut(&format!("/{kind}/url")) {
                    place(url);
                }
            }
            if let Some(sound) = part.get_mut("audio") {
                place(sound);
            }
        }
        messages.to_string() + "\n"
    };
    fs::write(&path, names.iter().map(line).collect::<String>()).unwrap();
    let sources = vec![DataSource::JsonLines(path)];
    gather(&Request { sources, count: names.len(), visual: Visual::TextOnly }).unwrap()
}

/// Conversations of text alone, one a line: what is asked, and what the answer is if there is one.
pub(crate) fn texts(lines: &[(&str, Option<&str>)]) -> Gathered {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("texts.jsonl");
    let line = |(asked, answer): &(&str, Option<&str>)| {
        let mut messages = vec![serde_json::json!({"role": "user", "content": asked})];
        messages.extend(answer.map(|answer| serde_json::json!({"role": "assistant", "content": answer})));
        serde_json::Value::from(messages).to_string() + "\n"
    };
    fs::write(&path, lines.iter().map(line).collect::<String>()).unwrap();
    let sources = vec![DataSource::JsonLines(path)];
    gather(&Request { sources, count: lines.len(), visual: Visual::TextOnly }).unwrap()
}

/// Pictures of one colour each, asked the same.
pub(crate) fn plain_pictures(colours: &[[u8; 3]], prompt: &str) -> (TempDir, Gathered) {
    let dir = tempfile::tempdir().unwrap();
    for (i, colour) in colours.iter().enumerate() {
        let picture = image::RgbImage::from_pixel(56, 56, image::Rgb(*colour));
        picture.save(dir.path().join(format!("{i}.png"))).unwrap();
    }
    let sources = vec![DataSource::Folder(dir.path().to_owned(), prompt.to_owned())];
    let gathered = gather(&Request { sources, count: colours.len(), visual: Visual::Needed }).unwrap();
    (dir, gathered)
}

pub(crate) fn prompt(loaded: &LoadedModel, messages: &[Message]) -> Prompt {
    loaded.prepare(messages, AddGenerationPrompt::Yes).unwrap()
}

pub(crate) fn engine(loaded: &LoadedModel) -> Engine {
    Engine::new(loaded, EngineOptions { threads: 2, ..EngineOptions::default() }).unwrap()
}

/// Scores after every row of every conversation.
pub(crate) fn scores(loaded: &LoadedModel, conversations: &[Vec<Message>]) -> Vec<Rows> {
    let engine = engine(loaded);
    conversations.iter().map(|messages| engine.all_logits(&prompt(loaded, messages)).unwrap()).collect()
}

pub(crate) fn bits(scores: &[Rows]) -> Vec<u32> {
    scores.iter().flat_map(|rows| rows.as_slice()).map(|value| value.to_bits()).collect()
}

/// Root of the mean squared difference, in standard deviations of the reference's scores.
pub(crate) fn noise(ours: &[Rows], reference: &[Rows]) -> f64 {
    let values = |scores: &[Rows]| -> Vec<f64> {
        scores.iter().flat_map(|rows| rows.as_slice()).map(|value| f64::from(*value)).collect()
    };
    let (ours, reference) = (values(ours), values(reference));
    assert_eq!(ours.len(), reference.len());
    let count = reference.len() as f64;
    let mean = reference.iter().sum::<f64>() / count;
    let variance = reference.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    let error = ours.iter().zip(&reference).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / count;
    assert!(error.is_finite(), "scores that are no numbers");
    (error / variance).sqrt()
}
