//! The files beside configuration and weights, which a bundle takes over as they are.

use super::manifest::MANIFEST;
use crate::checkpoint::{Checkpoint, CheckpointError};

/// A file and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmallFile {
    /// Its name in the folder.
    pub name: String,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// Tokenizer, processor, templates, generation settings and licences of a folder: everything a bundle needs besides what
/// is written anew.
///
/// # Errors
/// A file that cannot be read or is too long.
pub fn small_files(checkpoint: &Checkpoint) -> Result<Vec<SmallFile>, CheckpointError> {
    let names = checkpoint.files().filter(|name| is_taken_over(name));
    names.map(|name| Ok(SmallFile { name: name.to_owned(), bytes: checkpoint.bytes(name)? })).collect()
}

fn is_taken_over(name: &str) -> bool {
    let written_anew =
        name == "config.json" || name == MANIFEST || name.ends_with(".safetensors.index.json") || name.starts_with('.');
    let ends = [".json", ".jinja", ".txt", ".model"];
    let begins = ["LICENSE", "NOTICE"];
    !written_anew && (ends.iter().any(|end| name.ends_with(end)) || begins.iter().any(|start| name.starts_with(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_anew_is_not_taken_over() {
        for name in ["tokenizer.json", "merges.txt", "chat_template.jinja", "LICENSE", "tokenizer.model"] {
            assert!(is_taken_over(name), "{name}");
        }
        for name in [
            "config.json",
            "mquant.json",
            "model.safetensors.index.json",
            "model.safetensors",
            ".hidden.json",
            "run.py",
        ] {
            assert!(!is_taken_over(name), "{name}");
        }
    }
}
