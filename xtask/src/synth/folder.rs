//! The whole folder, written beside its place and moved there when it is complete.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use mquant::bundle::{BundleTarget, BundleWriter, FloatFormat, SmallFile};
use mquant::checkpoint::{Fields, ShardsWriter, UnfinishedFolder};
use mquant::kernels::Dtype;
use mquant::models;
use serde_json::Value;

use super::{Quantized, Shape, SynthError, quantized, small_files, stream, tokenizer};

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
    /// How to quantise; None writes bf16 weights.
    pub(crate) quantized: Option<Quantized>,
}

impl SynthOptions {
    /// Seed 0, the demo tokenizer, files of the published size.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, tokenizer: None, seed: 0, shard_bytes: SHARD_BYTES, quantized: None }
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
    let specs = models::blueprint(&fields).map_err(mquant::Error::from)?.published();
    let small = [
        ("generation_config.json", json_bytes(&small_files::generation(&ids))),
        ("preprocessor_config.json", json_bytes(&small_files::preprocessor(&shape))),
        ("tokenizer_config.json", json_bytes(&small_files::tokenizer())),
        ("chat_template.json", small_files::chat_template(&shape)),
        ("tokenizer.json", tokenizer.into_bytes()),
    ];
    let small = small.map(|(name, bytes)| SmallFile { name: name.to_owned(), bytes });
    let done = AtomicU64::new(0);
    let written = |bytes: u64, total: u64| progress(done.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
    match options.quantized {
        None => {
            let tensors = stream::stored(specs);
            let folder = UnfinishedFolder::create(&options.dir).map_err(mquant::Error::from)?;
            folder.write("config.json", &json_bytes(&config)).map_err(mquant::Error::from)?;
            for file in &small {
                folder.write(&file.name, &file.bytes).map_err(mquant::Error::from)?;
            }
            let writer = ShardsWriter::create(&folder, stream::shapes(&tensors), options.shard_bytes);
            let writer = writer.map_err(mquant::Error::from)?;
            let total = writer.byte_len();
            let bytes = stream::write(writer, &tensors, options.seed, &|bytes| written(bytes, total))
                .map_err(mquant::Error::from)?;
            folder.finish().map_err(mquant::Error::from)?;
            Ok(bytes)
        }
        Some(how) => {
            let quantization = quantized::quantization(&specs, how);
            let writer = BundleWriter::create(&BundleTarget {
                dir: &options.dir,
                config: config.as_object().expect("the configuration is a JSON object"),
                small_files: &small,
                specs: &specs,
                quantization: &quantization,
                floats: FloatFormat { vectors: Dtype::Bf16, matrices: Dtype::Bf16 },
                shard_bytes: options.shard_bytes,
            });
            let writer = writer.map_err(mquant::Error::from)?;
            let total = writer.byte_len();
            quantized::write(writer, &specs, &quantization, options.seed, &|bytes| written(bytes, total))
        }
    }
}

fn json_bytes(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use mquant::input::{AddGenerationPrompt, Message};
    use mquant::kernels::Bits;
    use mquant::run::{Engine, EngineOptions, LoadOptions, LoadedModel};

    use super::super::Input;
    use super::super::shape::{AudioShape, HeadWeights, VisionBlocks, VisionShape};
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
            vision: VisionShape { depth: 2, width: 32, heads: 2, blocks: VisionBlocks::Frames },
            audio: None,
        }
    }

    /// The same with two mergers that feed the decoder, whose heads are wider than its stream.
    fn tiny_deepstack(head: HeadWeights) -> Shape {
        let blocks = VisionBlocks::Deepstack { mlp: 96, levels: &[0, 1], head_dim: 32 };
        let vision = VisionShape { blocks, ..tiny(head).vision };
        Shape { mrope_section: [6, 5, 5], vision, ..tiny(head) }
    }

    /// The same that hears.
    fn tiny_omni(head: HeadWeights) -> Shape {
        Shape { audio: Some(AudioShape { layers: 2, width: 32, heads: 2, mlp: 64 }), ..tiny_windows(head) }
    }

    /// The same with windows in its tower, and MLPs whose width is no multiple of eight.
    fn tiny_windows(head: HeadWeights) -> Shape {
        let vision = tiny(head).vision;
        Shape { vision: VisionShape { blocks: VisionBlocks::Windows { mlp: 60, full: &[1] }, ..vision }, ..tiny(head) }
    }

    fn options(dir: PathBuf, shard_bytes: u64) -> SynthOptions {
        SynthOptions { shard_bytes, seed: 5, ..SynthOptions::new(dir) }
    }

    fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap());
        entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
    }

    fn load(dir: &Path) -> LoadedModel {
        LoadedModel::open(dir.to_str().unwrap(), &LoadOptions::in_process()).unwrap()
    }

    #[test]
    fn tiny_models_load_and_answer_with_finite_scores() {
        for (shape, shard_bytes, shards) in [
            (tiny(HeadWeights::Tied), u64::MAX, 1),
            (tiny(HeadWeights::Own), 150_000, 3),
            (tiny_windows(HeadWeights::Tied), u64::MAX, 1),
            (tiny_deepstack(HeadWeights::Tied), u64::MAX, 1),
            (tiny_omni(HeadWeights::Own), u64::MAX, 1),
        ] {
            let root = tempfile::tempdir().unwrap();
            let dir = root.path().join("model");
            let bytes = write_folder(shape, &options(dir.clone(), shard_bytes), &|_, _| {}).unwrap();
            let weights = files(&dir).into_iter().filter(|(name, _)| name.ends_with(".safetensors"));
            assert!(weights.count() >= shards);
            let loaded = load(&dir);
            let stored: usize = loaded.checkpoint.entries().iter().map(|t| AsRef::<[u8]>::as_ref(&t.bytes).len()).sum();
            assert_eq!(stored as u64, bytes);
            let messages = [Message::plain("user", "What is here?")];
            let prompt = loaded.prepare(&messages, AddGenerationPrompt::Yes).unwrap();
            let engine = Engine::new(&loaded, EngineOptions { threads: 1, ..EngineOptions::default() }).unwrap();
            let logits = engine.prefill(&mut engine.sequence(), &prompt).unwrap();
            assert_eq!(logits.len(), 800);
            let largest = logits.iter().fold(0f32, |m, s| m.max(s.abs()));
            assert!(largest > 0.5 && largest < 20.0, "{largest}");
        }
    }

    #[test]
    fn tiny_bundles_load_and_answer_with_finite_scores() {
        for (shape, bits, input, limit, more) in [
            (tiny(HeadWeights::Tied), Bits::Four, Input::Static, u64::MAX, 0),
            (tiny(HeadWeights::Own), Bits::Eight, Input::Dynamic, 50_000, 0),
            (tiny_windows(HeadWeights::Own), Bits::Four, Input::Static, u64::MAX, 0),
            (tiny_deepstack(HeadWeights::Tied), Bits::Four, Input::Static, u64::MAX, 2 * 2),
            (tiny_omni(HeadWeights::Own), Bits::Four, Input::Static, u64::MAX, 2 + 2 * 4 + 1),
        ] {
            let root = tempfile::tempdir().unwrap();
            let dir = root.path().join("model");
            let quantized = Some(Quantized { weights: bits, head: Bits::Eight, input, branches: None, gains: false });
            let options = SynthOptions { quantized, ..options(dir.clone(), limit) };
            let (told, total) = (AtomicU64::new(0), AtomicU64::new(0));
            let bytes = write_folder(shape, &options, &|done, of| {
                told.store(done, Ordering::Relaxed);
                total.store(of, Ordering::Relaxed);
            });
            let bytes = bytes.unwrap();
            assert_eq!(total.into_inner(), bytes);
            assert!(bytes - told.into_inner() < 1000, "only input scales are not told of");
            let loaded = load(&dir);
            let quantization = loaded.quantization.as_ref().unwrap();
            assert_eq!(quantization.sites.len(), 1 + 2 * 4 + 2 + 2 * 4 + 1 + more);
            let prompt = loaded.prepare(&[Message::plain("user", "What is here?")], AddGenerationPrompt::Yes).unwrap();
            let engine = Engine::new(&loaded, EngineOptions { threads: 1, ..EngineOptions::default() }).unwrap();
            let logits = engine.prefill(&mut engine.sequence(), &prompt).unwrap();
            let largest = logits.iter().fold(0f32, |m, s| m.max(s.abs()));
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
            let tensors = stream::stored(models::blueprint(&fields).unwrap().published());
            tensors.iter().map(stream::byte_len).sum::<u64>() / 2
        });
        let qwen2_vl = [2_208_985_600, 8_291_375_616, 73_405_560_320];
        let qwen2_5_vl = [3_754_622_976, 8_292_166_656, 33_452_718_336, 73_410_777_344];
        let qwen3_vl = [2_127_532_032, 4_437_815_808, 8_767_123_696, 33_357_390_064];
        // Without two embeddings of marks, which are published and not used.
        let qwen2_5_omni = [4_703_460_352, 8_931_806_720];
        assert_eq!(parameters[..], [&qwen2_vl[..], &qwen2_5_vl[..], &qwen3_vl[..], &qwen2_5_omni[..]].concat());
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_is_left_behind() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("model");
        fs::create_dir(&dir).unwrap();
        let write = |options: &SynthOptions| write_folder(tiny(HeadWeights::Tied), options, &|_, _| {});
        let wanted = options(dir.clone(), u64::MAX);
        let exists =
            |result: Result<u64, SynthError>| matches!(result, Err(SynthError::Model(e)) if e.code() == "WRITE_EXISTS");
        assert!(exists(write(&wanted)));
        fs::remove_dir(&dir).unwrap();
        let partial = root.path().join("model.partial");
        fs::create_dir(&partial).unwrap();
        assert!(exists(write(&wanted)));
        fs::remove_dir(&partial).unwrap();
        let tokenizer = Some(root.path().join("none"));
        assert!(matches!(write(&SynthOptions { tokenizer, ..wanted.clone() }), Err(SynthError::Io { .. })));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        write(&wanted).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
