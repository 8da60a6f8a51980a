//! `mquant logits` against the golden files.

use std::collections::BTreeMap;
use std::fs;

use safetensors::{Dtype, SafeTensors};

use crate::command::{golden, object, output, stderr};

/// Name to type, shape and values; whole numbers are exact as f64.
fn read(file: &[u8]) -> BTreeMap<String, (Dtype, Vec<usize>, Vec<f64>)> {
    let tensors = SafeTensors::deserialize(file).unwrap().tensors();
    let values = |dtype, data: &[u8]| -> Vec<f64> {
        let words = data.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
        match dtype {
            Dtype::I32 => words.map(|b| f64::from(i32::from_le_bytes(b))).collect(),
            _ => words.map(|b| f64::from(f32::from_le_bytes(b))).collect(),
        }
    };
    let tensors = tensors.into_iter();
    tensors.map(|(name, v)| (name, (v.dtype(), v.shape().to_vec(), values(v.dtype(), v.data())))).collect()
}

/// Every tensor of the golden file is there, and no other; ids equal, numbers near.
fn check(model: &str, case: &str) {
    let folder = golden(model);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.safetensors");
    let messages = folder.join(format!("{case}.messages.json"));
    let [model, messages, out_path] = [&folder, &messages, &out].map(|path| path.to_str().unwrap());
    let done = output(&["logits", model, "--messages", messages, "--out", out_path, "--generate", "12", "--json"]);
    assert_eq!((done.status.code(), stderr(&done).as_str()), (Some(0), ""), "{case}");
    let summary = object(&done, "mquant.logits/1");
    let written = fs::read(&out).unwrap();
    assert_eq!(summary["out_bytes"], written.len());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing but the file is left");

    let (ours, theirs) = (read(&written), read(&fs::read(folder.join(format!("{case}.golden.safetensors"))).unwrap()));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{case}");
    assert_eq!(summary["tensors"].as_array().unwrap().len(), theirs.len());
    for (name, (dtype, shape, expected)) in &theirs {
        let (our_dtype, our_shape, found) = &ours[name];
        assert_eq!((our_dtype, our_shape), (dtype, shape), "{case} {name}");
        let mean = expected.iter().sum::<f64>() / expected.len() as f64;
        let deviation = (expected.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / expected.len() as f64).sqrt();
        let bound = match name.as_str() {
            name if name.starts_with("logits") => 1e-4 * deviation,
            name if name.starts_with("pixel_values") => 2e-3,
            "input_features" => 1e-3,
            _ => 0.0,
        };
        let largest = expected.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(largest <= bound, "{case} {name}: {largest} over {bound}");
    }
}

#[test]
fn every_golden_case_agrees() {
    for case in ["one", "two", "wide", "text", "video", "image-video", "turns"] {
        check("qwen2_vl", case);
    }
    for case in ["two", "text", "video", "turns"] {
        check("qwen2_vl_published", case);
    }
}

#[test]
fn a_list_of_conversations_is_a_batch() {
    check("qwen2_vl", "batch");
}

#[test]
fn without_generate_there_is_nothing_generated() {
    let folder = golden("qwen2_vl");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.safetensors");
    fs::write(&out, "an older file").unwrap();
    let messages = folder.join("text.messages.json");
    let [model, messages, out_path] = [&folder, &messages, &out].map(|path| path.to_str().unwrap());
    let done = output(&["logits", model, "--messages", messages, "--out", out_path]);
    assert_eq!(done.status.code(), Some(0));
    assert!(done.stdout.is_empty(), "the data are in the file");
    let names: Vec<String> = read(&fs::read(&out).unwrap()).into_keys().collect();
    assert_eq!(names, ["input_ids", "logits"]);
}
