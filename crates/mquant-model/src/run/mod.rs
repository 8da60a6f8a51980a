//! Answering: messages enter, text leaves, a token at a time.
//!
//! A [`LoadedModel`] is everything a folder holds. It prepares a conversation as a [`Prompt`]; an [`Engine`] takes prompts
//! and tokens of one or many [`Sequence`]s through the model in steps, a [`Batch`] keeps several sequences going, and a
//! [`Sampler`] chooses what comes next.

mod error;
mod loaded;
mod placed_media;
mod read_media;
mod prompt;
mod media_batch;
mod sequence;
mod row_order;
mod packed_batch;
mod engine;
mod batch;
mod sampler;
mod generate;

pub use batch::{Batch, Choose};
pub use engine::{Engine, EngineOptions, Input, StepItem, StepStats, Stepped};
pub use error::RunError;
pub use generate::{Finish, GenerateOptions, Generated, Generator, Sink};
pub use loaded::{LoadOptions, LoadedModel};
pub use media_batch::{MediaBatch, MediaLimits, MediaPiece};
pub use packed_batch::MediaRows;
pub use placed_media::{MediaKey, Medium, PlacedMedia};
pub use prompt::Prompt;
pub use row_order::{RowOrder, UnknownRowOrder};
pub use sampler::{Sampler, SamplerOptions, argmax};
pub use sequence::Sequence;
