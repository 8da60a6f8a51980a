//! Families of models. A checkpoint enters, a [`Model`] leaves: parts in place, weights checked, and the family's
//! rules for placeholders and positions.
//!
//! A family declares dimensions, tensor names and how media become rows; it holds no forward pass and no kernel.
//! To add one: a module here and a line in [`FAMILIES`].

mod load;
mod merged_patches;
mod qwen2;
mod qwen2_5_omni;
mod qwen2_5_vl;
mod qwen2_vl;
mod qwen3_vl;
mod table;

use thiserror::Error;

use crate::bundle::{BundleError, Weights};
use crate::checkpoint::{Checkpoint, CheckpointError, FieldError, Fields, Naming, TensorSpec};
use crate::error::{Class, Explain};
use crate::excerpt::excerpt;
use crate::input::vision_processor::{FRAMES_PER_SECOND, Grid, Patches, PixelBounds, ProcessorError};
use crate::input::{MediaKind, MediaProcessor};
use crate::nn::{Decoder, Encoder, ForwardBatch, Layer, Part, PartId, Position, Tower};

pub use load::{Built, build};

/// Every family there is.
pub const FAMILIES: &[&dyn Family] =
    &[&qwen2_vl::Qwen2Vl, &qwen2_5_vl::Qwen25Vl, &qwen3_vl::Qwen3Vl, &qwen2_5_omni::Qwen25Omni];

/// One family of models, recognised by `model_type` of `config.json`.
pub trait Family: Sync {
    /// Its `model_type` values.
    fn model_types(&self) -> &'static [&'static str];

    /// What the configuration says.
    ///
    /// # Errors
    /// A field that is missing, out of range, at odds with another, or asks for something not handled.
    fn blueprint(&self, config: &Fields) -> Result<Box<dyn ModelSpec>, ModelError>;
}

/// A model of a family before its weights: everything that follows from `config.json`.
pub trait ModelSpec: Send + Sync {
    /// How published names become the family's own.
    fn naming(&self) -> Naming;

    /// Every tensor of this model, as a float checkpoint has them, under the family's own names.
    fn tensors(&self) -> Vec<TensorSpec>;

    /// The same tensors in the same order under the names the model was published with.
    fn published(&self) -> Vec<TensorSpec>;

    /// Puts weights in place, float or integer: the same lines for both. They are all there and checked.
    fn build(&self, weights: &Weights) -> Model;

    /// Placeholders and positions.
    fn layout(&self) -> Box<dyn MediaLayout>;

    /// What turns media into the rows that the towers read, with a user's pixel bounds.
    ///
    /// # Errors
    /// A file that is missing or wrong, or at odds with the configuration; bounds out of range.
    fn processor(
        &self,
        checkpoint: &Checkpoint,
        pixels: PixelBounds,
    ) -> Result<Box<dyn MediaProcessor>, ProcessorError>;

    /// Rows of the token embedding: every token id is below.
    fn vocabulary(&self) -> usize;

    /// Tokens a sequence may have, from `max_position_embeddings`.
    fn context(&self) -> usize;
}

/// How a family arranges media among tokens.
pub trait MediaLayout: Send + Sync {
    /// The token that the chat template writes for a medium; None where the model reads no such media.
    fn placeholder(&self, kind: MediaKind) -> Option<u32>;

    /// What is written in the prompt in place of a medium's placeholder, before the prompt is tokenised; None leaves the
    /// placeholder. `spelling` gives the spelling of a token.
    fn written(&self, _kind: MediaKind, _patches: &Patches, _spelling: &dyn Fn(u32) -> String) -> Option<String> {
        None
    }

    /// What each placeholder that a medium has in the prompt becomes: rows of the tower, and tokens of text between them.
    fn expand(&self, placeholder: u32, media: MediaPiece) -> Vec<Vec<Expanded>> {
        vec![vec![Expanded::Rows { id: placeholder, count: self.tokens(media.kind, media.grid), media }]]
    }

    /// What the placeholder of a video with a sound track becomes; None where the model cannot place sound inside a video.
    fn sound_track(&self, _video: &MediaPiece, _sound: &MediaPiece) -> Option<SoundTrack> {
        None
    }

    /// Rows of the decoder's stream that media of this kind and grid take.
    fn tokens(&self, kind: MediaKind, grid: Grid) -> usize;

    /// Position of every token: text runs of the given lengths between media with the given grids. The second value is
    /// the position of the token that would follow.
    fn positions(&self, pieces: &[Piece]) -> (Vec<Position>, u32);

    /// What an encoder needs to know of the rows of some media, and the order in which it computes them.
    fn encoder_batch(&self, tower: Tower, grids: &[Grid]) -> EncoderBatch;

    /// Frames in a second of a video of which nobody says it.
    fn frames_per_second(&self) -> f32 {
        FRAMES_PER_SECOND
    }

    /// After every how many grid steps a medium may be cut, so that its pieces pass the tower one after the other; None where
    /// it must pass whole.
    fn cut_every(&self, _tower: Tower) -> Option<usize> {
        Some(1)
    }
}

/// Rows of media as an encoder computes them.
#[derive(Debug)]
pub struct EncoderBatch {
    /// What the rows are, in the order they are computed.
    pub pass: ForwardBatch,
    /// How many sequences of the pass each medium has.
    pub sequences: Vec<usize>,
    /// Computed token i (its merge² patches) is token `order[i]` of the media; empty where the order is that of the media.
    pub order: Vec<u32>,
}

/// A part of what a medium's placeholder becomes.
#[derive(Clone, Debug, PartialEq)]
pub enum Expanded {
    /// Tokens of text, such as a mark between slices.
    Text(Vec<u32>),
    /// The next rows that the tower made of the medium.
    Rows {
        /// The id that these rows have in the prompt.
        id: u32,
        /// How many.
        count: usize,
        /// Their arrangement.
        media: MediaPiece,
    },
}

/// A video and its sound, by turns.
#[derive(Clone, Debug, PartialEq)]
pub struct SoundTrack {
    /// The tokens before the first and after the last row.
    pub marks: [u32; 2],
    /// Rows of the one and of the other, in the order of the prompt.
    pub runs: Vec<(MediaKind, usize)>,
}

/// A stretch of a prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Piece {
    /// This many text tokens.
    Text(usize),
    /// The placeholders of one medium.
    Media(MediaPiece),
    /// A video with its sound, and the marks of the sound around them.
    SoundTrack {
        /// The video.
        video: MediaPiece,
        /// Its sound.
        sound: MediaPiece,
    },
}

/// A medium in a prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MediaPiece {
    /// What it is.
    pub kind: MediaKind,
    /// The arrangement of its rows: patches, or one row a step of sound.
    pub grid: Grid,
    /// Seconds from one grid step to the next.
    pub seconds_per_step: f32,
}

/// A model in memory.
#[derive(Clone, Debug)]
pub struct Model {
    /// Towers that turn media into rows of the decoder's stream, in the order they run.
    pub encoders: Vec<Encoder>,
    /// The language model.
    pub decoder: Decoder,
}

impl Model {
    /// All parts, in the order they run.
    pub fn parts(&mut self) -> Vec<&mut dyn Part> {
        let encoders = self.encoders.iter_mut().flat_map(Encoder::parts);
        encoders.chain(self.decoder.parts()).collect()
    }

    /// The paths of all parts, in the order they run.
    pub fn part_ids(&self) -> Vec<PartId> {
        let layers = self.encoders.iter().flat_map(|encoder| &encoder.layers).map(|layer| layer.id());
        let decoder = self.decoder.layers.iter().map(|layer| layer.id());
        layers.chain([self.decoder.embedding.id()]).chain(decoder).chain([self.decoder.head.id()]).collect()
    }

    /// The encoder of a tower, if the model has it.
    pub fn encoder(&self, tower: Tower) -> Option<&Encoder> {
        self.encoders.iter().find(|encoder| encoder.tower == tower)
    }

    /// The layer of that path; None for the embedding, and for a path the model has not.
    pub fn layer(&self, id: PartId) -> Option<&dyn Layer> {
        let layers = self.encoders.iter().flat_map(|encoder| &encoder.layers).chain(&self.decoder.layers);
        let mut layers = layers.map(|layer| &**layer).chain([&self.decoder.head as &dyn Layer]);
        layers.find(|layer| layer.id() == id)
    }
}

/// Why a model could not be put together.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Something is wrong with the folder or its tensors.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Something is wrong with a bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Something is wrong with a field of a configuration.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// No family of this name.
    #[error("config.json: model_type is \"{found}\", expected one of {}", known_families())]
    Family {
        /// What the configuration says.
        found: String,
    },
}

impl Explain for ModelError {
    fn class(&self) -> Class {
        match self {
            ModelError::Checkpoint(e) => e.class(),
            ModelError::Bundle(e) => e.class(),
            ModelError::Field(e) => e.class(),
            ModelError::Family { .. } => Class::Unsupported,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            ModelError::Checkpoint(e) => e.code(),
            ModelError::Bundle(e) => e.code(),
            ModelError::Field(e) => e.code(),
            ModelError::Family { .. } => "MODEL_FAMILY",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ModelError::Checkpoint(e) => e.hint(),
            ModelError::Bundle(e) => e.hint(),
            ModelError::Field(e) => e.hint(),
            ModelError::Family { found } if found.contains("_moe") => {
                Some("mixtures of experts are not supported; the dense models of the family are".to_owned())
            }
            ModelError::Family { .. } => Some("the model is of a family this version does not know".to_owned()),
        }
    }
}

fn known_families() -> String {
    FAMILIES.iter().flat_map(|f| f.model_types()).copied().collect::<Vec<_>>().join(", ")
}

/// Finds the family of a configuration and reads its blueprint.
///
/// # Errors
/// An unknown `model_type`, or what the family finds wrong.
pub fn blueprint(config: &Fields) -> Result<Box<dyn ModelSpec>, ModelError> {
    let found = config.string("model_type")?;
    let family = FAMILIES.iter().find(|f| f.model_types().contains(&found));
    family.ok_or_else(|| ModelError::Family { found: excerpt(found) })?.blueprint(config)
}
