//! `mquant inspect`: what it counts equals what the files and the reference say.

use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::command::{golden, object, output, stderr, stdout};

/// Parameters and bytes of all safetensors weights of a folder, by the format's own crate.
fn stored(folder: &Path) -> (u64, u64, usize) {
    let (mut parameters, mut bytes, mut tensors) = (0, 0, 0);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with("model") || !name.ends_with(".safetensors") {
            continue;
        }
        let file = fs::read(path).unwrap();
        for (_, view) in SafeTensors::deserialize(&file).unwrap().tensors() {
            parameters += view.shape().iter().product::<usize>() as u64;
            bytes += view.data().len() as u64;
            tensors += 1;
        }
    }
    (parameters, bytes, tensors)
}

fn inspect(name: &str, more: &[&str]) -> Value {
    let folder = golden(name);
    let inspected = output(&[&["inspect", folder.to_str().unwrap(), "--json"], more].concat());
    assert_eq!((inspected.status.code(), stderr(&inspected).as_str()), (Some(0), ""));
    object(&inspected, "mquant.inspect/1")
}

#[test]
fn sums_are_those_of_the_files() {
    for (name, tied, files) in [("qwen2_vl", false, 1), ("qwen2_vl_published", true, 3)] {
        let (parameters, bytes, tensors) = stored(&golden(name));
        let found = inspect(name, &[]);
        assert_eq!(found["parameters"], parameters, "{name}");
        assert_eq!(found["stored_bytes"], bytes, "{name}");
        assert_eq!((&found["tensors"], &found["files"]), (&tensors.into(), &files.into()), "{name}");
        assert_eq!(found["head_tied"], tied, "{name}");
        let components = found["components"].as_array().unwrap();
        let names: Vec<&str> = components.iter().map(|c| c["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["vision", "projector", "embedding", "language", "head"]);
        let sites = found["sites"].as_array().unwrap();
        let of_sites: u64 = sites.iter().map(|site| site["parameters"].as_u64().unwrap()).sum();
        let embedding = components[2]["parameters"].as_u64().unwrap();
        assert_eq!(of_sites + embedding, parameters, "{name}");
    }
}

#[test]
fn what_no_site_has_is_counted_and_what_is_not_run_is_named() {
    let parameters = |found: &Value| found["parameters"].as_u64().unwrap();
    // A table of positions and norms of heads.
    let (stored_parameters, _, _) = stored(&golden("qwen3_vl"));
    assert_eq!(parameters(&inspect("qwen3_vl", &[])), stored_parameters);
    let (stored_parameters, _, _) = stored(&golden("qwen2_5_omni_published"));
    let found = inspect("qwen2_5_omni_published", &[]);
    let unused = found["unused"].as_array().unwrap();
    let prefixes: Vec<&str> = unused.iter().map(|row| row["prefix"].as_str().unwrap()).collect();
    assert_eq!(prefixes, ["talker.", "token2wav.", "thinker.audio_tower.audio_bos_eos_token."]);
    let bytes: u64 = unused.iter().map(|row| row["stored_bytes"].as_u64().unwrap()).sum();
    // They are stored in bf16.
    assert_eq!(parameters(&found) + bytes / 2, stored_parameters);
    let text = stdout(&output(&["inspect", golden("qwen2_5_omni_published").to_str().unwrap()]));
    assert!(text.contains("not used       talker.* ("), "{text}");
    assert_eq!(found["components"][1]["name"], "audio");
}

#[test]
fn sites_have_the_shapes_of_the_configuration() {
    let found = inspect("qwen2_vl", &[]);
    let sites = found["sites"].as_array().unwrap();
    // patch, 2 vision blocks, 2 of the projector, 2 decoder blocks, head: four sites in a block.
    assert_eq!(sites.len(), 1 + 2 * 4 + 2 + 2 * 4 + 1);
    let site = |name: &str| sites.iter().find(|site| site["name"] == name).unwrap();
    assert_eq!(site("language.1.qkv")["outputs"], serde_json::json!([128, 32, 32]));
    assert_eq!((&site("language.1.down")["inputs"], &site("vision.patch")["inputs"]), (&320.into(), &1176.into()));
    assert_eq!(found["towers"][1]["kv_heads"], 1);
    assert_eq!((&found["context"], &found["vocabulary"]), (&4096.into(), &768.into()));
    assert_eq!(found["chat_template"]["file"], "chat_template.jinja");
    assert_eq!(found["end_tokens"], serde_json::json!([2]));
}

#[test]
fn an_image_takes_as_many_tokens_as_in_the_reference() {
    let folder = golden("qwen2_vl");
    let file = fs::read(folder.join("wide.golden.safetensors")).unwrap();
    let ids = SafeTensors::deserialize(&file).unwrap().tensor("input_ids").unwrap().data().to_vec();
    let placeholders = ids.chunks_exact(4).filter(|id| *id == 6u32.to_le_bytes()).count();
    let png = fs::read(folder.join("wide-0.png")).unwrap();
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    let found = inspect("qwen2_vl", &["--image", &format!("{}x{}", side(16), side(20)), "--image", "56X84"]);
    let images = found["images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    assert_eq!(images[0]["tokens"], placeholders);
    let bounded = inspect("qwen2_vl", &["--image", "1920x1080", "--max-pixels", "3200"]);
    assert!(bounded["images"][0]["tokens"].as_u64().unwrap() <= 3200 / 784);
}

#[test]
fn equal_blocks_are_one_line_for_people() {
    let folder = golden("qwen2_vl");
    let inspected = output(&["inspect", folder.to_str().unwrap()]);
    let text = stdout(&inspected);
    let line = text.lines().find(|line| line.starts_with("language.0-1.qkv")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1..3], ["2", "128"]);
    assert!(text.contains("\n224x224 "), "{text}");
    assert!(!text.contains('\x1b'), "no colours outside a terminal");
}
