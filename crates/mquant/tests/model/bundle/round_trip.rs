//! Laws 6 and 7: what is written reads back as the same bits, and 8 bits are close to float.

use std::collections::BTreeMap;
use std::sync::Arc;

use mquant::bundle::{InputFormat, PackedCache, SiteQuant, WeightFormat};
use mquant::input::AddGenerationPrompt;
use mquant::kernels::{Matrix, PackedWeight, Products};
use mquant::models::Model;
use mquant::nn::{CacheFormat, InputQuant, SiteId, SiteKind, Tower, Weight};
use mquant::quantize::rtn;
use mquant::run::{Engine, EngineOptions, LoadedModel};
use mquant_testkit::bundle::FloatModel;
use mquant_testkit::golden::GoldenFolder;
use mquant_testkit::laws::distance;
use mquant_testkit::sites::site;

use crate::bundle::folder::{Bundle, eight, golden, mixed};

const GOLDENS: [&str; 2] = ["qwen2_vl", "qwen2_vl_published"];

/// Weights in the order they were asked for, with their site and float origin.
fn weights(model: &mut Model) -> Vec<(SiteId, Weight)> {
    let mut out = Vec::new();
    for part in model.parts() {
        for site in part.sites() {
            out.extend(site.linears.iter().map(|linear| (site.id, linear.weight.clone())));
        }
    }
    out
}

/// The same weight from the float model: the site's linears are in the same order.
fn float_weights(folder: &str) -> Vec<(SiteId, Matrix)> {
    let loaded = GoldenFolder::new(golden(folder)).load();
    let mut model = Model::clone(&loaded.model);
    let all = weights(&mut model).into_iter();
    all.map(|(id, weight)| (id, weight.float().unwrap().clone())).collect()
}

#[test]
fn every_site_reads_back_what_was_rounded() {
    for name in GOLDENS {
        let bundle = Bundle::of(name, mixed);
        let loaded = bundle.open(PackedCache::Disabled).unwrap();
        let mut model = Model::clone(&loaded.model);
        let read = weights(&mut model);
        let float = float_weights(name);
        assert_eq!(read.len(), float.len());
        let mut kinds = [0; 2];
        for ((id, weight), (float_id, float)) in read.iter().zip(&float) {
            assert_eq!(id, float_id);
            match (weight, mixed(*id).weight) {
                (Weight::Float(found), WeightFormat::Float) => {
                    assert_eq!(found.to_f32(), float.to_f32(), "{id}");
                    kinds[0] += 1;
                }
                (Weight::Int(found), WeightFormat::Int(format)) => {
                    let canonical = rtn(float, format).unwrap();
                    assert_eq!((found.bits(), found.group()), (format.bits, format.group), "{id}");
                    assert_eq!(found.panels(), PackedWeight::pack(&canonical).unwrap().panels(), "{id}");
                    let mut row = vec![0.0; found.cols()];
                    for output in [0, found.rows() / 2, found.rows() - 1] {
                        found.read_row(output, 0, &mut row);
                        for (input, value) in row.iter().enumerate() {
                            let scale = canonical.scales
                                [output * canonical.groups() + input / format.group.unwrap_or(found.cols())];
                            assert_eq!(
                                *value,
                                f32::from(canonical.code(output, input)) * scale,
                                "{id} {output} {input}"
                            );
                        }
                    }
                    kinds[1] += 1;
                }
                _ => panic!("{id}: another format"),
            }
        }
        assert!(kinds[0] == 1 && kinds[1] > 20, "{kinds:?}");
        let embedding = GoldenFolder::new(golden(name)).load().model.decoder.embedding.0.clone();
        assert_eq!(model.decoder.embedding.0.to_f32(), embedding.to_f32());
        assert_eq!(model.decoder.embedding.0.dtype(), embedding.dtype());
    }
}

#[test]
fn inputs_cache_and_products_are_as_configured() {
    let bundle = Bundle::of("qwen2_vl", mixed);
    let loaded = bundle.open(PackedCache::Disabled).unwrap();
    let model = &loaded.model;
    assert_eq!(model.decoder.kv_cache, CacheFormat::Codes);
    let (vision, language) = (Tower::Vision, Tower::Language);
    let down = site::<1>(model, SiteId::block(vision, 1, SiteKind::Down)).input;
    let up = site::<2>(model, SiteId::block(language, 1, SiteKind::Up)).input;
    assert_eq!(site::<1>(model, SiteId::patch(vision)).input, InputQuant::Float);
    assert_eq!(site::<3>(model, SiteId::block(vision, 0, SiteKind::Qkv)).input, InputQuant::PerTensor(0.03));
    assert_eq!(site::<1>(model, SiteId::projector(vision, SiteKind::Up)).input, InputQuant::PerToken);
    for input in [&up, &model.decoder.head.0.input, &down] {
        let InputQuant::PerModality(scales) = input else { panic!("{input:?}") };
        assert_eq!((scales.text, scales.vision), (0.03, 0.06));
    }
    assert_eq!(products(model), vec![Products::Bf16; 4]);
    let float = GoldenFolder::new(golden("qwen2_vl")).load();
    assert!(float.quantization.is_none());
    assert_eq!(float.model.decoder.kv_cache, CacheFormat::Float);
    assert_eq!(products(&float.model), vec![Products::F32; 4]);
}

/// How the attention of each block multiplies.
fn products(model: &Model) -> Vec<Products> {
    let mut model = model.clone();
    model.parts().into_iter().filter_map(|part| Some(part.attention()?.products)).collect()
}

/// The order in which scales are stored is the configuration's.
#[test]
fn modalities_may_be_listed_in_any_order() {
    let bundle = Bundle::of("qwen2_vl", mixed);
    let swapped =
        bundle.with_config(|c| c["quantization_config"]["modalities"] = serde_json::json!(["vision", "text"]));
    let InputQuant::PerModality(scales) = swapped.open(PackedCache::Disabled).unwrap().model.decoder.head.0.input
    else {
        panic!("scales of modalities")
    };
    assert_eq!((scales.text, scales.vision), (0.06, 0.03));
}

#[test]
fn equal_inputs_give_equal_bytes_and_the_quantisation_is_read_back() {
    let (one, two) = (Bundle::of("qwen2_vl", mixed), Bundle::of("qwen2_vl", mixed));
    let files = |bundle: &Bundle| -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(bundle.dir()).unwrap().map(|e| e.unwrap());
        entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
    };
    assert_eq!(files(&one), files(&two));
    assert!(files(&one).contains_key("chat_template.jinja") && files(&one).contains_key("tokenizer.json"));
    let loaded = one.open(PackedCache::Disabled).unwrap();
    let expected = FloatModel::open(&golden("qwen2_vl")).quantization(mixed);
    assert_eq!(loaded.quantization.unwrap().to_json(), expected.to_json());
}

/// How far all logits of a case are from another model's, in standard deviations of the latter: the largest and the root of
/// the mean square.
pub(crate) fn away(of: &LoadedModel, from: &LoadedModel, folder: &GoldenFolder, case: &str) -> (f64, f64) {
    let logits = |loaded: &LoadedModel| {
        let prompt = loaded.prepare(&folder.messages(case), AddGenerationPrompt::Yes).unwrap();
        let engine = Engine::new(loaded, EngineOptions { threads: 2, ..EngineOptions::default() }).unwrap();
        engine.all_logits(&prompt).unwrap()
    };
    let (found, expected) = (logits(of), logits(from));
    let values = || expected.as_slice().iter().map(|v| f64::from(*v));
    let n = expected.as_slice().len() as f64;
    let mean = values().sum::<f64>() / n;
    let deviation = values().map(|v| (v - mean).powi(2)).sum::<f64>();
    let squares = found.as_slice().iter().zip(values()).map(|(f, e)| (f64::from(*f) - e).powi(2)).sum::<f64>();
    (distance(&found, &expected), (squares / deviation).sqrt())
}

/// Without what rounds besides weights and inputs: the cache of codes, and attention in bf16.
fn with_float_attention(bundle: &Bundle) -> LoadedModel {
    let mut loaded = bundle.open(PackedCache::Disabled).unwrap();
    let mut model = Model::clone(&loaded.model);
    model.decoder.kv_cache = CacheFormat::Float;
    model.parts().into_iter().filter_map(|part| part.attention()).for_each(|a| a.products = Products::F32);
    loaded.model = Arc::new(model);
    loaded
}

/// Bounds on 8-bit weights with 8-bit rows, in standard deviations of the logits: root mean square, largest of all.
const CLOSE: (f64, f64) = (0.08, 0.6);

#[test]
fn eight_bits_are_close_to_float() {
    for name in GOLDENS {
        let folder = GoldenFolder::new(golden(name));
        let (float, bundle) = (folder.load(), Bundle::of(name, eight));
        let quantised = with_float_attention(&bundle);
        for case in folder.cases() {
            let (largest, mean) = away(&quantised, &float, &folder, &case);
            println!("{name} {case}: {mean:.4} in the mean, {largest:.3} at most");
            assert!(mean < CLOSE.0 && largest < CLOSE.1, "{name} {case}: {mean}, {largest}");
            assert!(mean > 1e-4, "{name} {case}: these are not 8-bit weights");
        }
    }
}

/// With float activations, a bundle computes what a float model with its weights computes.
#[test]
fn weights_alone_are_those_that_were_rounded() {
    for name in GOLDENS {
        let folder = GoldenFolder::new(golden(name));
        let weight_only = |id| SiteQuant { input: InputFormat::Float, ..mixed(id) };
        let quantised = with_float_attention(&Bundle::of(name, weight_only));
        let mut rounded = folder.load();
        let mut model = Model::clone(&rounded.model);
        for part in model.parts() {
            for site in part.sites() {
                let WeightFormat::Int(format) = mixed(site.id).weight else { continue };
                for linear in site.linears.iter_mut() {
                    let matrix = linear.weight.float_mut().unwrap();
                    let codes = rtn(matrix, format).unwrap();
                    let cols = matrix.cols();
                    for (i, value) in matrix.make_mut().iter_mut().enumerate() {
                        let (output, input) = (i / cols, i % cols);
                        let scale = codes.scales[output * codes.groups() + input / format.group.unwrap_or(cols)];
                        *value = f32::from(codes.code(output, input)) * scale;
                    }
                }
            }
        }
        rounded.model = Arc::new(model);
        let (largest, _) = away(&quantised, &rounded, &folder, "two");
        println!("{name}: {largest:.1e}");
        assert!(largest < 1e-4, "{name}: {largest}");
    }
}
