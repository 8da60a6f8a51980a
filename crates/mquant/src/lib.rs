//! `mquant` takes a multimodal LLM as published, quantises it, and runs it on integer kernels.
//!
//! This crate re-exports the others, in the order of the pipeline: a folder is opened ([`checkpoint`]), its family recognised
//! and its weights put into place ([`models`]), pictures and chat become a prompt ([`input`]), and an engine answers ([`run`]). A
//! float model is shown samples ([`calibrate`]), transformed and quantised as a [`recipe`] says ([`pipeline`]). Benchmarks say
//! what that costs ([`evaluate`]), and a page shows it ([`report`]).
//!
//! # Ask about a picture
//!
//! A float model and a quantised one are opened and asked alike.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use mquant::input::{AddGenerationPrompt, Content, MediaSource, Message};
//! use mquant::run::{Engine, EngineOptions, GenerateOptions, Generator, LoadOptions, LoadedModel, Sampler, SamplerOptions};
//!
//! # fn main() -> mquant::Result<()> {
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo");
//! # let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/qwen2_vl/one-0.png");
//! let loaded = LoadedModel::open(folder, &LoadOptions::in_process())?;
//! let engine = Engine::new(&loaded, EngineOptions::default())?;
//! let picture = Content::Image(MediaSource::Path(picture.into()));
//! let question = Content::Text("What color is the star?".to_owned());
//! let prompt = loaded.prepare(&[Message::parts("user", vec![picture, question])], AddGenerationPrompt::Yes)?;
//!
//! let end_tokens = loaded.generation.eos_token_ids.clone();
//! let options = GenerateOptions { max_tokens: Some(16), end_tokens, ..GenerateOptions::default() };
//! let mut sampler = Sampler::new(SamplerOptions::GREEDY)?;
//! let mut generator = Generator { loaded: &loaded, engine: &engine, sampler: &mut sampler, options: &options };
//! let answer = generator.answer(&mut engine.sequence(), &prompt, &mut |_| ControlFlow::Continue(()))?;
//! println!("{}", answer.text);
//! # assert!(!answer.text.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # Quantise a model, and compare the two on a benchmark
//!
//! ```
//! use std::ops::ControlFlow;
//! use std::path::Path;
//!
//! use mquant::calibrate::samples::{DataSource, Request, Visual, gather};
//! use mquant::disk::RealDisk;
//! use mquant::evaluate::{Answerer, Benchmark, Exam, Graded, recognise};
//! use mquant::input::vision_processor::PixelBounds;
//! use mquant::pipeline::{Outcome, QuantizeOptions, quantize};
//! use mquant::recipe::Recipe;
//! use mquant::run::{Engine, EngineOptions, LoadOptions, LoadedModel};
//!
//! # fn main() -> mquant::Result<()> {
//! # let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo"));
//! # let scratch = tempfile::tempdir().expect("a folder");
//! # let output = scratch.path().join("bundle");
//! let float = LoadedModel::open(folder.to_str().expect("UTF-8"), &LoadOptions::in_process())?;
//! let recipe = Recipe::preset("mquant-w8a8")?;
//! let sources = vec![DataSource::Benchmark(folder.join("calibration/DemoColor.tsv"))];
//! let samples = gather(&Request { sources, count: 8, visual: Visual::Needed })?;
//! let options = QuantizeOptions {
//!     recipe: &recipe,
//!     samples: &samples,
//!     output: &output,
//!     engine: EngineOptions::default(),
//!     pixels: PixelBounds::default(),
//!     provenance: serde_json::Value::Null,
//! };
//! let outcome = quantize(&float, &options, &RealDisk::shared(), &mut |_| ControlFlow::Continue(()))?;
//! assert!(matches!(outcome, Outcome::Complete(_)));
//!
//! let score = |loaded: &LoadedModel| -> mquant::Result<f64> {
//!     let benchmark = Benchmark::open(&folder.join("bench/DemoColor.tsv"))?;
//!     let known = recognise(benchmark.name()).expect("a benchmark with known prompts and metric");
//!     let engine = Engine::new(loaded, EngineOptions::default())?;
//!     let answerer = Answerer { loaded, engine: &engine, max_tokens: known.max_new_tokens, batch: 8 };
//!     let exam = Exam { benchmark: &benchmark, known, limit: Some(16) };
//!     let answers = exam.answer(&answerer, Vec::new(), &mut |_| Ok(ControlFlow::Continue(())))?;
//!     Ok(Graded::alone(exam, &answers).score().expect("a score").value)
//! };
//! let bundle = LoadedModel::open(output.to_str().expect("UTF-8"), &LoadOptions::in_process())?;
//! println!("float {:.1}, integer {:.1}", score(&float)?, score(&bundle)?);
//! # Ok(())
//! # }
//! ```

pub use mquant_evaluate::{evaluate, report};
pub use mquant_kernels as kernels;
pub use mquant_model::{
    Class, Error, Explain, Result, bundle, checkpoint, disk, error, input, measure, models, nn, run,
};
pub use mquant_quantize::{job, pipeline, quantize, recipe, transform};

/// What a model is shown before it is quantised, and what its sites do then.
pub mod calibrate {
    pub use mquant_data::samples;
    pub use mquant_quantize::calibrate::{histogram, statistics};
}
