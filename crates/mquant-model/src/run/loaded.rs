//! Everything a model folder holds, read once.

use std::sync::Arc;

use crate::bundle::{PackedCache, PackedCacheUse, Quantization};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::input::audio::AudioLimits;
use crate::input::chat_template::{AddGenerationPrompt, ChatTemplate, Isolation};
use crate::input::generation_config::GenerationConfig;
use crate::input::image::ImageLimits;
use crate::input::messages::Message;
use crate::input::tokenizer::{Limits, Tokenizer};
use crate::input::video::VideoLimits;
use crate::input::vision_processor::PixelBounds;
use crate::input::{MediaKind, MediaProcessor};
use crate::models::{self, Built, MediaLayout, Model, ModelError, ModelSpec};

use super::Prompt;

/// How to load.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Where chat templates are rendered.
    pub isolation: Isolation,
    /// Bounds on pictures and frames after resizing, in place of the published ones.
    pub pixels: PixelBounds,
    /// Whether what the kernels read is kept beside a quantised model.
    pub packed_cache: PackedCache,
}

impl LoadOptions {
    /// Published pixel bounds, templates rendered in this process: for models whose author is trusted.
    pub fn in_process() -> Self {
        Self { isolation: Isolation::InProcess, pixels: PixelBounds::default(), packed_cache: PackedCache::default() }
    }
}

/// A model folder: weights in place, and all that turns messages into rows and rows into text.
pub struct LoadedModel {
    /// The opened folder.
    pub checkpoint: Checkpoint,
    /// What its configuration says.
    pub blueprint: Box<dyn ModelSpec>,
    /// Placeholders and positions.
    pub layout: Box<dyn MediaLayout>,
    /// How the weights are quantised; None of a float model.
    pub quantization: Option<Quantization>,
    /// The parts.
    pub model: Arc<Model>,
    /// What became of the panels kept beside a quantised model.
    pub packed_cache: PackedCacheUse,
    /// Text to ids and back.
    pub tokenizer: Tokenizer,
    /// Messages to a prompt.
    pub template: ChatTemplate,
    /// Media to rows of their tower.
    pub processor: Box<dyn MediaProcessor>,
    /// How the model was published to be sampled.
    pub generation: GenerationConfig,
    /// What pictures may cost.
    pub image_limits: ImageLimits,
    /// What videos may cost.
    pub video_limits: VideoLimits,
    /// What sounds may cost.
    pub audio_limits: AudioLimits,
}

impl std::fmt::Debug for LoadedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedModel").field("dir", &self.checkpoint.dir()).finish_non_exhaustive()
    }
}

impl LoadedModel {
    /// Opens a folder or Hub id. Small files are read first, so that a wrong one is told before weights are touched.
    ///
    /// # Errors
    /// Whatever is wrong with any file.
    pub fn open(model: &str, options: &LoadOptions) -> Result<Self> {
        let checkpoint = Checkpoint::open(model)?;
        let blueprint = models::blueprint(checkpoint.config())?;
        let quantization = Quantization::read(checkpoint.config()).map_err(ModelError::from)?;
        let generation = GenerationConfig::read(&checkpoint, blueprint.vocabulary())?;
        let layout = blueprint.layout();
        let placeholders: Vec<u32> = MediaKind::ALL.iter().filter_map(|kind| layout.placeholder(*kind)).collect();
        let limits = Limits { vocabulary_rows: blueprint.vocabulary(), placeholders: &placeholders };
        let tokenizer = Tokenizer::read(&checkpoint, &limits)?;
        let template = ChatTemplate::read(&checkpoint, options.isolation.clone())?;
        let processor = blueprint.processor(&checkpoint, options.pixels)?;
        let Built { model, packed_cache } =
            models::build(&*blueprint, &checkpoint, quantization.as_ref(), options.packed_cache)?;
        Ok(Self {
            layout,
            checkpoint,
            blueprint,
            quantization,
            model: Arc::new(model),
            packed_cache,
            tokenizer,
            template,
            processor,
            generation,
            image_limits: ImageLimits::default(),
            video_limits: VideoLimits::default(),
            audio_limits: AudioLimits::default(),
        })
    }

    /// Reads the media of a conversation and arranges it as rows.
    ///
    /// # Errors
    /// A picture, sound, message or template that is wrong.
    pub fn prepare(&self, messages: &[Message], add: AddGenerationPrompt) -> Result<Prompt> {
        Prompt::prepare(self, messages, add)
    }

    /// The tokens of an answer, the one that ends it among them.
    ///
    /// # Errors
    /// If the tokenizer refuses the text.
    pub fn encode_answer(&self, answer: &str) -> Result<Vec<u32>> {
        let ids = self.tokenizer.encode_text(answer)?;
        Ok(ids.into_iter().chain(self.generation.eos_token_ids.first().copied()).collect())
    }
}
