//! Row A8: the index and the shards it names.

use crate::checkpoint::builder::{Model, f32s, whole};

const INDEX: &str = "model.safetensors.index.json";

fn shard_name(i: usize) -> String {
    format!("model-{:05}-of-00004.safetensors", i + 1)
}

fn shard(i: usize) -> Vec<u8> {
    let (a, b) = (format!("layer.{i}.weight"), format!("layer.{i}.bias"));
    whole(&[(&a, "F32", &[2, 2], f32s(&[i as f32; 4])), (&b, "F32", &[2], f32s(&[0.5; 2]))])
}

fn index(entries: &[(String, String)]) -> String {
    let map: serde_json::Map<_, _> = entries.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
    serde_json::json!({"metadata": {"total_size": 96}, "weight_map": map}).to_string()
}

fn entries() -> Vec<(String, String)> {
    (0..4).flat_map(|i| ["weight", "bias"].map(|part| (format!("layer.{i}.{part}"), shard_name(i)))).collect()
}

/// Four shards and their index, all in order.
fn sharded() -> Model {
    let model = Model::new();
    model.write(INDEX, index(&entries()));
    for i in 0..4 {
        model.write(&shard_name(i), shard(i));
    }
    model
}

#[test]
fn a8_four_shards_make_one_model() {
    let checkpoint = sharded().open().unwrap();
    let names: Vec<&str> = checkpoint.entries().iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names.len(), 8);
    assert!(names.is_sorted());
    let third = checkpoint.entries().iter().find(|t| t.name == "layer.2.weight").unwrap();
    assert_eq!((third.bytes.as_ref(), &*third.file), (f32s(&[2.0; 4]).as_slice(), shard_name(2).as_str()));
}

#[test]
fn a8_every_missing_shard_is_listed() {
    for subset in 1..16u32 {
        let model = sharded();
        let missing: Vec<usize> = (0..4).filter(|i| subset >> i & 1 == 1).collect();
        for i in &missing {
            std::fs::remove_file(model.path().join(shard_name(*i))).unwrap();
        }
        assert_eq!(model.refusal(), "SHARD_MISSING", "{missing:?}");
        let message = model.open().unwrap_err().to_string();
        for i in 0..4 {
            assert_eq!(message.contains(&shard_name(i)), missing.contains(&i), "{message}");
        }
    }
}

#[test]
fn a8_index_and_shards_must_agree() {
    type Fault = fn(&Model);
    let cases: [(&str, Fault, &str); 15] = [
        (
            "a tensor the shard lacks",
            |m| m.write(INDEX, index(&[entries(), vec![("x".into(), shard_name(1))]].concat())),
            "INDEX_DISAGREES",
        ),
        ("a tensor the index lacks", |m| m.write(INDEX, index(&entries()[..7])), "INDEX_DISAGREES"),
        (
            "a tensor in the wrong shard",
            |m| {
                let mut moved = entries();
                moved[0].1 = shard_name(3);
                m.write(INDEX, index(&moved));
            },
            "INDEX_DISAGREES",
        ),
        ("a tensor in two shards", |m| m.write(&shard_name(1), shard(0)), "TENSOR_TWICE"),
        ("a shard the index lacks", |m| m.write(INDEX, index(&entries()[..6])), "SHARD_EXTRA"),
        ("a shard of another numbering", |m| m.write("model-00001-of-00003.safetensors", shard(9)), "SHARD_EXTRA"),
        ("a single file beside", |m| m.write("model.safetensors", shard(0)), "WEIGHTS_TWICE"),
        ("no index", |m| std::fs::remove_file(m.path().join(INDEX)).unwrap(), "INDEX_MISSING"),
        ("a shard cut short", |m| m.write(&shard_name(2), &shard(2)[..shard(2).len() - 1]), "ST_TRUNCATED"),
        ("an empty shard", |m| m.write(&shard_name(2), ""), "ST_HEADER_LEN"),
        ("an index without a map", |m| m.write(INDEX, "{}"), "INDEX_FORM"),
        ("a map that is a list", |m| m.write(INDEX, r#"{"weight_map":[]}"#), "INDEX_FORM"),
        ("a map of nothing", |m| m.write(INDEX, r#"{"weight_map":{}}"#), "INDEX_FORM"),
        ("a file that is a number", |m| m.write(INDEX, r#"{"weight_map":{"a":1}}"#), "INDEX_FORM"),
        (
            "a tensor named twice",
            |m| m.write(INDEX, r#"{"weight_map":{"a":"x.safetensors","\u0061":"y.safetensors"}}"#),
            "JSON_DUPLICATE",
        ),
    ];
    for (case, fault, expected) in cases {
        let model = sharded();
        fault(&model);
        assert_eq!(model.refusal(), expected, "{case}");
    }
}

#[test]
fn a8_files_that_are_no_part_of_the_model_are_left_alone() {
    let model = sharded();
    model.write("consolidated.safetensors", "not even a header");
    model.write("pytorch_model.bin", "pickle");
    assert_eq!(model.refusal(), "accepted");
}

#[test]
fn an_index_may_name_the_single_file() {
    let model = Model::of(shard(0));
    model.write(INDEX, index(&[0, 1].map(|i| (entries()[i].0.clone(), "model.safetensors".to_owned()))));
    assert_eq!(model.refusal(), "accepted");
}

#[test]
fn an_index_of_a_million_shards_is_refused() {
    let model = Model::new();
    let many: Vec<_> = (0..1_001).map(|i| (format!("t{i}"), format!("s{i}.safetensors"))).collect();
    model.write(INDEX, index(&many));
    assert_eq!(model.refusal(), "INDEX_FORM");
}

#[test]
fn weights_in_other_formats_are_refused_in_words() {
    for name in ["pytorch_model.bin", "model.pt", "model.Q4_K_M.gguf", "consolidated.00.pth", "model.onnx", "MODEL.BIN"]
    {
        let model = Model::new();
        model.write(name, "anything");
        assert_eq!(model.refusal(), "WEIGHTS_FORMAT", "{name}");
        let error = mquant::Error::from(model.open().unwrap_err());
        assert_eq!(error.class(), mquant::Class::Unsupported);
        assert!(error.to_string().contains(name) && error.hint().unwrap().contains("safetensors"), "{error}");
    }
    assert_eq!(Model::new().refusal(), "WEIGHTS_MISSING");
}
