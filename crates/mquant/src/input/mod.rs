//! What a user gives, turned into what a model reads: chat template, tokenizer, images, videos, modality spans.

pub mod image;
pub mod video;
pub mod resize;
pub mod vision_processor;
