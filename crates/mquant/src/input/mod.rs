//! What a user gives, turned into what a model reads: chat template, tokenizer, images, videos, modality spans.

mod spans;

pub use spans::{Modality, ModalitySpans};
