//! The JSON of a safetensors header, streamed: every key is seen as it comes, so that none can hide behind another.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, btree_map, hash_map};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::header_error::HeaderError;
use super::safetensors::{DIMS_CAP, NAME_CAP, RawEntry, TENSORS_CAP};
use super::stored_dtype::StoredDtype;
use crate::excerpt::excerpt;

const METADATA: &str = "__metadata__";

/// The entries, in no particular order, and the metadata of a header.
pub(crate) fn parse(text: &str) -> Result<(Vec<RawEntry>, BTreeMap<String, String>), HeaderError> {
    let verdict = Cell::new(None);
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = HeaderSeed(Verdict(&verdict)).deserialize(&mut json).and_then(|header| json.end().map(|()| header));
    parsed.map_err(|e| {
        let detail = excerpt(&e.to_string());
        let fallback = match e.classify() {
            serde_json::error::Category::Data => HeaderError::Kind { detail },
            _ => HeaderError::Json { detail },
        };
        verdict.take().unwrap_or(fallback)
    })
}

/// Where a visitor leaves the structured error that serde's own error type cannot carry.
#[derive(Clone, Copy)]
struct Verdict<'v>(&'v Cell<Option<HeaderError>>);

impl Verdict<'_> {
    fn refuse<E: serde::de::Error>(self, error: HeaderError) -> E {
        self.0.set(Some(error));
        E::custom("refused")
    }
}

struct HeaderSeed<'v>(Verdict<'v>);

impl<'de> DeserializeSeed<'de> for HeaderSeed<'_> {
    type Value = (Vec<RawEntry>, BTreeMap<String, String>);
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed<'_> {
    type Value = (Vec<RawEntry>, BTreeMap<String, String>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let verdict = self.0;
        let mut metadata = None;
        let mut entries: HashMap<String, RawEntry> = HashMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                if metadata.is_some() {
                    return Err(verdict.refuse(HeaderError::Duplicate { key: name }));
                }
                metadata = Some(map.next_value_seed(MetadataSeed(verdict))?);
                continue;
            }
            if name.is_empty() || name.len() > NAME_CAP {
                return Err(verdict.refuse(HeaderError::Name { bytes: name.len() }));
            }
            if entries.len() == TENSORS_CAP {
                return Err(verdict.refuse(HeaderError::Count));
            }
            match entries.entry(name) {
                hash_map::Entry::Occupied(twice) => {
                    return Err(verdict.refuse(HeaderError::Duplicate { key: excerpt(twice.key()) }));
                }
                hash_map::Entry::Vacant(free) => {
                    let entry = map.next_value_seed(EntrySeed { name: free.key(), verdict })?;
                    free.insert(entry);
                }
            }
        }
        Ok((entries.into_values().collect(), metadata.unwrap_or_default()))
    }
}

struct MetadataSeed<'v>(Verdict<'v>);

impl<'de> DeserializeSeed<'de> for MetadataSeed<'_> {
    type Value = BTreeMap<String, String>;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MetadataSeed<'_> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings under __metadata__")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut strings = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            match strings.entry(key) {
                btree_map::Entry::Occupied(twice) => {
                    let key = format!("{METADATA}.{}", excerpt(twice.key()));
                    return Err(self.0.refuse(HeaderError::Duplicate { key }));
                }
                btree_map::Entry::Vacant(free) => {
                    free.insert(map.next_value()?);
                }
            }
        }
        Ok(strings)
    }
}

struct EntrySeed<'a, 'v> {
    name: &'a str,
    verdict: Verdict<'v>,
}

impl<'de> DeserializeSeed<'de> for EntrySeed<'_, '_> {
    type Value = RawEntry;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<RawEntry, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EntrySeed<'_, '_> {
    type Value = RawEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with dtype, shape and data_offsets")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawEntry, A::Error> {
        let Self { name, verdict } = self;
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            let (known, seen) = match key.as_str() {
                "dtype" => (true, dtype.is_some()),
                "shape" => (true, shape.is_some()),
                "data_offsets" => (true, offsets.is_some()),
                _ => (false, false),
            };
            if !known {
                let (tensor, key) = (excerpt(name), excerpt(&key));
                return Err(verdict.refuse(HeaderError::UnknownKey { tensor, key }));
            }
            if seen {
                let key = format!("{}.{key}", excerpt(name));
                return Err(verdict.refuse(HeaderError::Duplicate { key }));
            }
            match key.as_str() {
                "dtype" => dtype = Some(map.next_value_seed(DtypeSeed { name, verdict })?),
                "shape" => shape = Some(map.next_value_seed(NumbersSeed { name, verdict })?),
                _ => offsets = Some(map.next_value_seed(NumbersSeed { name, verdict })?),
            }
        }
        let missing = |key| verdict.refuse(HeaderError::MissingKey { tensor: excerpt(name), key });
        let dtype = dtype.ok_or_else(|| missing("dtype"))?;
        let shape = shape.ok_or_else(|| missing("shape"))?;
        let offsets = offsets.ok_or_else(|| missing("data_offsets"))?;
        let &[begin, end] = offsets.as_slice() else {
            return Err(A::Error::custom(format!("data_offsets of {}: expected two numbers", excerpt(name))));
        };
        Ok(RawEntry { name: name.to_owned(), dtype, shape, begin, end })
    }
}

struct DtypeSeed<'a, 'v> {
    name: &'a str,
    verdict: Verdict<'v>,
}

impl<'de> DeserializeSeed<'de> for DtypeSeed<'_, '_> {
    type Value = StoredDtype;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<StoredDtype, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for DtypeSeed<'_, '_> {
    type Value = StoredDtype;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an element type")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<StoredDtype, E> {
        StoredDtype::parse(text)
            .ok_or_else(|| self.verdict.refuse(HeaderError::Dtype { tensor: excerpt(self.name), found: excerpt(text) }))
    }
}

/// A short list of whole numbers: a shape, or a pair of offsets.
struct NumbersSeed<'a, 'v> {
    name: &'a str,
    verdict: Verdict<'v>,
}

impl<'de> DeserializeSeed<'de> for NumbersSeed<'_, '_> {
    type Value = Vec<u64>;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Vec<u64>, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for NumbersSeed<'_, '_> {
    type Value = Vec<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of whole numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u64>, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = list.next_element_seed(NumberSeed { name: self.name, verdict: self.verdict })? {
            if numbers.len() == DIMS_CAP {
                return Err(self.verdict.refuse(HeaderError::Dims { tensor: excerpt(self.name) }));
            }
            numbers.push(number);
        }
        Ok(numbers)
    }
}

struct NumberSeed<'a, 'v> {
    name: &'a str,
    verdict: Verdict<'v>,
}

impl<'de> DeserializeSeed<'de> for NumberSeed<'_, '_> {
    type Value = u64;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<u64, D::Error> {
        json.deserialize_u64(self)
    }
}

impl Visitor<'_> for NumberSeed<'_, '_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<u64, E> {
        let (tensor, found) = (excerpt(self.name), number.to_string());
        Err(self.verdict.refuse(HeaderError::Number { tensor, found }))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<u64, E> {
        let tensor = excerpt(self.name);
        // A whole number past u64 arrives here too, as the nearest float.
        Err(self.verdict.refuse(if number >= u64::MAX as f64 {
            HeaderError::Overflow { tensor, what: format!("a number is {number:e}") }
        } else {
            HeaderError::Number { tensor, found: format!("{number:?}") }
        }))
    }
}
