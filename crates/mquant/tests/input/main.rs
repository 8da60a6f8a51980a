//! What a user gives: pictures, videos, messages, templates, tokens.

mod audio;
mod image_files;
mod messages;
mod templates;
mod tokenizer;
mod video;
mod vision;
