//! Format version 2: gains of modalities and low-rank branches come into memory as they were written, are refused where they
//! do not fit, and version 1 has none of them.

use std::collections::{BTreeMap, BTreeSet};

use mquant::bundle::{InputFormat, PackedCache, SiteQuant};
use mquant::input::Modality;
use mquant::nn::{SiteId, SiteKind, Tower};
use mquant_testkit::sites::site;
use safetensors::Dtype;
use serde_json::{Value, json};

use crate::bundle::folder::{Bundle, mixed};

/// [`mixed`], with gains and branches where the decoder's blocks can have them.
fn compensated(id: SiteId) -> SiteQuant {
    let plain = mixed(id);
    if id.tower() != Tower::Language || id.block_index().is_none() {
        return plain;
    }
    let (gains, branches) = match id.kind {
        SiteKind::Qkv => (BTreeSet::from([Modality::Vision]), BTreeMap::from([(Modality::Vision, 6)])),
        SiteKind::Out => (BTreeSet::new(), BTreeMap::from([(Modality::Text, 2), (Modality::Vision, 70)])),
        SiteKind::Up => (BTreeSet::from([Modality::Vision]), BTreeMap::new()),
        _ => (BTreeSet::new(), BTreeMap::new()),
    };
    let input = if id.kind == SiteKind::Down { InputFormat::PerTokenSix } else { plain.input };
    SiteQuant { gains, branches, input, ..plain }
}

#[test]
fn gains_and_branches_come_as_they_were_written() {
    let bundle = Bundle::of("qwen2_vl", compensated);
    for cache in [PackedCache::Disabled, PackedCache::Enabled, PackedCache::Enabled] {
        let loaded = bundle.open(cache).unwrap();
        assert_eq!(loaded.quantization.as_ref().unwrap().version(), 2);
        let qkv = site::<3>(&loaded.model, SiteId::block(Tower::Language, 1, SiteKind::Qkv));
        let gains = qkv.gains.unwrap();
        assert_eq!(gains.factors().keys().collect::<Vec<_>>(), [&Modality::Vision]);
        assert_eq!(gains.factors()[&Modality::Vision][..3], [0.5, 1.2, 0.8]);
        assert_eq!((qkv.branches.len(), qkv.branches[0].weight.rows()), (1, 6));
        let ranks = |of: &mquant::nn::Linear| of.branches.iter().map(|b| (b.rows(), b.cols())).collect::<Vec<_>>();
        let shapes: Vec<_> = qkv.linears.iter().map(ranks).collect();
        let outputs = qkv.linears.each_ref().map(|linear| linear.weight.rows());
        assert_eq!(shapes, outputs.map(|outputs| vec![(outputs, 6)]));
        let out = site::<1>(&loaded.model, SiteId::block(Tower::Language, 0, SiteKind::Out));
        assert_eq!(out.branches.iter().map(|b| b.modality).collect::<Vec<_>>(), [Modality::Text, Modality::Vision]);
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let whole = Bundle::of("qwen2_vl", compensated);
    let refused = |bundle: &Bundle, code: &str, named: &str| {
        let Err(error) = bundle.open(PackedCache::Enabled) else { panic!("{named}: accepted, expected {code}") };
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(named), "{error}");
    };
    let set = |site: &str, key: &str, value: Value| {
        whole.with_config(|config| {
            config["quantization_config"]["sites"][site][key] = value;
        })
    };
    let cases = [
        ("vision.0.qkv", "gains", json!(["vision"]), "FIELD_CONFLICT", "vision.0.qkv.gains"),
        ("head", "branches", json!({"vision": 4}), "FIELD_CONFLICT", "head.branches"),
        ("language.0.up", "gains", json!(["smell"]), "FIELD_CONFLICT", "gains"),
        ("language.0.up", "gains", json!(["vision", "vision"]), "FIELD_CONFLICT", "gains"),
        ("language.0.up", "gains", json!([]), "FIELD_COUNT", "gains"),
        ("language.0.up", "gains", json!(null), "TENSOR_UNEXPECTED", "language.0.up.gain.vision"),
        ("language.0.down", "gains", json!(["vision"]), "TENSOR_MISSING", "language.0.down.gain.vision"),
        ("language.0.down", "branches", json!({"vision": 0}), "FIELD_RANGE", "branches.vision"),
        ("language.0.down", "branches", json!({}), "FIELD_CONFLICT", "branches"),
        ("language.0.down", "branches", json!({"taste": 3}), "FIELD_UNKNOWN", "taste"),
        ("language.0.down", "branches", json!({"vision": 3}), "TENSOR_MISSING", "low_rank_a.vision"),
        ("language.0.qkv", "branches", json!({"vision": 7}), "TENSOR_SHAPE", "low_rank_b.vision"),
    ];
    for (site, key, value, code, named) in cases {
        refused(&set(site, key, value), code, named);
    }
    let old = whole.with_config(|config| config["quantization_config"]["format_version"] = json!(1));
    let Err(error) = old.open(PackedCache::Enabled) else { panic!("version 1 has no gains") };
    assert!(["FIELD_UNKNOWN", "FIELD_CHOICE"].contains(&error.code()), "{error}");
    let gain = "language.0.qkv.gain.vision";
    let negative = whole.with_tensors(|t| t.get_mut(gain).unwrap().2[..4].copy_from_slice(&(-1f32).to_le_bytes()));
    refused(&negative, "BUNDLE_INPUT_SCALE", gain);
    let half = "language.0.qkv.low_rank_a.vision";
    refused(&whole.with_tensors(|t| t.get_mut(half).unwrap().0 = Dtype::U8), "TENSOR_DTYPE", "expected I8, found U8");
    let scale = "model.layers.0.self_attn.q_proj.low_rank_b_scale.vision";
    let zero = whole.with_tensors(|t| t.get_mut(scale).unwrap().2[..4].fill(0));
    refused(&zero, "BUNDLE_WEIGHT", "low_rank_b.vision");
}

#[test]
fn a_bundle_without_them_stays_version_1() {
    let loaded = Bundle::of("qwen2_vl", mixed).open(PackedCache::Disabled).unwrap();
    assert_eq!(loaded.quantization.unwrap().version(), 1);
}
