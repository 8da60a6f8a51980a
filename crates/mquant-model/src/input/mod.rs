//! What a user gives, turned into what a model reads: chat template, tokenizer, images, videos, sounds.

pub mod messages;
pub mod chat_template;
pub mod tokenizer;
pub mod prompt;
pub mod generation_config;
pub mod image;
pub mod video;
pub mod audio;
pub mod resize;
pub mod vision_processor;

mod media;

pub use chat_template::{AddGenerationPrompt, ChatTemplate, Isolation};
pub use generation_config::GenerationConfig;
pub use media::{MediaKind, MediaProcessor, WithAudio};
pub use messages::{Body, Content, FrameRate, MediaSource, Message, Video};
pub use prompt::{encode_chat, encode_text};
pub use tokenizer::{SkipSpecial, Tokenizer};

pub use crate::nn::{Modality, ModalitySpans};
