//! How values that are one of a few are spelled: read and written by the same lists.

use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use super::{
    ActOrder, Clip, HadamardFallback, LearningForm, RotationKind, Sequential, Sinks, SitePattern, SiteSelector,
    SmoothingVectors,
};
use mquant_model::bundle::InputFormat;
use mquant_model::excerpt::quoted;
use mquant_model::nn::{CacheFormat, Modality, Tower};

/// One of a few values, each with a word.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// Every value.
    const ALL: &'static [(&'static str, Self)];

    /// Its word.
    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }
}

macro_rules! words {
    ($type:ty { $($word:literal = $value:path),+ $(,)? }) => {
        impl Word for $type {
            const ALL: &'static [(&'static str, Self)] = &[$(($word, $value)),+];
        }
    };
}

words!(Tower { "vision" = Tower::Vision, "audio" = Tower::Audio, "language" = Tower::Language });
words!(Sequential { "block" = Sequential::Block, "site" = Sequential::Site });
words!(Sinks { "keep" = Sinks::Keep, "per_token" = Sinks::PerToken });
words!(CacheFormat { "int8" = CacheFormat::Codes, "float" = CacheFormat::Float });
words!(RotationKind { "hadamard" = RotationKind::Hadamard, "ones_preserving" = RotationKind::OnesPreserving });
words!(SmoothingVectors { "per_modality" = SmoothingVectors::PerModality, "uniform" = SmoothingVectors::Uniform });
words!(LearningForm { "published" = LearningForm::Published, "deployed" = LearningForm::Deployed });
words!(Modality { "text" = Modality::Text, "vision" = Modality::Vision, "audio" = Modality::Audio });
words!(HadamardFallback { "pad" = HadamardFallback::Pad, "blocks" = HadamardFallback::Blocks });
words!(Clip { "none" = Clip::None, "search" = Clip::Search });
words!(InputFormat {
    "float" = InputFormat::Float,
    "per_tensor" = InputFormat::PerTensor,
    "per_modality" = InputFormat::PerModality,
    "per_token" = InputFormat::PerToken,
});
words!(ObserverName {
    "min_max" = ObserverName::MinMax,
    "percentile" = ObserverName::Percentile,
    "mse" = ObserverName::Mse,
});
words!(MethodName { "rtn" = MethodName::Rtn, "gptq" = MethodName::Gptq });

/// An observer without its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObserverName {
    MinMax,
    Percentile,
    Mse,
}

/// A weight method without its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MethodName {
    Rtn,
    Gptq,
}

impl From<bool> for ActOrder {
    fn from(descending: bool) -> Self {
        if descending { ActOrder::Descending } else { ActOrder::Natural }
    }
}

/// A value read by its word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spelled<T>(pub(super) T);

impl<'de, T: Word> Deserialize<'de> for Spelled<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneWord<T>(PhantomData<T>);
        impl<T: Word> Visitor<'_> for OneWord<T> {
            type Value = Spelled<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let words: Vec<String> = T::ALL.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                write!(f, "{}", words.join(", "))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                let found = T::ALL.iter().find(|(word, _)| *word == text);
                let words = || T::ALL.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
                found
                    .map(|(_, value)| Spelled(*value))
                    .ok_or_else(|| E::custom(format!("expected one of {}, found {}", words(), quoted(text))))
            }
        }
        deserializer.deserialize_str(OneWord(PhantomData))
    }
}

impl<'de> Deserialize<'de> for SitePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnePattern;
        impl Visitor<'_> for OnePattern {
            type Value = SitePattern;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a pattern of sites in quotes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<SitePattern, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(OnePattern)
    }
}

impl<'de> Deserialize<'de> for SiteSelector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AllOrSome;
        impl<'de> Visitor<'de> for AllOrSome {
            type Value = SiteSelector;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"all\", a pattern of sites, or a list of patterns")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<SiteSelector, E> {
                match text {
                    "all" => Ok(SiteSelector::All),
                    _ => text.parse().map(|pattern| SiteSelector::AnyOf(vec![pattern])).map_err(E::custom),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<SiteSelector, A::Error> {
                let mut patterns = Vec::new();
                while let Some(pattern) = list.next_element()? {
                    patterns.push(pattern);
                }
                Ok(SiteSelector::AnyOf(patterns))
            }
        }
        deserializer.deserialize_any(AllOrSome)
    }
}
