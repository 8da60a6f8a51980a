//! Seeded mutations of what strangers send.

mod image;
mod safetensors;
