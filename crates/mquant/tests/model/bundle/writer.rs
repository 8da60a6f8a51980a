//! The writer takes what was planned, in its order, and nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use mquant::Explain;
use mquant::bundle::{
    BundleTarget, BundleWriteError, BundleWriter, FloatFormat, InputFormat, Quantization, SiteQuant, StaticScales,
    WeightFormat,
};
use mquant::checkpoint::{Presence, TensorSpec};
use mquant::input::Modality;
use mquant::kernels::{Bits, Bytes, Dtype, IntWeight};
use mquant::nn::{CacheFormat, PartId, SiteId};
use mquant::quantize::IntFormat;
use safetensors::SafeTensors;
use serde_json::Map;

fn quantization(head: SiteQuant) -> Quantization {
    let modalities = vec![Modality::Text, Modality::Vision];
    Quantization { modalities, kv_cache: CacheFormat::Float, sites: BTreeMap::from([(SiteId::HEAD, head)]) }
}

fn writer(dir: &Path, specs: &[TensorSpec], quantization: &Quantization) -> BundleWriter {
    BundleWriter::create(&BundleTarget {
        dir,
        config: &Map::new(),
        small_files: &[],
        specs,
        quantization,
        floats: FloatFormat { vectors: Dtype::F32, matrices: Dtype::F32 },
        shard_bytes: u64::MAX,
    })
    .unwrap()
}

fn codes(rows: usize, cols: usize, code: impl Fn(usize, usize) -> i8) -> IntWeight {
    let codes: Vec<u8> = (0..rows * cols).map(|i| code(i / cols, i % cols) as u8).collect();
    IntWeight {
        bits: Bits::Eight,
        rows,
        cols,
        codes: Bytes::new(Arc::new(codes)),
        scales: vec![0.5; rows],
        group: None,
    }
}

fn head() -> SiteQuant {
    let weight = WeightFormat::Int(IntFormat::per_channel(Bits::Eight));
    SiteQuant { side_columns: vec![1, 3], ..SiteQuant::new(weight, InputFormat::PerModality) }
}

fn scales(side: &[f32]) -> StaticScales {
    let of = |scales: &[f32]| BTreeMap::from([(SiteId::HEAD, scales.to_vec())]);
    StaticScales { input: of(&[0.1, 0.2]), side: of(side), ..StaticScales::default() }
}

const MAIN: &str = "lm_head.weight";
const SIDE: &str = "lm_head.side_weight";

#[test]
fn side_weights_and_created_biases_follow_their_weight() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("bundle");
    let specs =
        [TensorSpec::weight_of(SiteId::HEAD, MAIN, [4, 5]), TensorSpec::bias_of(SiteId::HEAD, "lm_head.bias", 4)];
    let quantization = quantization(head());
    let mut writer = writer(&dir, &specs, &quantization);
    let main = codes(4, 5, |_, input| if [1, 3].contains(&input) { 0 } else { 7 });
    writer.weight(MAIN, &main.row_range(0..3)).unwrap();
    writer.weight(MAIN, &main.row_range(3..4)).unwrap();
    writer.weight(SIDE, &codes(4, 2, |output, _| output as i8 + 1)).unwrap();
    writer.float("lm_head.bias", bytemuck::cast_slice(&[1f32, 2.0, 3.0, 4.0])).unwrap();
    writer.finish(&scales(&[0.3, 0.4])).unwrap();
    let file = std::fs::read(dir.join("model.safetensors")).unwrap();
    let stored = SafeTensors::deserialize(&file).unwrap();
    let floats = |name: &str| bytemuck::pod_collect_to_vec::<u8, f32>(stored.tensor(name).unwrap().data());
    assert_eq!(stored.tensor(SIDE).unwrap().data(), [1, 1, 2, 2, 3, 3, 4, 4]);
    assert_eq!(stored.tensor(SIDE).unwrap().shape(), [4, 2]);
    assert_eq!(stored.tensor("lm_head.side_scale").unwrap().shape(), [4, 1]);
    assert_eq!(floats("lm_head.bias"), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!((floats("head.input_scale"), floats("head.side_input_scale")), (vec![0.1, 0.2], vec![0.3, 0.4]));
    assert_eq!(stored.len(), 7);
}

#[test]
fn a_tied_head_is_written_where_it_is_required() {
    let tied = TensorSpec::tied(SiteId::HEAD, MAIN, [4, 5], "table");
    let table = TensorSpec::table(PartId::EMBEDDING, "table", [4, 5]);
    let quantization = quantization(SiteQuant::new(WeightFormat::Float, InputFormat::Float));
    for (presence, expected) in [(Presence::Optional, 1), (Presence::Required, 2)] {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("bundle");
        let specs = [table.clone(), TensorSpec { presence, ..tied.clone() }];
        let mut writer = writer(&dir, &specs, &quantization);
        writer.float("table", &[0; 80]).unwrap();
        if presence == Presence::Required {
            writer.float(MAIN, &[0; 80]).unwrap();
        }
        writer.finish(&StaticScales::default()).unwrap();
        let file = std::fs::read(dir.join("model.safetensors")).unwrap();
        assert_eq!(SafeTensors::deserialize(&file).unwrap().len(), expected);
    }
}

#[test]
fn what_was_not_planned_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let specs = [TensorSpec::weight_of(SiteId::HEAD, MAIN, [4, 5])];
    let quantization = quantization(head());
    let empty = codes(4, 5, |_, _| 0);
    let refused = |found: Result<(), BundleWriteError>, code: &str, named: &str| {
        let error = found.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(named), "{error}");
    };
    let new = |name: &str| writer(&root.path().join(name), &specs, &quantization);
    refused(new("a").weight(SIDE, &codes(4, 2, |_, _| 1)), "BUNDLE_PLAN", "expected lm_head.weight");
    refused(new("b").weight(MAIN, &codes(4, 5, |_, input| i8::from(input == 3))), "BUNDLE_SIDE_CODE", "input 3");
    let mut later = new("c");
    later.weight(MAIN, &empty.row_range(0..2)).unwrap();
    let fault = codes(2, 5, |output, input| i8::from((output, input) == (1, 1)));
    refused(later.weight(MAIN, &fault), "BUNDLE_SIDE_CODE", "output 3");
    let with_main = |name: &str| {
        let mut writer = new(name);
        writer.weight(MAIN, &empty).unwrap();
        writer
    };
    refused(with_main("d").finish(&scales(&[0.3, 0.4])).map(drop), "BUNDLE_PLAN", "expected lm_head.side_weight");
    refused(with_main("e").weight(SIDE, &codes(4, 3, |_, _| 1)), "BUNDLE_PLAN", "4 outputs of 2 inputs in 8 bits");
    for (name, bad) in [("f", &[0.3][..]), ("g", &[0.3, 0.0]), ("h", &[f32::NAN, 0.3]), ("i", &[])] {
        let mut writer = with_main(name);
        writer.weight(SIDE, &codes(4, 2, |_, _| 1)).unwrap();
        refused(writer.finish(&scales(bad)).map(drop), "BUNDLE_INPUT_SCALE", "head.side_input_scale");
    }
}
