//! Which calibration samples a benchmark holds as well: figures on such a benchmark would flatter.

use std::collections::HashMap;
use std::path::Path;

use super::{MediaHash, Sample, SamplesError, media, row};
use crate::benchmark::Benchmark;
use mquant_model::input::Message;

/// A calibration sample that a benchmark holds as well. Pictures and sounds are the same if their encoded bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Index of the sample.
    pub sample: usize,
    /// The benchmark file.
    pub benchmark: String,
    /// The benchmark's row, from 1; the first of those that share the most.
    pub row: usize,
    /// What both have.
    pub shared: Shared,
}

/// What two samples have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shared {
    /// A picture or sound.
    Media,
    /// A picture or sound, and what is asked of it.
    MediaAndQuestion,
}

/// The samples that share a picture or sound with a row of the benchmark files, at most one overlap for each sample and file, by file
/// and sample. The few rows of a benchmark that cannot be used are passed over.
///
/// # Errors
/// A file that is no benchmark.
pub fn overlap(samples: &[Sample], benchmarks: &[&Path]) -> Result<Vec<Overlap>, SamplesError> {
    let mut by_medium: HashMap<MediaHash, Vec<usize>> = HashMap::new();
    for (i, sample) in samples.iter().enumerate() {
        sample.media.iter().for_each(|hash| by_medium.entry(*hash).or_default().push(i));
    }
    let asked: Vec<String> = samples.iter().map(|sample| question(&sample.messages)).collect();
    let mut overlaps = Vec::new();
    for path in benchmarks {
        let file = row::name(path);
        let benchmark = Benchmark::open(path)?;
        let mut found: Vec<Option<(Shared, usize)>> = vec![None; samples.len()];
        for (i, row) in benchmark.rows().iter().enumerate() {
            let messages = benchmark.messages(i)?;
            let hashes = media::hashes(&messages).map_err(|_| SamplesError::Changed { file: file.clone() })?;
            let theirs = question(&messages);
            for i in hashes.iter().filter_map(|hash| by_medium.get(hash)).flatten() {
                let shared = if asked[*i] == theirs { Shared::MediaAndQuestion } else { Shared::Media };
                if found[*i].is_none_or(|(known, _)| known < shared) {
                    found[*i] = Some((shared, *row));
                }
            }
        }
        let named = found.into_iter().enumerate().filter_map(|(sample, found)| {
            let (shared, row) = found?;
            Some(Overlap { sample, benchmark: file.clone(), row, shared })
        });
        overlaps.extend(named);
    }
    Ok(overlaps)
}

/// The user's words, white space made one.
fn question(messages: &[Message]) -> String {
    let users = messages.iter().filter(|message| message.role == "user");
    users.flat_map(Message::texts).flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}
