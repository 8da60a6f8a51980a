//! Sites with a norm without gain, a wider rotation, side columns, a bias or a head of their own: what is written reads back.

use std::sync::Arc;

use mquant::bundle::{InputFormat, NormFormat, PackedCache, PackedCacheUse, SiteQuant, WeightFormat, side_weight_name};
use mquant::kernels::{Bits, Hadamard, PackedWeight};
use mquant::models::Model;
use mquant::nn::{InputQuant, Linear, NormKind, SiteId, SiteKind, Tower};
use mquant::quantize::{IntFormat, rtn};
use mquant::run::LoadedModel;
use mquant_testkit::bundle::FloatModel;
use mquant_testkit::golden::GoldenFolder;
use mquant_testkit::sites::site;
use safetensors::Dtype;
use serde_json::json;

use crate::bundle::folder::{Bundle, golden, mixed, transformed};
use crate::bundle::round_trip::away;

const NAME: &str = "qwen2_vl";

fn open(bundle: &Bundle) -> LoadedModel {
    bundle.open(PackedCache::Disabled).unwrap()
}

#[test]
fn every_site_has_what_it_was_given() {
    let float = FloatModel::open(&golden(NAME));
    let quantization = float.quantization(|site| transformed(&float, site));
    let loaded = open(&Bundle::transformed(NAME));
    assert_eq!(loaded.quantization.as_ref().unwrap().to_json(), quantization.to_json());
    let mut model = Model::clone(&loaded.model);
    let mut seen = [0; 3];
    for part in model.parts() {
        for site in part.sites() {
            let want = &quantization.sites[&site.id];
            assert_eq!(*site.rotation, want.rotation, "{}", site.id);
            let inputs = want.rotation.as_ref().map_or(float.inputs(site.id), |rotation| rotation.features());
            assert!(site.linears.iter().all(|linear| linear.weight.cols() == inputs), "{}", site.id);
            seen[0] += usize::from(inputs > float.inputs(site.id));
            if want.norm == NormFormat::Rms {
                let norm = site.norm.as_ref().unwrap();
                assert!(matches!(norm.kind, NormKind::Rms) && norm.gain.iter().all(|gain| *gain == 1.0));
                assert_eq!((norm.gain.len(), norm.eps), (128, 1e-3), "{}", site.id);
                seen[1] += 1;
            }
            let channels = site.split.as_ref().map_or(&[][..], |split| &split.channels);
            assert_eq!(channels, want.side_columns, "{}", site.id);
            let Some(split) = site.split.as_ref() else { continue };
            seen[2] += 1;
            match (&split.input, want.input) {
                (InputQuant::PerTensor(scale), InputFormat::PerTensor) => assert_eq!(*scale, 0.12),
                (InputQuant::PerModality(scales), InputFormat::PerModality) => {
                    assert_eq!((scales.text, scales.vision), (0.12, 0.24));
                }
                (InputQuant::PerToken, InputFormat::PerToken) => {}
                (found, expected) => panic!("{}: {found:?} for {expected:?}", site.id),
            }
        }
    }
    assert_eq!(seen, [2, 4, 9], "wider rotations, norms, splits");
}

/// Panels of a linear's weight and of its side weight.
fn panels(linear: &Linear) -> [&[u8]; 2] {
    let mquant::nn::Weight::Int(main) = &linear.weight else { panic!("codes") };
    [main.panels(), linear.side.as_ref().unwrap().panels()]
}

#[test]
fn side_weights_are_those_that_were_rounded() {
    let float = FloatModel::open(&golden(NAME));
    let quantization = float.quantization(|site| transformed(&float, site));
    let model = open(&Bundle::transformed(NAME)).model;
    let check = |linear: &Linear, site: SiteId, name: &str, rows: std::ops::Range<usize>| {
        let WeightFormat::Int(format) = quantization.sites[&site].weight else { panic!("codes") };
        let (main, side) = float.transformed(name, &quantization);
        let main = rtn(&main, format).unwrap().row_range(rows.clone());
        let side = rtn(&side.unwrap(), IntFormat::per_channel(Bits::Eight)).unwrap().row_range(rows);
        let [main, side] = [main, side].map(|weight| PackedWeight::pack(&weight).unwrap());
        assert_eq!(panels(linear), [main.panels(), side.panels()], "{name}");
        for output in [0, side.rows() - 1] {
            let (mut want, mut found) = (vec![0.0; side.cols()], vec![0.0; side.cols()]);
            side.read_row(output, 0, &mut want);
            linear.side.as_ref().unwrap().read_row(output, 0, &mut found);
            assert_eq!(found, want, "{name}");
        }
    };
    let id = SiteId::block(Tower::Vision, 0, SiteKind::Qkv);
    for (i, linear) in site::<3>(&model, id).linears.iter().enumerate() {
        check(linear, id, "vision.blocks.0.attn.qkv.weight", i * 96..(i + 1) * 96);
    }
    let id = SiteId::block(Tower::Vision, 0, SiteKind::Down);
    check(&site::<1>(&model, id).linears[0], id, "vision.blocks.0.mlp.fc2.weight", 0..96);
    let id = |block, kind| SiteId::block(Tower::Language, block, kind);
    let (down, qkv, up) = (id(1, SiteKind::Down), id(1, SiteKind::Qkv), id(0, SiteKind::Up));
    check(&site::<1>(&model, down).linears[0], down, "language.layers.1.mlp.down_proj.weight", 0..128);
    check(&site::<3>(&model, qkv).linears[1], qkv, "language.layers.1.self_attn.k_proj.weight", 0..32);
    check(&site::<2>(&model, up).linears[0], up, "language.layers.0.mlp.gate_proj.weight", 0..320);
}

#[test]
fn panels_of_side_weights_are_kept_too() {
    let bundle = Bundle::transformed(NAME);
    let (first, second) = (bundle.open(PackedCache::Enabled).unwrap(), bundle.open(PackedCache::Enabled).unwrap());
    assert!(matches!(first.packed_cache, PackedCacheUse::Written { .. }));
    assert!(matches!(second.packed_cache, PackedCacheUse::Mapped { .. }));
    let plain = open(&bundle);
    for loaded in [first, second] {
        for block in 0..2 {
            let of = |loaded: &LoadedModel| {
                let site = site::<3>(&loaded.model, SiteId::block(Tower::Language, block, SiteKind::Qkv));
                panels(&site.linears[2]).map(<[u8]>::to_vec)
            };
            assert_eq!(of(&loaded), of(&plain));
        }
    }
}

/// Norms, rotations and splits change what is rounded, not what is computed: 8 bits stay close to float.
#[test]
fn eight_bits_stay_close_to_float() {
    let float = FloatModel::open(&golden(NAME));
    let eight = |site| SiteQuant {
        weight: WeightFormat::Int(IntFormat::per_channel(Bits::Eight)),
        input: InputFormat::PerToken,
        ..transformed(&float, site)
    };
    let bundle = Bundle::of(NAME, eight);
    let folder = GoldenFolder::new(golden(NAME));
    for case in folder.cases() {
        let (largest, mean) = away(&open(&bundle), &folder.load(), &folder, &case);
        println!("{case}: {mean:.4} in the mean, {largest:.3} at most");
        assert!(mean < 0.1 && largest < 0.8, "{case}: {mean}, {largest}");
    }
}

#[test]
fn a_bias_that_was_created_is_read() {
    let name = "model.layers.0.mlp.gate_proj.bias";
    let values: Vec<f32> = (0..320).map(|i| i as f32 * 0.01).collect();
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let whole = Bundle::of(NAME, mixed);
    let bundle = whole.with_tensors(|t| drop(t.insert(name.to_owned(), (Dtype::F32, vec![320], bytes))));
    let up = site::<2>(&open(&bundle).model, SiteId::block(Tower::Language, 0, SiteKind::Up));
    assert_eq!(up.linears[0].bias.as_ref(), Some(&values));
    assert_eq!(up.linears[1].bias, None);
    // A bias that the published model has stays required.
    let qkv = site::<3>(&open(&whole).model, SiteId::block(Tower::Language, 0, SiteKind::Qkv));
    assert!(qkv.linears[0].bias.is_some());
}

#[test]
fn a_stored_head_wins_over_the_embedding() {
    let name = "qwen2_vl_published";
    let float_head = |norm, rotation: Option<Arc<Hadamard>>| {
        move |site| match site {
            SiteId::HEAD => SiteQuant {
                norm,
                rotation: rotation.clone(),
                ..SiteQuant::new(WeightFormat::Float, InputFormat::Float)
            },
            _ => mixed(site),
        }
    };
    // Tied: no head is stored, and it is the embedding.
    let tied = Bundle::of(name, float_head(NormFormat::Published, None));
    assert!(!tied.tensors().contains_key("lm_head.weight"));
    let head = |loaded: &LoadedModel| loaded.model.decoder.head.0.linears[0].weight.float().unwrap().clone();
    let loaded = open(&tied);
    assert!(head(&loaded).shares_values(&loaded.model.decoder.embedding.0));
    let own = tied.with_tensors(|t| {
        let (dtype, shape, bytes) = t["model.embed_tokens.weight"].clone();
        t.insert("lm_head.weight".to_owned(), (dtype, shape, bytes.iter().rev().copied().map(|b| b & 0x3f).collect()));
    });
    let loaded = open(&own);
    assert_ne!(head(&loaded).to_f32(), loaded.model.decoder.embedding.0.to_f32());
    // What was folded in or rotated cannot be the embedding.
    let float = FloatModel::open(&golden(name));
    let wider = Arc::new(Hadamard::padded(float.inputs(SiteId::HEAD) + 1).unwrap());
    for site in [float_head(NormFormat::Rms, None), float_head(NormFormat::Published, Some(wider))] {
        let bundle = Bundle::of(name, &site);
        let quantization = float.quantization(&site);
        let want = float.transformed("lm_head.weight", &quantization).0;
        let loaded = open(&bundle);
        assert_eq!((head(&loaded).to_f32(), head(&loaded).cols()), (want.to_f32(), want.cols()));
        let without = bundle.with_tensors(|t| drop(t.remove("lm_head.weight").unwrap()));
        let error = without.open(PackedCache::Disabled).unwrap_err();
        assert_eq!(error.code(), "TENSOR_MISSING", "{error}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let whole = Bundle::transformed(NAME);
    let side = side_weight_name("model.layers.1.mlp.down_proj.weight");
    let refused = |bundle: &Bundle, code: &str, named: &str| {
        let error = bundle.open(PackedCache::Disabled).map(drop).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(named), "{error}");
    };
    let with = |site: SiteId, key: &'static str, value: serde_json::Value| {
        let pointer = format!("/quantization_config/sites/{site}");
        whole.with_config(move |c| c.pointer_mut(&pointer).unwrap()[key] = value)
    };
    let id = |name: &str| SiteId::parse(name).unwrap();
    let down = id("language.1.down");
    // 320 inputs, rotated as the next order there is.
    let inputs = Hadamard::padded(321).unwrap().features();
    refused(&with(down, "side_columns", json!([0, inputs])), "BUNDLE_SIDE_COLUMN", &format!("names channel {inputs}"));
    refused(&with(down, "side_columns", json!(null)), "TENSOR_UNEXPECTED", "down_proj.side_weight");
    refused(&with(down, "side_columns", json!([0, 4])), "TENSOR_SHAPE", "down_proj.side_weight");
    refused(&with(down, "side_columns", json!([0, 4, 5, 6])), "BUNDLE_SIDE_CODE", "it is a side column");
    refused(&with(down, "rotation", json!(null)), "BUNDLE_SIDE_COLUMN", "down_proj.weight");
    refused(&with(down, "rotation", json!({"blocks": 1, "factors": [256]})), "BUNDLE_ROTATION", "at least 320");
    refused(&with(down, "norm", json!("rms")), "BUNDLE_NORM", "language.1.down.norm");
    refused(&with(id("vision.patch"), "norm", json!("rms")), "BUNDLE_NORM", "vision.patch.norm");
    refused(&with(id("head"), "norm", json!(null)), "TENSOR_MISSING", "language.norm.weight");
    refused(&with(id("language.1.up"), "norm", json!("rms")), "TENSOR_UNEXPECTED", "post_attention_layernorm");
    refused(&with(id("language.0.down"), "side_columns", json!([1])), "TENSOR_MISSING", "down_proj.side_weight");

    let removed = |name: &str| whole.with_tensors(|t| drop(t.remove(name).unwrap()));
    refused(&removed(&side), "TENSOR_MISSING", "down_proj.side_weight");
    refused(&removed("model.layers.1.mlp.down_proj.side_scale"), "TENSOR_MISSING", "down_proj.side_scale");
    refused(&removed("language.1.down.side_input_scale"), "TENSOR_MISSING", "language.1.down.side_input_scale");
    let valued = |name: &str, value: f32| {
        whole.with_tensors(|t| t.get_mut(name).unwrap().2[..4].copy_from_slice(&value.to_le_bytes()))
    };
    for bad in [0.0, -1.0] {
        refused(&valued("model.layers.1.mlp.down_proj.side_scale", bad), "BUNDLE_WEIGHT", "down_proj.side_weight");
        refused(&valued("language.1.down.side_input_scale", bad), "BUNDLE_INPUT_SCALE", "side_input_scale");
    }
    refused(&valued("model.layers.1.mlp.down_proj.side_scale", f32::NAN), "WEIGHT_NOT_FINITE", "side_scale");
    refused(&valued("language.1.down.side_input_scale", f32::INFINITY), "WEIGHT_NOT_FINITE", "side_input_scale");
    // Code 1 for input 4 of output 2: eight nibbles a word, 8 being 0.
    let packed = "model.layers.1.mlp.down_proj.weight_packed";
    let bytes = inputs.div_ceil(8) * 4;
    let changed = whole.with_tensors(|t| t.get_mut(packed).unwrap().2[2 * bytes + 2] ^= 0x01);
    refused(&changed, "BUNDLE_SIDE_CODE", "output 2 has code 1 for input 4");
    let retyped = whole.with_tensors(|t| t.get_mut(&side).unwrap().0 = Dtype::U8);
    refused(&retyped, "TENSOR_DTYPE", "expected I8, found U8");
    assert_eq!((down.block_index(), down.kind), (Some(1), SiteKind::Down));
}
