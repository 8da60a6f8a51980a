//! A model folder as published: configuration, tensors, and where they lie.
//!
//! Enters: a folder, or a Hub id found in the local cache. Leaves: JSON objects as [`Fields`], and tensors as matrices that
//! share the mapped files. Nothing is converted or computed here, and no code of a folder is ever run (`auto_map` is ignored,
//! pickled weights are never read).
//!
//! Invariant: a [`Checkpoint`] that opened has all its shards, whose headers are consistent with themselves, with the length
//! of their files, with the index and with each other; [`Tensors`] that were selected are all there, with the shapes that were
//! asked for. No file outside the folder (or its model's place in the Hub cache) was opened.

use std::path::Path;

use sha2::{Digest, Sha256};

mod bus_error;
mod error;
mod field_error;
mod field_words;
mod fields;
mod finite;
mod folder;
mod header_error;
mod header_json;
mod hub;
mod index;
mod json;
mod mapped_file;
mod mismatch;
mod safetensors;
mod select;
mod shard;
mod stored_dtype;
mod tensor_spec;
mod unfinished;
mod write;
mod write_shards;

pub use bus_error::explain_bus_errors;
pub use error::CheckpointError;
pub use field_error::FieldError;
pub use fields::Fields;
pub use finite::NotFinite;
pub(crate) use folder::{Folder, open_beneath};
pub use header_error::HeaderError;
pub(crate) use json::{Caps, kind};
pub use json::{DEPTH_CAP, JSON_CAP, JsonError, VALUES_CAP};
pub(crate) use mapped_file::{MappedFile, Stamp, map};
pub use mismatch::{Mismatch, Problem};
pub use safetensors::{
    DIM_CAP, DIMS_CAP, HEADER_CAP, Header, HeaderEntry, LENGTH_BYTES, NAME_CAP, OFFSET_CAP, TENSORS_CAP, header_len,
    read_header,
};
pub use select::{Naming, Tensors};
pub(crate) use shard::Place;
pub use shard::StoredTensor;
pub use stored_dtype::StoredDtype;
pub use tensor_spec::{Cut, Elements, HeadNormOf, NormValue, Presence, Role, TensorSpec};
pub use unfinished::UnfinishedFolder;
pub use unfinished::{NameSync, SUFFIX, UnfinishedFile};
pub use write::{SafetensorsWriter, TensorShape, WriteError};
pub use write_shards::ShardsWriter;

use hub::{HubCache, HubId};
use index::Layout;
use shard::Shard;

/// The configuration every model folder has.
const CONFIG: &str = "config.json";
/// Longest text file read, in bytes.
pub const TEXT_CAP: u64 = 64 << 20;

/// An opened model folder: headers read and checked, shards mapped, nothing converted.
#[derive(Debug)]
pub struct Checkpoint {
    folder: Folder,
    config: Fields,
    fingerprint: [u8; 32],
    /// Sorted by name.
    tensors: Vec<StoredTensor>,
}

impl Checkpoint {
    /// Opens a folder, or the Hub id `org/name[@revision]` in the local cache. An existing path always wins over an id.
    ///
    /// # Errors
    /// Whatever is wrong with the folder, before any weight is touched.
    pub fn open(model: &str) -> Result<Self, CheckpointError> {
        let path = Path::new(model);
        let id = HubId::parse(model).filter(|_| path.symlink_metadata().is_err());
        let Some(id) = id else { return Self::open_folder(path) };
        let cache = HubCache::from_env();
        let opened = cache.snapshot(&id).and_then(|snapshot| Self::open_folder(&snapshot));
        #[cfg(feature = "hub")]
        if opened.as_ref().is_err_and(CheckpointError::is_incomplete) && !hub::is_offline() {
            return cache.download(&id).and_then(|snapshot| Self::open_folder(&snapshot));
        }
        opened
    }

    fn open_folder(path: &Path) -> Result<Self, CheckpointError> {
        let folder = Folder::open(path)?;
        let layout = Layout::find(&folder)?;
        let config_bytes = folder.read(CONFIG, JSON_CAP)?;
        let config = Fields::parse(CONFIG, &config_bytes)?;
        let shards = layout.open(&folder)?;
        let fingerprint = fingerprint(&config_bytes, &shards);
        let mapped = shards.into_iter().map(|shard| shard.map()).collect::<Result<Vec<_>, _>>()?;
        let mut tensors: Vec<StoredTensor> = mapped.into_iter().flatten().collect();
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { folder, config, fingerprint, tensors })
    }

    /// The folder, as it was given or found in the cache.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// `config.json`.
    pub fn config(&self) -> &Fields {
        &self.config
    }

    /// Another JSON file of the folder; `None` when it is absent.
    ///
    /// # Errors
    /// If it is there but cannot be read, or is no JSON object within the limits.
    pub fn fields(&self, file: &str) -> Result<Option<Fields>, CheckpointError> {
        if !self.folder.contains(file) {
            return Ok(None);
        }
        Ok(Some(Fields::parse(file, &self.folder.read(file, JSON_CAP)?)?))
    }

    /// A text file of the folder, at most [`TEXT_CAP`] bytes; `None` when it is absent.
    ///
    /// # Errors
    /// If it is there but cannot be read, is longer, or is not UTF-8.
    pub fn text(&self, file: &str) -> Result<Option<String>, CheckpointError> {
        if !self.folder.contains(file) {
            return Ok(None);
        }
        let bytes = self.folder.read(file, TEXT_CAP)?;
        let text = String::from_utf8(bytes);
        text.map(Some).map_err(|e| CheckpointError::NotText { file: file.to_owned(), at: e.utf8_error().valid_up_to() })
    }

    /// Names of all files of the folder, sorted.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.folder.names()
    }

    /// A file of the folder, at most [`TEXT_CAP`] bytes.
    ///
    /// # Errors
    /// If it is absent, cannot be read, or is longer.
    pub fn bytes(&self, file: &str) -> Result<Vec<u8>, CheckpointError> {
        self.folder.read(file, TEXT_CAP)
    }

    /// What changes when configuration or weights do: a hash of the configuration, and of name, length and time of change
    /// of every weight file. No weight is read for it.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// Gives back the memory of all weights that were read; whoever reads one again waits for the disk.
    pub fn release_memory(&self) {
        self.tensors.iter().for_each(|tensor| tensor.place.release(0..usize::MAX));
    }

    /// The folder's true path.
    pub(crate) fn root(&self) -> &Path {
        self.folder.root()
    }

    /// All tensors as published, sorted by name.
    pub fn entries(&self) -> &[StoredTensor] {
        &self.tensors
    }

    /// The tensors a family asks for, by its own names. All specs are compared with all tensors first, and every difference
    /// is reported at once: missing, of another shape, of an element type that is not computed with, published twice, or
    /// not asked for. Tables that are computed from the configuration (`rotary_emb.inv_freq`) may be there or not.
    ///
    /// # Errors
    /// [`CheckpointError::Tensors`] with all differences.
    ///
    /// # Panics
    /// If two specs have one name: a defect of the caller.
    pub fn select(&self, naming: &Naming, specs: &[TensorSpec]) -> Result<Tensors, CheckpointError> {
        select::select(&self.tensors, naming, specs)
    }
}

fn fingerprint(config: &[u8], shards: &[Shard]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((config.len() as u64).to_le_bytes());
    hash.update(config);
    for shard in shards {
        hash.update((shard.name.len() as u64).to_le_bytes());
        hash.update(shard.name.as_bytes());
        hash.update(shard.stamp.len.to_le_bytes());
        let (seconds, nanoseconds) = shard.stamp.modified;
        hash.update(seconds.to_le_bytes());
        hash.update(nanoseconds.to_le_bytes());
    }
    hash.finalize().into()
}
