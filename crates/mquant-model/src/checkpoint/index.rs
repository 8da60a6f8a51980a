//! Which files hold the weights, and whether the index and the files agree.
//!
//! Either `model.safetensors`, or the shards that `model.safetensors.index.json` names. Everything missing, extra or
//! contradictory is listed at once, before any shard is mapped.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::error::CheckpointError;
use super::folder::{Folder, check_name};
use super::json;
use super::shard::Shard;
use crate::excerpt::excerpt;

/// The one file of an unsharded model.
const SINGLE: &str = "model.safetensors";
/// The index of a sharded model.
const INDEX: &str = "model.safetensors.index.json";
/// Most shards of one model.
const SHARDS_CAP: usize = 1_000;

/// The weight files of a folder and, when there is an index, the tensors it claims for each.
#[derive(Debug)]
pub(crate) struct Layout {
    files: BTreeMap<String, Option<BTreeSet<String>>>,
}

impl Layout {
    /// Finds the weight files, all of which are in the folder.
    pub(crate) fn find(folder: &Folder) -> Result<Self, CheckpointError> {
        if !folder.contains(INDEX) {
            if folder.contains(SINGLE) {
                return Ok(Self { files: BTreeMap::from([(SINGLE.to_owned(), None)]) });
            }
            return Err(no_weights(folder));
        }
        let files = read_index(&folder.read(INDEX, json::JSON_CAP)?)?;
        let missing: Vec<String> = files.keys().filter(|file| !folder.contains(file)).map(|f| excerpt(f)).collect();
        if !missing.is_empty() {
            return Err(CheckpointError::MissingShards { missing, of: files.len() });
        }
        if folder.contains(SINGLE) && !files.contains_key(SINGLE) {
            return Err(CheckpointError::TwoModels);
        }
        let extra: Vec<String> =
            folder.names().filter(|name| is_shard(name) && !files.contains_key(*name)).map(excerpt).collect();
        if !extra.is_empty() {
            return Err(CheckpointError::ExtraShards { extra });
        }
        Ok(Self { files: files.into_iter().map(|(file, tensors)| (file, Some(tensors))).collect() })
    }

    /// Opens all files, reads their headers and compares them with the index and with each other.
    pub(crate) fn open(&self, folder: &Folder) -> Result<Vec<Shard>, CheckpointError> {
        let shards = self.files.keys().map(|file| Shard::open(folder, file)).collect::<Result<Vec<_>, _>>()?;
        let mut owner: BTreeMap<&str, &str> = BTreeMap::new();
        let mut twice = Vec::new();
        for shard in &shards {
            for entry in &shard.header.entries {
                if let Some(first) = owner.insert(&entry.name, &shard.name) {
                    twice.push(format!("{}: {first} and {}", excerpt(&entry.name), shard.name));
                }
            }
        }
        if !twice.is_empty() {
            return Err(CheckpointError::TensorTwice { tensors: twice });
        }
        let differences: Vec<String> = shards.iter().flat_map(|shard| self.differences(shard)).collect();
        if !differences.is_empty() {
            return Err(CheckpointError::IndexDisagrees { differences });
        }
        Ok(shards)
    }

    fn differences(&self, shard: &Shard) -> Vec<String> {
        let Some(claimed) = self.files.get(&shard.name).and_then(Option::as_ref) else { return Vec::new() };
        let there: BTreeSet<&str> = shard.header.entries.iter().map(|entry| entry.name.as_str()).collect();
        let absent = claimed.iter().filter(|name| !there.contains(name.as_str()));
        let absent = absent.map(|name| format!("{} is not in {}", excerpt(name), shard.name));
        let unnamed = there.iter().filter(|name| !claimed.contains(**name));
        let unnamed = unnamed.map(|name| format!("{} of {} is not in the index", excerpt(name), shard.name));
        absent.chain(unnamed).collect()
    }
}

/// Tensors by file. Every file name is a plain one that ends like a safetensors file.
fn read_index(bytes: &[u8]) -> Result<BTreeMap<String, BTreeSet<String>>, CheckpointError> {
    let index = json::parse_object(INDEX, bytes, json::CONFIGURATION)?;
    let form = |detail: String| CheckpointError::Index { detail };
    let Some(Value::Object(weight_map)) = index.get("weight_map") else {
        return Err(form("expected an object weight_map".to_owned()));
    };
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (tensor, file) in weight_map {
        let Value::String(file) = file else {
            let found = json::kind(file);
            return Err(form(format!("weight_map.{} is {found}, expected a file name", excerpt(tensor))));
        };
        check_name(file)?;
        if !file.ends_with(".safetensors") {
            let found = excerpt(file);
            return Err(form(format!("weight_map.{} is {found}, expected a .safetensors file", excerpt(tensor))));
        }
        files.entry(file.clone()).or_default().insert(tensor.clone());
    }
    if files.is_empty() || files.len() > SHARDS_CAP {
        return Err(form(format!("{} shards, expected 1 to {SHARDS_CAP}", files.len())));
    }
    Ok(files)
}

/// `model-00001-of-00004.safetensors`.
fn is_shard(name: &str) -> bool {
    let numbers = name.strip_prefix("model-").and_then(|rest| rest.strip_suffix(".safetensors"));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    numbers.and_then(|rest| rest.split_once("-of-")).is_some_and(|(i, n)| number(i) && number(n))
}

/// Why there is nothing to load, in the words that help most.
fn no_weights(folder: &Folder) -> CheckpointError {
    if let Some(found) = folder.names().find(|name| is_shard(name)) {
        return CheckpointError::NoIndex { found: excerpt(found) };
    }
    let other = [".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".msgpack", ".npz", ".onnx", ".tflite"];
    match folder.names().find(|name| other.iter().any(|end| name.to_ascii_lowercase().ends_with(end))) {
        Some(found) => CheckpointError::OtherFormat { found: excerpt(found) },
        None => CheckpointError::NoWeights,
    }
}
