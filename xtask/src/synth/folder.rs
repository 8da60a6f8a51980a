//! The whole folder, written beside its place and moved there when it is complete.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use mquant::checkpoint::{Fields, TensorSpec};
use mquant::models;
use serde_json::Value;

use super::shards::{self, byte_len};
use super::{Shape, SynthError, small_files, tokenizer};

/// Bytes of weights in a file, as the models were published.
const SHARD_BYTES: u64 = 4_000_000_000;

/// How to write a synthetic checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct SynthOptions {
    /// The folder to make.
    pub(crate) dir: PathBuf,
    /// Folder of a `tokenizer.json`; None takes the demo model's.
    pub(crate) tokenizer: Option<PathBuf>,
    /// Seed of the weights.
    pub(crate) seed: u64,
    /// Bytes of weights in a file.
    pub(crate) shard_bytes: u64,
}

impl SynthOptions {
    /// Seed 0, the demo tokenizer, files of the published size.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, tokenizer: None, seed: 0, shard_bytes: SHARD_BYTES }
    }
}

/// Writes a folder; returns the bytes of its weights. `progress` is told the bytes written and the bytes to write.
///
/// # Errors
/// The folder exists, a tokenizer does not fit, the disk is full: nothing is left behind.
pub(crate) fn write_folder(
    shape: Shape,
    options: &SynthOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<u64, SynthError> {
    let (tokenizer, ids) = tokenizer::read(options.tokenizer.as_deref(), shape.vocabulary)?;
    let config = shape.config(&ids);
    let fields = Fields::parse("config.json", &json_bytes(&config)).expect("the configuration is a JSON object");
    let tensors = models::blueprint(&fields).map_err(mquant::Error::from)?.tensors();

    let partial = partial_of(&options.dir)?;
    refuse_existing(&options.dir)?;
    refuse_existing(&partial)?;
    fs::create_dir_all(&partial).map_err(SynthError::io(&partial))?;
    let small = [
        ("config.json", json_bytes(&config)),
        ("generation_config.json", json_bytes(&small_files::generation(&ids))),
        ("preprocessor_config.json", json_bytes(&small_files::preprocessor())),
        ("tokenizer_config.json", json_bytes(&small_files::tokenizer())),
        ("chat_template.json", small_files::CHAT_TEMPLATE.as_bytes().to_vec()),
        ("tokenizer.json", tokenizer.into_bytes()),
    ];
    let written = write_all(&partial, &small, &tensors, options, progress).and_then(|bytes| {
        refuse_existing(&options.dir)?;
        fs::rename(&partial, &options.dir).map_err(SynthError::io(&options.dir))?;
        Ok(bytes)
    });
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_dir_all(&partial);
    }
    written
}

fn write_all(
    dir: &Path,
    small: &[(&str, Vec<u8>)],
    tensors: &[TensorSpec],
    options: &SynthOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<u64, SynthError> {
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        fs::write(&path, bytes).map_err(SynthError::io(&path))
    };
    for (name, bytes) in small {
        write(name, bytes)?;
    }
    let shards = shards::plan(tensors, options.shard_bytes);
    if shards.len() > 1 {
        write("model.safetensors.index.json", &json_bytes(&shards::index(&shards)))?;
    }
    let total = tensors.iter().map(byte_len).sum();
    let done = AtomicU64::new(0);
    for shard in &shards {
        shards::write(dir, shard, options.seed, &|bytes| {
            progress(done.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
        })?;
    }
    Ok(total)
}

fn partial_of(dir: &Path) -> Result<PathBuf, SynthError> {
    let Some(name) = dir.file_name() else { return Err(SynthError::Name { path: dir.to_owned() }) };
    let mut name = name.to_owned();
    name.push(".partial");
    Ok(dir.with_file_name(name))
}

fn refuse_existing(path: &Path) -> Result<(), SynthError> {
    match path.symlink_metadata() {
        Ok(_) => Err(SynthError::Exists { path: path.to_owned() }),
        Err(_) => Ok(()),
    }
}

fn json_bytes(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mquant::input::{AddGenerationPrompt, Isolation, Message};
    use mquant::run::{Engine, EngineOptions, LoadOptions, LoadedModel};

    use super::super::shape::{HeadWeights, VisionShape};
    use super::*;

    /// Two blocks each; a head dimension of 16.
    fn tiny(head: HeadWeights) -> Shape {
        Shape {
            name: "tiny",
            hidden: 64,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            mlp: 96,
            vocabulary: 800,
            head,
            mrope_section: [2, 3, 3],
            vision: VisionShape { depth: 2, width: 32, heads: 2 },
        }
    }

    fn options(dir: PathBuf, shard_bytes: u64) -> SynthOptions {
        SynthOptions { shard_bytes, seed: 5, ..SynthOptions::new(dir) }
    }

    fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap());
        entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
    }

    fn load(dir: &Path) -> LoadedModel {
        let options = LoadOptions::in_process();
        LoadedModel::open(dir.to_str().unwrap(), &options).unwrap()
    }

    #[test]
    fn tiny_models_load_and_answer_with_finite_scores() {
        for (head, shard_bytes, shards) in [(HeadWeights::Tied, u64::MAX, 1), (HeadWeights::Own, 150_000, 3)] {
            let root = tempfile::tempdir().unwrap();
            let dir = root.path().join("model");
            let bytes = write_folder(tiny(head), &options(dir.clone(), shard_bytes), &|_, _| {}).unwrap();
            let weights = files(&dir).into_iter().filter(|(name, _)| name.ends_with(".safetensors"));
            assert!(weights.count() >= shards);
            let loaded = load(&dir);
            let stored: usize = loaded.checkpoint.entries().iter().map(|t| AsRef::<[u8]>::as_ref(&t.bytes).len()).sum();
            assert_eq!(stored as u64, bytes);
            let messages = [Message::plain("user", "What is here?")];
            let prompt = loaded.prepare(&messages, AddGenerationPrompt::Yes).unwrap();
            let engine = Engine::new(&loaded, EngineOptions { threads: 1, ..EngineOptions::default() }).unwrap();
            let scores = engine.prefill(&mut engine.sequence(), &prompt).unwrap();
            assert_eq!(scores.len(), 800);
            let largest = scores.iter().fold(0f32, |m, s| m.max(s.abs()));
            assert!(largest > 0.5 && largest < 20.0, "{largest}");
        }
    }

    #[test]
    fn bytes_do_not_depend_on_threads_but_on_the_seed() {
        let root = tempfile::tempdir().unwrap();
        let written = |name: &str, threads: usize, seed: u64| {
            let dir = root.path().join(name);
            let options = SynthOptions { seed, ..options(dir.clone(), 200_000) };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| write_folder(Shape { mlp: 3000, ..tiny(HeadWeights::Own) }, &options, &|_, _| {})).unwrap();
            files(&dir)
        };
        let one = written("one", 1, 5);
        assert_eq!(one, written("five", 5, 5));
        assert_ne!(one, written("seed", 5, 6));
    }

    #[test]
    fn published_shapes_have_the_published_sizes() {
        let (_, ids) = tokenizer::read(None, 800).unwrap();
        let parameters = Shape::published().map(|shape| {
            let fields = Fields::parse("config.json", &json_bytes(&shape.config(&ids))).unwrap();
            let tensors = models::blueprint(&fields).unwrap().tensors();
            tensors.iter().map(byte_len).sum::<u64>() / 2
        });
        assert_eq!(parameters, [2_208_985_600, 8_291_375_616, 73_405_560_320]);
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_is_left_behind() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("model");
        fs::create_dir(&dir).unwrap();
        let write = |options: &SynthOptions| write_folder(tiny(HeadWeights::Tied), options, &|_, _| {});
        let wanted = options(dir.clone(), u64::MAX);
        assert!(matches!(write(&wanted), Err(SynthError::Exists { path }) if path == dir));
        fs::remove_dir(&dir).unwrap();
        let partial = root.path().join("model.partial");
        fs::create_dir(&partial).unwrap();
        assert!(matches!(write(&wanted), Err(SynthError::Exists { path }) if path == partial));
        fs::remove_dir(&partial).unwrap();
        let tokenizer = Some(root.path().join("none"));
        assert!(matches!(write(&SynthOptions { tokenizer, ..wanted.clone() }), Err(SynthError::Io { .. })));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        write(&wanted).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
