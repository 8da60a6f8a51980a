//! Published benchmarks: how each is asked and judged.
//!
//! Enters: the name of a file or set. Leaves: its [`Known`], or nothing when no benchmark was published under that very
//! name. Invariant: a name is never guessed from a part of it, so that a custom `DemoTextVQA` is not judged as TextVQA.
//!
//! Names, metrics and prompts are VLMEvalKit's; sets of the Hub that lmms-eval reads are asked and judged the same way.
//! There lmms-eval differs in words: ChartQA's and MMMU's closing line, MME without " Please answer yes or no.", VizWiz
//! with a line about what cannot be answered, TextVQA with one capital letter. LibriSpeech, which VLMEvalKit lacks, is asked and
//! named as there, in the words for Qwen2.5-Omni. Most tokens of an answer are lmms-eval's,
//! since VLMEvalKit leaves them to the model; neither limits TextVQA and VizWiz.
//!
//! To add a benchmark: a line in [`KNOWN`].

mod prompt;
mod sets;

pub use prompt::{Part, PromptStyle};
pub use sets::KNOWN;

use super::Metric;
use super::metric::Wer;

/// How a benchmark is asked and judged.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// What its files and sets are called, without ending and owner; none of a custom file.
    pub names: &'static [&'static str],
    /// How answers are judged.
    pub metric: &'static dyn Metric,
    /// How questions are put.
    pub prompt: PromptStyle,
    /// Most tokens of an answer.
    pub max_new_tokens: usize,
}

impl Known {
    /// A custom file with a metric of its owner's choice: the question alone, or where a transcript has none the request for
    /// one; at most 128 tokens.
    pub fn declared(metric: &'static dyn Metric) -> Self {
        let prompt = if metric.name() == Wer.name() { PromptStyle::Transcript } else { PromptStyle::Alone };
        Self { names: &[], metric, prompt, max_new_tokens: 128 }
    }
}

/// Who publishes sets on the Hub under the names known here.
const OWNERS: [&str; 4] = ["lmms-lab", "lmms-lab-encoder", "echo840", "MMMU"];

/// The benchmark published under that name, in any letter case: a file's name without its ending, a set's with or without
/// its owner. The number of a shard (`-00000-of-00005`, with or without a hash) does not count, nor does a split at the end
/// (`_validation`) where nothing is published under the whole name.
pub fn recognise(name: &str) -> Option<&'static Known> {
    let name = match name.split_once('/') {
        Some((owner, name)) => OWNERS.iter().any(|known| known.eq_ignore_ascii_case(owner)).then_some(name)?,
        None => name,
    };
    let name = without_shard(name);
    let published = |name: &str| KNOWN.iter().find(|known| known.names.iter().any(|n| n.eq_ignore_ascii_case(name)));
    let without_split = || {
        let (set, split) = name.rsplit_once('_')?;
        SPLITS.iter().any(|known| known.eq_ignore_ascii_case(split)).then_some(set)
    };
    published(name).or_else(|| published(without_split()?))
}

/// What sets of the Hub call their splits.
const SPLITS: [&str; 6] = ["train", "val", "validation", "dev", "test", "testmini"];

/// Digits of a shard's number.
const SHARD_DIGITS: usize = 5;

/// A name without the number of a shard.
fn without_shard(name: &str) -> &str {
    let parts: Vec<&str> = name.rsplitn(5, '-').collect();
    let is_number = |text: &str| text.len() == SHARD_DIGITS && text.bytes().all(|b| b.is_ascii_digit());
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let suffix = match parts.as_slice() {
        [count, "of", number, _, ..] if is_number(count) && is_number(number) => count.len() + number.len() + 5,
        [hash, count, "of", number, _] if is_hash(hash) && is_number(count) && is_number(number) => {
            hash.len() + count.len() + number.len() + 6
        }
        _ => return name,
    };
    &name[..name.len() - suffix]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::METRICS;

    #[test]
    fn only_published_names_are_recognised() {
        let metric = |name| recognise(name).map(|known| known.metric.name());
        for (name, expected) in [
            ("TextVQA_VAL", "vqa"),
            ("textvqa_val-00000-of-00005", "vqa"),
            ("lmms-lab/textvqa", "vqa"),
            ("VizWiz", "vqa"),
            ("DocVQA_TEST", "anls"),
            ("InfographicVQA", "anls"),
            ("ChartQA_TEST", "relaxed"),
            ("OCRBench", "ocrbench"),
            ("echo840/OCRBench", "ocrbench"),
            ("MME", "mme"),
            ("MMMU_DEV_VAL", "choice_open"),
            ("MMBench_DEV_EN_V11", "choice_circular"),
            ("ScienceQA_TEST", "choice"),
            ("mme-00000-of-00004-a26ff10e5d2a2f5f", "mme"),
            ("textvqa_validation", "vqa"),
            ("OCRBench_test", "ocrbench"),
            ("MME_test", "mme"),
            ("DocVQA_validation", "anls"),
            ("librispeech_test_clean-00000-of-00002", "wer"),
            ("lmms-lab/librispeech_test_other", "wer"),
            ("DemoSpeech", "wer"),
        ] {
            assert_eq!(metric(name), Some(expected), "{name}");
        }
        for name in [
            "",
            "MyTextVQA_VAL",
            "MyTextVQA_validation",
            "OCRBench_v2_test",
            "_test",
            "TextVQA_VAL2",
            "OCRBench_v2",
            "MME-RealWorld",
            "someone/MME",
            "-00000-of-00001",
            "MME-0-of-1",
            "MME-00000-of-0000é",
            "test-00000-of-00004",
        ] {
            assert_eq!(metric(name), None, "{name}");
        }
    }

    #[test]
    fn the_bundled_sets_are_judged_word_for_word() {
        for name in
            ["DemoTextVQA", "DemoDocVQA", "DemoOCRBench", "DemoMME", "DemoCount", "DemoColor", "DemoSound", "DemoBoth"]
        {
            let known = recognise(name).unwrap();
            let found = (known.metric.name(), known.prompt, known.max_new_tokens);
            assert_eq!(found, ("exact_match", PromptStyle::Alone, 24), "{name}");
        }
    }

    #[test]
    fn no_name_is_published_twice() {
        let mut names: Vec<String> = KNOWN.iter().flat_map(|known| known.names).map(|n| n.to_lowercase()).collect();
        names.sort();
        assert!(names.windows(2).all(|two| two[0] != two[1]), "{names:?}");
        let is_listed = |known: &Known| METRICS.iter().any(|metric| metric.name() == known.metric.name());
        assert!(KNOWN.iter().all(is_listed));
    }
}
