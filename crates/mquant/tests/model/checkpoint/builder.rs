//! Makes model folders, whole or broken in one chosen way.

use std::path::Path;

use mquant::Explain;
use mquant::checkpoint::{Checkpoint, CheckpointError};
use tempfile::TempDir;

/// A safetensors file of this header text and `data` bytes, whether or not they belong together.
pub(crate) fn raw(header: &[u8], data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header);
    file.extend((0..data).map(|i| (i % 61) as u8));
    file
}

/// A whole safetensors file: name, element type, dimensions, data.
pub(crate) fn whole(tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> Vec<u8> {
    let (mut entries, mut data) = (Vec::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let end = data.len() + bytes.len();
        let name = serde_json::to_string(name).unwrap();
        entries
            .push(format!(r#"{name}:{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{},{end}]}}"#, data.len()));
        data.extend_from_slice(bytes);
    }
    let mut file = raw(format!("{{{}}}", entries.join(",")).as_bytes(), 0);
    file.extend(data);
    file
}

/// f32 values as stored.
pub(crate) fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A temporary model folder.
pub(crate) struct Model(TempDir);

impl Model {
    /// A folder with an empty configuration and no weights.
    pub(crate) fn new() -> Self {
        let model = Self(tempfile::tempdir().unwrap());
        model.write("config.json", "{}");
        model
    }

    /// A folder whose `model.safetensors` is these bytes.
    pub(crate) fn of(weights: impl AsRef<[u8]>) -> Self {
        let model = Self::new();
        model.write("model.safetensors", weights);
        model
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), bytes).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn open(&self) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open(self.path().to_str().unwrap())
    }

    /// The code the folder is refused with, after a look at the message.
    pub(crate) fn refusal(&self) -> &'static str {
        refusal(self.open())
    }
}

/// The code of the error, whose message must be fit for any reader: short, printable, without paths of this machine.
pub(crate) fn refusal<T>(result: Result<T, CheckpointError>) -> &'static str {
    let Err(error) = result else { return "accepted" };
    let message = error.to_string();
    assert!(message.len() < 4_000, "{} bytes of message", message.len());
    assert!(!message.contains(|c: char| c.is_control() && c != '\n'), "{message:?}");
    let temporary = std::env::temp_dir();
    assert!(!message.contains(temporary.to_str().unwrap()) || error.code().starts_with("MODEL_"), "{message}");
    error.code()
}
