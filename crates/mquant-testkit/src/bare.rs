//! A model folder with nothing to compute: for tests of the small files beside the weights.

use std::path::Path;

use mquant::checkpoint::{Checkpoint, Fields};

/// One scalar, as a safetensors file.
const WEIGHTS: &[u8] = b"\x35\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}\0\0\0\0";

/// Opens the files of `dir` as a model, with an empty configuration and one tensor added.
///
/// # Panics
/// If the folder cannot be written or opened.
pub fn checkpoint(dir: &Path) -> Checkpoint {
    std::fs::write(dir.join("config.json"), "{}").expect("a folder to write to");
    std::fs::write(dir.join("model.safetensors"), WEIGHTS).expect("a folder to write to");
    Checkpoint::open(dir.to_str().expect("a path in UTF-8")).unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
}

/// A JSON object as if it were the file of that name.
///
/// # Panics
/// If it is no object.
pub fn fields(file: &str, object: &serde_json::Value) -> Fields {
    Fields::parse(file, object.to_string().as_bytes()).unwrap_or_else(|e| panic!("{e}"))
}
