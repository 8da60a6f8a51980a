//! `quantization_config` of a bundle's `config.json`, read strictly and written back in one way.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use super::{BundleError, FORMAT_VERSION, SiteQuant};
use crate::checkpoint::{FieldError, Fields};
use crate::excerpt::excerpt;
use crate::input::Modality;
use crate::nn::{CacheFormat, SiteId};

/// The field of `config.json`.
pub(crate) const FIELD: &str = "quantization_config";
/// What `quant_method` says.
const METHOD: &str = "mquant";
/// Codes of keys and values: their bits, and how many share a scale.
const CACHE: (usize, usize) = (8, 32);

/// How every site of a model is quantised.
#[derive(Clone, Debug)]
pub struct Quantization {
    /// The modalities whose rows have scales of their own, in the order scales are stored.
    pub modalities: Vec<Modality>,
    /// How keys and values are remembered.
    pub kv_cache: CacheFormat,
    /// Every site of the model.
    pub sites: BTreeMap<SiteId, SiteQuant>,
}

impl Quantization {
    /// What a configuration says; None for a float checkpoint.
    ///
    /// # Errors
    /// Another quantisation method or format version, an unknown field, or a value that is out of range or at odds with
    /// another. Whether the sites are those of the model is not known here.
    pub fn read(config: &Fields) -> Result<Option<Self>, BundleError> {
        let Some(fields) = config.opt_object(FIELD)? else { return Ok(None) };
        if fields.value("quant_method").and_then(Value::as_str) != Some(METHOD) {
            let handled = format!("\"{METHOD}\", or a float checkpoint without {FIELD}");
            return Err(fields.unsupported("quant_method", handled).into());
        }
        let found = fields.usize("format_version", 1..=usize::MAX)?;
        if found > FORMAT_VERSION {
            let (file, field) = (fields.file().to_owned(), fields.field("format_version"));
            return Err(BundleError::Version { file, field, found });
        }
        fields.only(&["quant_method", "format_version", "modalities", "kv_cache", "sites"])?;
        let modalities = modalities(&fields)?;
        let kv_cache = kv_cache(&fields)?;
        let table = fields.object("sites")?;
        let (mut sites, mut unknown) = (BTreeMap::new(), Vec::new());
        for name in table.keys() {
            match SiteId::parse(name) {
                Some(id) => drop(sites.insert(id, SiteQuant::read(&table.object(name)?, id, found)?)),
                None => unknown.push(excerpt(name)),
            }
        }
        if !unknown.is_empty() {
            let (file, field) = (fields.file().to_owned(), fields.field("sites"));
            return Err(BundleError::Sites { file, field, missing: Vec::new(), unknown });
        }
        Ok(Some(Self { modalities, kv_cache, sites }))
    }

    /// The first format version that has everything the sites need: older programs read what they can.
    pub fn version(&self) -> usize {
        if self.sites.values().any(SiteQuant::needs_version_2) { 2 } else { 1 }
    }

    /// The value of `quantization_config`; [`read`](Self::read) gives the same quantisation back.
    pub fn to_json(&self) -> Value {
        let mut root = Map::new();
        root.insert("quant_method".to_owned(), json!(METHOD));
        root.insert("format_version".to_owned(), json!(self.version()));
        let modalities: Vec<String> = self.modalities.iter().map(ToString::to_string).collect();
        root.insert("modalities".to_owned(), json!(modalities));
        if self.kv_cache == CacheFormat::Codes {
            root.insert("kv_cache".to_owned(), json!({"bits": CACHE.0, "group": CACHE.1}));
        }
        let sites: Map<String, Value> = self.sites.iter().map(|(id, site)| (id.to_string(), site.to_json())).collect();
        root.insert("sites".to_owned(), Value::Object(sites));
        Value::Object(root)
    }
}

fn modalities(fields: &Fields) -> Result<Vec<Modality>, FieldError> {
    let known = [Modality::Text, Modality::Vision, Modality::Audio];
    let expected = "a list of \"text\", \"vision\" and perhaps \"audio\", each once";
    let names = fields.opt_string_list("modalities", 1..=known.len())?;
    let names = names.ok_or_else(|| fields.missing("modalities", expected))?;
    let found: Vec<Modality> =
        names.iter().filter_map(|name| known.into_iter().find(|m| m.to_string() == *name)).collect();
    let once = known.iter().all(|m| found.iter().filter(|f| *f == m).count() <= 1);
    let needed = [Modality::Text, Modality::Vision].iter().all(|m| found.contains(m));
    if found.len() == names.len() && once && needed { Ok(found) } else { Err(fields.conflict("modalities", expected)) }
}

fn kv_cache(fields: &Fields) -> Result<CacheFormat, FieldError> {
    let Some(cache) = fields.opt_object("kv_cache")? else { return Ok(CacheFormat::Float) };
    cache.only(&["bits", "group"])?;
    for (key, handled) in [("bits", CACHE.0), ("group", CACHE.1)] {
        if cache.usize(key, 1..=usize::MAX)? != handled {
            return Err(cache.unsupported(key, handled));
        }
    }
    Ok(CacheFormat::Codes)
}

#[cfg(test)]
mod tests {
    use mquant_kernels::Bits;

    use super::*;
    use crate::bundle::IntFormat;
    use crate::bundle::{InputFormat, NormFormat, WeightFormat};
    use crate::error::Explain;

    fn read(config: &Value) -> Result<Quantization, BundleError> {
        let fields = Fields::parse("config.json", config.to_string().as_bytes()).unwrap();
        Quantization::read(&fields).map(|q| q.expect("a quantised model"))
    }

    fn good() -> Value {
        json!({"quantization_config": {
            "quant_method": "mquant", "format_version": 1, "modalities": ["vision", "text"],
            "kv_cache": {"bits": 8, "group": 32},
            "sites": {
                "language.1.qkv": {
                    "weight_bits": 4, "group_size": 64, "input": "per_modality", "norm": null, "rotation": null,
                    "side_columns": null
                },
                "language.10.up": {
                    "weight_bits": 8, "group_size": null, "input": "per_token", "norm": "rms",
                    "rotation": {"blocks": 2, "factors": [12, 32]}, "side_columns": [0, 5, 766]
                },
                "head": {
                    "weight_bits": 16, "group_size": null, "input": "float", "norm": null, "rotation": null,
                    "side_columns": null
                }
            }
        }})
    }

    #[test]
    fn what_is_read_is_written_back() {
        let quantization = read(&good()).unwrap();
        assert_eq!(quantization.modalities, [Modality::Vision, Modality::Text]);
        assert_eq!(quantization.kv_cache, CacheFormat::Codes);
        assert_eq!(quantization.to_json(), good()[FIELD]);
        let site = &quantization.sites[&SiteId::parse("language.10.up").unwrap()];
        assert_eq!((site.norm, &site.side_columns[..]), (NormFormat::Rms, &[0, 5, 766][..]));
        let site = &quantization.sites[&SiteId::parse("head").unwrap()];
        assert_eq!((site.norm, site.side_columns.len()), (NormFormat::Published, 0));
        let mut float_cache = good();
        float_cache[FIELD].as_object_mut().unwrap().remove("kv_cache");
        let quantization = read(&float_cache).unwrap();
        assert_eq!(quantization.kv_cache, CacheFormat::Float);
        assert_eq!(quantization.to_json(), float_cache[FIELD]);
        let float = Fields::parse("config.json", b"{}").unwrap();
        assert!(Quantization::read(&float).unwrap().is_none());
    }

    #[test]
    fn every_field_is_read_strictly() {
        let q = "/quantization_config";
        let site = "/quantization_config/sites/language.1.qkv";
        let cases = [
            (q, "quant_method", json!("gptq"), "FIELD_CHOICE"),
            (q, "quant_method", json!(null), "FIELD_CHOICE"),
            (q, "quant_method", json!(7), "FIELD_CHOICE"),
            (q, "format_version", json!(3), "BUNDLE_VERSION"),
            (q, "format_version", json!(0), "FIELD_RANGE"),
            (q, "format_version", json!(null), "FIELD_MISSING"),
            (q, "surprise", json!(1), "FIELD_UNKNOWN"),
            (q, "modalities", json!(null), "FIELD_MISSING"),
            (q, "modalities", json!([]), "FIELD_COUNT"),
            (q, "modalities", json!(["text"]), "FIELD_CONFLICT"),
            (q, "modalities", json!(["text", "vision", "text"]), "FIELD_CONFLICT"),
            (q, "modalities", json!(["text", "vision", "smell"]), "FIELD_CONFLICT"),
            (q, "kv_cache", json!(8), "FIELD_KIND"),
            (q, "kv_cache", json!({"bits": 4, "group": 32}), "FIELD_CHOICE"),
            (q, "kv_cache", json!({"bits": 8, "group": 64}), "FIELD_CHOICE"),
            (q, "kv_cache", json!({"bits": 8}), "FIELD_MISSING"),
            (q, "kv_cache", json!({"bits": 8, "group": 32, "x": 1}), "FIELD_UNKNOWN"),
            (q, "sites", json!(null), "FIELD_MISSING"),
            (q, "sites", json!({"language.01.qkv": {}, "elsewhere": {}}), "BUNDLE_SITES"),
            (site, "weight_bits", json!(3), "FIELD_CHOICE"),
            (site, "weight_bits", json!("4"), "FIELD_KIND"),
            (site, "weight_bits", json!(16), "FIELD_CONFLICT"),
            (site, "group_size", json!(48), "FIELD_CHOICE"),
            (site, "group_size", json!(0), "FIELD_RANGE"),
            (site, "input", json!("per_row"), "FIELD_CHOICE"),
            (site, "input", json!(null), "FIELD_MISSING"),
            (site, "rotation", json!({"blocks": 1, "factors": [7]}), "BUNDLE_ROTATION"),
            (site, "rotation", json!({"blocks": 0, "factors": [4]}), "FIELD_RANGE"),
            (site, "rotation", json!({"blocks": 1}), "FIELD_MISSING"),
            (site, "bits", json!(4), "FIELD_UNKNOWN"),
            (site, "norm", json!("layer"), "FIELD_CHOICE"),
            (site, "norm", json!(true), "FIELD_KIND"),
            (site, "side_columns", json!([]), "FIELD_COUNT"),
            (site, "side_columns", json!((0..257).collect::<Vec<_>>()), "FIELD_COUNT"),
            (site, "side_columns", json!([1, 0]), "FIELD_CONFLICT"),
            (site, "side_columns", json!([3, 3]), "FIELD_CONFLICT"),
            (site, "side_columns", json!([-1]), "FIELD_RANGE"),
            (site, "side_columns", json!([u64::MAX]), "FIELD_RANGE"),
            (site, "side_columns", json!([0.5]), "FIELD_KIND"),
            (site, "side_columns", json!("0"), "FIELD_KIND"),
            ("/quantization_config/sites/head", "side_columns", json!([0]), "FIELD_CONFLICT"),
            ("/quantization_config/sites/head", "input", json!("per_token"), "FIELD_CONFLICT"),
            ("/quantization_config/sites/head", "group_size", json!(32), "FIELD_CONFLICT"),
        ];
        for (parent, key, value, code) in cases {
            let mut config = good();
            config.pointer_mut(parent).unwrap()[key] = value.clone();
            let error = read(&config).map(|_| ()).unwrap_err();
            assert_eq!(error.code(), code, "{key} = {value}: {error}");
            assert!(error.to_string().starts_with("config.json: quantization_config."), "{error}");
        }
    }

    #[test]
    fn weights_alone_may_be_quantised() {
        let mut config = good();
        config.pointer_mut("/quantization_config/sites/language.1.qkv").unwrap()["input"] = json!("float");
        let quantization = read(&config).unwrap();
        let site = &quantization.sites[&SiteId::parse("language.1.qkv").unwrap()];
        assert_eq!(site.input, InputFormat::Float);
        assert_eq!(site.weight, WeightFormat::Int(IntFormat { bits: Bits::Four, group: Some(64) }));
    }
}
