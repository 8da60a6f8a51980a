//! Broken bundles: each has its own code, and its message names what is wrong.

use std::collections::BTreeMap;

use mquant::Class;
use mquant::bundle::PackedCache;
use safetensors::Dtype;
use serde_json::{Value, json};

use crate::bundle::folder::{Bundle, Stored, mixed};

type Change = Box<dyn FnOnce(&mut BTreeMap<String, Stored>)>;

fn refused(bundle: &Bundle, code: &str, named: &str) -> mquant::Error {
    let Err(error) = bundle.open(PackedCache::Enabled) else { panic!("{named}: accepted, expected {code}") };
    assert_eq!(error.code(), code, "{error}");
    let message = error.to_string();
    assert!(message.contains(named), "{message}");
    assert!(message.len() < 4_000 && !message.contains(|c: char| c.is_control() && c != '\n'), "{message:?}");
    error
}

const W4: &str = "model.layers.1.mlp.down_proj.weight_packed";
const W8: &str = "visual.blocks.0.attn.qkv.weight";
const W8_SCALE: &str = "visual.blocks.0.attn.qkv.weight_scale";
const BIAS: &str = "visual.blocks.0.attn.qkv.bias";

fn retyped(name: &'static str, dtype: Dtype) -> Change {
    Box::new(move |t| t.get_mut(name).unwrap().0 = dtype)
}

fn removed(name: &'static str) -> Change {
    Box::new(move |t| drop(t.remove(name).unwrap()))
}

fn reshaped(name: &'static str, shape: &'static [usize]) -> Change {
    Box::new(move |t| t.get_mut(name).unwrap().1 = shape.to_vec())
}

/// The value at `index` becomes another.
fn valued(name: &'static str, index: usize, value: f32) -> Change {
    Box::new(move |t| t.get_mut(name).unwrap().2[4 * index..][..4].copy_from_slice(&value.to_le_bytes()))
}

fn added(name: &'static str, dtype: Dtype, shape: &'static [usize]) -> Change {
    let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
    Box::new(move |t| drop(t.insert(name.to_owned(), (dtype, shape.to_vec(), vec![0; bytes]))))
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let whole = Bundle::of("qwen2_vl", mixed);
    let cases: Vec<(Change, &str, &str)> = vec![
        (removed(W8_SCALE), "TENSOR_MISSING", "vision.blocks.0.attn.qkv.weight_scale"),
        (removed(W4), "TENSOR_MISSING", "language.layers.1.mlp.down_proj.weight_packed"),
        (removed("vision.0.qkv.input_scale"), "TENSOR_MISSING", "vision.0.qkv.input_scale"),
        (removed("visual.patch_embed.proj.weight"), "TENSOR_MISSING", "vision.patch_embed.proj.weight"),
        (retyped(W8, Dtype::U8), "TENSOR_DTYPE", "expected I8, found U8"),
        (retyped(W4, Dtype::U32), "TENSOR_DTYPE", "expected I32, found U32"),
        (retyped(W4, Dtype::F32), "TENSOR_DTYPE", "expected I32, found F32"),
        (retyped(W8_SCALE, Dtype::I32), "TENSOR_DTYPE", "expected F32, found I32"),
        (retyped("head.input_scale", Dtype::U32), "TENSOR_DTYPE", "head.input_scale"),
        (retyped("model.embed_tokens.weight", Dtype::I32), "TENSOR_DTYPE", "expected F32, F16 or BF16"),
        (reshaped(W8_SCALE, &[288]), "TENSOR_SHAPE", "expected [288, 1], found [288]"),
        (reshaped(W8, &[96, 288]), "TENSOR_SHAPE", "expected [288, 96], found [96, 288]"),
        (reshaped(W4, &[40, 128]), "TENSOR_SHAPE", "expected [128, 40], found [40, 128]"),
        (reshaped("head.input_scale", &[1, 2]), "TENSOR_SHAPE", "expected [2], found [1, 2]"),
        (valued(W8_SCALE, 5, 0.0), "BUNDLE_WEIGHT", "output 5 is 0"),
        (valued(W8_SCALE, 5, -1.0), "BUNDLE_WEIGHT", "output 5 is -1"),
        (valued(W8_SCALE, 5, f32::NAN), "WEIGHT_NOT_FINITE", "index 5"),
        (valued("head.input_scale", 1, 0.0), "BUNDLE_INPUT_SCALE", "head.input_scale: scale 1 is 0"),
        (valued("head.input_scale", 0, f32::INFINITY), "WEIGHT_NOT_FINITE", "head.input_scale"),
        (valued(BIAS, 7, f32::NAN), "WEIGHT_NOT_FINITE", "vision.blocks.0.attn.qkv.bias"),
        (
            added("visual.blocks.0.attn.qkv.weight_zero_point", Dtype::I8, &[288]),
            "TENSOR_UNEXPECTED",
            "weight_zero_point",
        ),
        (
            added("model.layers.1.mlp.down_proj.weight", Dtype::F32, &[128, 320]),
            "TENSOR_UNEXPECTED",
            "down_proj.weight",
        ),
        (added("vision.patch.input_scale", Dtype::F32, &[1]), "TENSOR_UNEXPECTED", "vision.patch.input_scale"),
        (added("vision.0.qkv.side_columns", Dtype::I32, &[4]), "TENSOR_UNEXPECTED", "side_columns"),
        (added("visual.blocks.0.attn.qkv.side_weight", Dtype::I8, &[288, 4]), "TENSOR_UNEXPECTED", "side_weight"),
        (added("visual.blocks.0.attn.qkv.side_scale", Dtype::F32, &[288, 1]), "TENSOR_UNEXPECTED", "side_scale"),
        (added("vision.0.qkv.side_input_scale", Dtype::F32, &[1]), "TENSOR_UNEXPECTED", "side_input_scale"),
        (
            added("model.layers.1.mlp.up_proj.low_rank_a.text", Dtype::F32, &[8, 128]),
            "BUNDLE_NOT_SUPPORTED",
            "low-rank",
        ),
        (added("model.layers.1.mlp.up_proj.low_rank_b.vision", Dtype::F32, &[8]), "BUNDLE_NOT_SUPPORTED", "low-rank"),
        (added("model.norm.weight.vision", Dtype::F32, &[128]), "BUNDLE_NOT_SUPPORTED", "norm of one modality"),
    ];
    for (change, code, named) in cases {
        let error = refused(&whole.with_tensors(change), code, named);
        let float_type = named.contains("F32, F16");
        let class = match code {
            "WEIGHT_NOT_FINITE" => Class::Numeric,
            "BUNDLE_NOT_SUPPORTED" => Class::Unsupported,
            _ if float_type => Class::Unsupported,
            _ => Class::Model,
        };
        assert_eq!(error.class(), class, "{error}");
    }
    // Everything that is wrong is said at once.
    let two = whole.with_tensors(|t| {
        t.remove(W8_SCALE).unwrap();
        t.get_mut(W4).unwrap().0 = Dtype::U32;
    });
    let message = refused(&two, "TENSORS_DISAGREE", "qkv.weight_scale").to_string();
    assert!(message.contains("down_proj.weight_packed"), "{message}");
}

#[test]
fn configurations_that_do_not_fit_the_tensors_are_named() {
    let whole = Bundle::of("qwen2_vl", mixed);
    let set = |pointer: &'static str, key: &'static str, value: Value| {
        whole.with_config(move |c| c.pointer_mut(&format!("/quantization_config{pointer}")).unwrap()[key] = value)
    };
    let site = |bits: u32| json!({"weight_bits": bits, "group_size": null, "input": "per_token", "rotation": null});
    refused(&set("/sites", "language.2.up", site(8)), "BUNDLE_SITES", "language.2.up");
    refused(&set("/sites", "vision.elsewhere", site(8)), "BUNDLE_SITES", "vision.elsewhere");
    let without = whole.with_config(|c| {
        let sites = c["quantization_config"]["sites"].as_object_mut().unwrap();
        sites.remove("head").unwrap();
        sites.remove("language.1.down").unwrap();
    });
    let message = refused(&without, "BUNDLE_SITES", "2 missing").to_string();
    assert!(message.contains("language.1.down") && message.contains("head"), "{message}");
    let newer = refused(&set("", "format_version", json!(3)), "BUNDLE_VERSION", "is 3, this version reads");
    assert_eq!(newer.class(), Class::Unsupported);
    assert!(newer.hint().unwrap().contains("quantise the original model anew"));
    refused(&set("", "quant_method", json!("awq")), "FIELD_CHOICE", "quant_method");
    refused(&set("", "recipe", json!("x")), "FIELD_UNKNOWN", "quantization_config.recipe");
    refused(&set("", "kv_cache", json!({"bits": 2, "group": 32})), "FIELD_CHOICE", "kv_cache.bits");
    refused(&set("", "modalities", json!(["text", "vision", "audio"])), "TENSOR_SHAPE", "input_scale");
    refused(&set("/sites/language.1.down", "group_size", json!(64)), "TENSOR_SHAPE", "weight_scale");
    refused(
        &set("/sites/language.1.down", "rotation", json!({"blocks": 1, "factors": [7]})),
        "BUNDLE_ROTATION",
        "language.1.down.rotation",
    );
    refused(
        &set("/sites/language.1.down", "rotation", json!({"blocks": 3, "factors": [4]})),
        "BUNDLE_ROTATION",
        "rotates 12 features",
    );
    refused(&set("/sites", "language.1.down", site(8)), "TENSORS_DISAGREE", "down_proj.weight");
    refused(&set("/sites/head", "input", json!("per_tensor")), "TENSOR_SHAPE", "head.input_scale");
    refused(&set("/sites/head", "input", json!("per_token")), "TENSOR_UNEXPECTED", "head.input_scale");
    let float = whole.with_config(|c| drop(c.as_object_mut().unwrap().remove("quantization_config")));
    let error = refused(&float, "TENSORS_DISAGREE", "lm_head.weight");
    assert!(error.hint().unwrap().contains("already quantised"));
}

/// The table of embeddings is read row by row, and so is not searched for NaN at the start.
#[test]
fn the_embedding_is_not_read_at_load() {
    let whole = Bundle::of("qwen2_vl", mixed);
    let bundle = whole.with_tensors(valued("model.embed_tokens.weight", 0, f32::NAN));
    bundle.open(PackedCache::Disabled).unwrap();
}
