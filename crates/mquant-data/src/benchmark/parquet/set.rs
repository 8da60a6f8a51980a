//! Which files belong to one benchmark, and what it is called.

use std::path::{Path, PathBuf};

use crate::benchmark::BenchmarkError;
use crate::benchmark::file_name;

/// How the files end.
const ENDING: &str = ".parquet";
/// Where a dataset of the Hub keeps its files.
const DATA: &str = "data";
/// File names that say which part of a benchmark is in them, and not which benchmark.
const SPLITS: [&str; 8] = ["train", "validation", "val", "dev", "test", "testmini", "lite", "default"];

/// A file's place among the shards of its set.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// What the names of all shards begin with.
    set: String,
    /// From 0, and how many there are; None of a file that is alone.
    shard: Option<(usize, usize)>,
}

/// `validation-00000-of-00003.parquet` taken apart.
fn place(file: &str) -> Option<Place> {
    let stem = file.strip_suffix(ENDING)?;
    let numbered = || {
        let (rest, count) = stem.rsplit_once("-of-")?;
        let (set, number) = rest.rsplit_once('-')?;
        Some(Place { set: set.to_owned(), shard: Some((number.parse().ok()?, count.parse().ok()?)) })
    };
    // The Hub marks what it converted itself with a hash at the end.
    numbered().or(Some(Place { set: stem.to_owned(), shard: None }))
}

/// The files of the benchmark at a path, in order: the shards of a folder, or those that belong to a shard.
///
/// # Errors
/// If there is none, one is missing, or a folder holds several sets.
pub(in crate::benchmark) fn shards(path: &Path) -> Result<Vec<PathBuf>, BenchmarkError> {
    if path.is_dir() {
        let mut files = parquet_files(path)?;
        if files.is_empty() {
            files = parquet_files(&path.join(DATA)).unwrap_or_default();
        }
        let mut sets: Vec<String> = files.iter().filter_map(|file| Some(place(&file_name(file))?.set)).collect();
        sets.sort();
        sets.dedup();
        return match (files.first(), sets.len()) {
            (Some(first), 1) => complete(first, &files),
            (None, _) => Err(BenchmarkError::Kind { file: file_name(path) }),
            _ => Err(BenchmarkError::Sets {
                folder: file_name(path),
                found: mquant_model::excerpt::quoted(&sets.join(", ")),
            }),
        };
    }
    match place(&file_name(path)) {
        Some(Place { shard: Some(_), .. }) => complete(path, &parquet_files(path.parent().unwrap_or(Path::new("")))?),
        _ => Ok(vec![path.to_owned()]),
    }
}

/// The shards of the set that one of them belongs to.
fn complete(one: &Path, files: &[PathBuf]) -> Result<Vec<PathBuf>, BenchmarkError> {
    let Some(Place { set, shard: Some((_, count)) }) = place(&file_name(one)) else { return Ok(vec![one.to_owned()]) };
    let wanted = |number: usize| Some(Place { set: set.clone(), shard: Some((number, count)) });
    let find = |number: usize| files.iter().find(|file| place(&file_name(file)) == wanted(number)).cloned();
    // A name may promise any number of files: the first that is missing ends the search.
    let mut found = Vec::new();
    for number in 0..count {
        found.push(find(number).ok_or_else(|| BenchmarkError::ShardMissing { file: file_name(one), number, count })?);
    }
    if found.is_empty() { Ok(vec![one.to_owned()]) } else { Ok(found) }
}

fn parquet_files(folder: &Path) -> Result<Vec<PathBuf>, BenchmarkError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let unreadable = |source| BenchmarkError::Io { file: file_name(folder), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if file_name(&path).ends_with(ENDING) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a folder of the Hub's cache stands between a set's own folder and its files: `snapshots`, and a revision in it.
fn is_of_cache(folder: &str) -> bool {
    let is_revision = folder.len() == 40 && folder.bytes().all(|byte| byte.is_ascii_hexdigit());
    folder == "snapshots" || is_revision
}

/// What a benchmark is called: its set, and before it the folder where the set is only a split.
pub(in crate::benchmark) fn name(first: &Path) -> String {
    let set = place(&file_name(first)).map_or_else(|| file_name(first), |place| place.set);
    if !SPLITS.contains(&set.as_str()) {
        return set;
    }
    let folders = first.ancestors().skip(1).map(file_name);
    match folders
        .into_iter()
        .find(|folder| !folder.is_empty() && folder != DATA && folder != "." && !is_of_cache(folder))
    {
        // In the Hub's cache a set's folder is `datasets--OWNER--NAME`.
        Some(folder) => format!("{}_{set}", folder.rsplit("--").next().unwrap_or(&folder)),
        None => set,
    }
}
