//! Rows A7 and A11: tensors against what the configuration implies, and against NaN.

use std::panic::{AssertUnwindSafe, catch_unwind};

use half::{bf16, f16};
use mquant::checkpoint::{Checkpoint, CheckpointError, Naming, Presence, Problem, TensorSpec, Tensors};
use mquant::kernels::Dtype;
use mquant::{Class, Explain};

use crate::checkpoint::builder::{Model, f32s, refusal, whole};

const NAMES: Naming = Naming::of(&[
    ("model.visual.", "visual."),
    ("model.language_model.", "language."),
    ("visual.", "visual."),
    ("model.", "language."),
    ("lm_head.", "lm_head."),
]);

type Entry = (&'static str, &'static str, Vec<usize>);

/// A small model as published.
fn published() -> Vec<Entry> {
    vec![
        ("model.embed_tokens.weight", "F32", vec![7, 4]),
        ("model.layers.0.up.weight", "BF16", vec![6, 4]),
        ("model.layers.0.up.bias", "F16", vec![6]),
        ("model.visual.patch.weight", "F32", vec![4, 3, 2, 2]),
        ("visual.norm.weight", "F32", vec![4]),
        ("lm_head.weight", "F32", vec![7, 4]),
    ]
}

fn specs() -> Vec<TensorSpec> {
    vec![
        TensorSpec::required("language.embed_tokens.weight", [7, 4]),
        TensorSpec::required("language.layers.0.up.weight", [6, 4]),
        TensorSpec::required("language.layers.0.up.bias", [6]),
        TensorSpec::required("visual.patch.weight", [4, 3, 2, 2]),
        TensorSpec::required("visual.norm.weight", [4]),
        TensorSpec::optional("lm_head.weight", [7, 4]),
        TensorSpec::optional("visual.norm.bias", [4]),
    ]
}

fn bits(dtype: &str) -> usize {
    match dtype {
        "F64" | "I64" => 64,
        "F32" | "I32" => 32,
        "F16" | "BF16" => 16,
        _ => 8,
    }
}

fn open(entries: &[Entry]) -> (Model, Checkpoint) {
    let tensors: Vec<_> = entries
        .iter()
        .map(|(name, dtype, shape)| {
            (*name, *dtype, &shape[..], vec![0; shape.iter().product::<usize>() * bits(dtype) / 8])
        })
        .collect();
    let model = Model::of(whole(&tensors));
    let checkpoint = model.open().unwrap();
    (model, checkpoint)
}

fn select(entries: &[Entry]) -> Result<Tensors, CheckpointError> {
    open(entries).1.select(&NAMES, &specs())
}

#[test]
fn the_first_matching_rule_renames() {
    for (published, expected) in [
        ("model.visual.blocks.0.w", "visual.blocks.0.w"),
        ("model.language_model.layers.0.w", "language.layers.0.w"),
        ("model.layers.0.w", "language.layers.0.w"),
        ("lm_head.weight", "lm_head.weight"),
        ("other", "other"),
    ] {
        assert_eq!(NAMES.rename(published), expected);
    }
}

#[test]
fn tensors_come_out_as_stored() {
    let bf: Vec<f32> = (0..24).map(|i| i as f32 * 0.25 - 3.0).collect();
    let half: Vec<f32> = (0..6).map(|i| i as f32 * 0.5).collect();
    let patch: Vec<f32> = (0..48).map(|i| i as f32).collect();
    let model = Model::of(whole(&[
        (
            "model.layers.0.up.weight",
            "BF16",
            &[6, 4],
            bf.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
        ),
        ("odd", "U8", &[1], vec![1]), // everything behind is unaligned
        ("model.layers.0.up.bias", "F16", &[6], half.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect()),
        ("visual.patch.weight", "F32", &[4, 3, 2, 2], f32s(&patch)),
        ("visual.scale", "F32", &[], f32s(&[2.5])),
    ]));
    let checkpoint = model.open().unwrap();
    let specs = [
        TensorSpec::required("language.layers.0.up.weight", [6, 4]),
        TensorSpec::required("language.layers.0.up.bias", [6]),
        TensorSpec::required("visual.patch.weight", [4, 3, 2, 2]),
        TensorSpec::required("visual.scale", []),
        TensorSpec::optional("visual.norm.bias", [4]),
    ];
    let odd = checkpoint.select(&NAMES, &specs);
    assert_eq!(refusal(odd), "TENSOR_UNEXPECTED");
    let with_odd = [&specs[..], &[TensorSpec::required("odd", [1])]].concat();
    assert_eq!(refusal(checkpoint.select(&NAMES, &with_odd)), "TENSOR_DTYPE");

    const SKIP: Naming = Naming::of(&[("odd", "gone.rotary_emb.inv_freq"), ("model.", "language.")]);
    assert!(checkpoint.select(&SKIP, &specs).is_err(), "only published names are excused");
    let without = whole(&[
        (
            "model.layers.0.up.weight",
            "BF16",
            &[6, 4],
            bf.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
        ),
        ("model.rotary_emb.inv_freq", "I8", &[1], vec![1]),
        ("model.layers.0.up.bias", "F16", &[6], half.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect()),
        ("visual.patch.weight", "F32", &[4, 3, 2, 2], f32s(&patch)),
        ("visual.scale", "F32", &[], f32s(&[2.5])),
    ]);
    let tensors = Model::of(without).open().unwrap().select(&NAMES, &specs).unwrap();
    let up = tensors.matrix("language.layers.0.up.weight");
    assert_eq!((up.rows(), up.cols(), up.dtype(), up.to_f32()), (6, 4, Dtype::Bf16, bf));
    assert_eq!(tensors.vector("language.layers.0.up.bias"), half);
    let patches = tensors.matrix("visual.patch.weight");
    assert_eq!((patches.rows(), patches.cols(), patches.to_f32()), (4, 12, patch));
    let scale = tensors.matrix("visual.scale");
    assert_eq!((scale.rows(), scale.cols(), scale.to_f32()), (1, 1, vec![2.5]));
    assert!(!tensors.has("visual.norm.bias") && tensors.optional_vector("visual.norm.bias").is_none());
    assert_eq!(tensors.byte_len(), 48 + 12 + 192 + 4);
    assert!(tensors.check_finite().is_ok());
}

#[test]
fn a7_every_single_change_of_a_tensor_is_found() {
    assert!(select(&published()).is_ok());
    let mut changes = 0;
    for i in 0..published().len() {
        let (name, _, shape) = published()[i].clone();
        let optional = name == "lm_head.weight";
        let mut expect = |change: &dyn Fn(&mut Vec<Entry>), expected: &str| {
            let mut entries = published();
            change(&mut entries);
            assert_eq!(refusal(select(&entries)), expected, "{name}");
            changes += 1;
        };
        for dtype in ["F64", "I8", "I32", "U8", "F8_E4M3", "BOOL"] {
            expect(&|e| e[i].1 = dtype, "TENSOR_DTYPE");
        }
        for axis in 0..shape.len() {
            expect(&|e| e[i].2[axis] += 1, "TENSOR_SHAPE");
            expect(&|e| e[i].2[axis] -= 1, "TENSOR_SHAPE");
        }
        expect(&|e| e[i].2.push(1), "TENSOR_SHAPE");
        if shape.len() > 1 {
            expect(&|e| e[i].2.reverse(), "TENSOR_SHAPE");
            expect(&|e| e[i].2 = vec![shape.iter().product()], "TENSOR_SHAPE");
        }
        expect(&|e| drop(e.remove(i)), if optional { "accepted" } else { "TENSOR_MISSING" });
        let renamed = if optional { "TENSOR_UNEXPECTED" } else { "TENSORS_DISAGREE" };
        expect(&|e| e[i].0 = "model.renamed.weight", renamed);
        expect(&|e| e.insert(i, ("model.layers.9.extra", "F32", vec![2])), "TENSOR_UNEXPECTED");
    }
    assert!(changes > 90, "{changes} changes");
}

#[test]
fn a7_all_differences_are_reported_at_once() {
    let mut entries = published();
    entries[0].2 = vec![8, 4];
    entries[1].1 = "I8";
    entries.remove(2);
    entries.push(("model.language_model.embed_tokens.weight", "F32", vec![7, 4]));
    entries.push(("model.extra.weight", "F32", vec![2]));
    let error = select(&entries).unwrap_err();
    assert_eq!((error.code(), error.class()), ("TENSORS_DISAGREE", Class::Model));
    let CheckpointError::Tensors { mismatches } = &error else { panic!("{error}") };
    assert_eq!(mismatches.len(), 5);
    let collision = mismatches.iter().find(|m| m.tensor == "language.embed_tokens.weight").unwrap();
    assert!(matches!(&collision.problem, Problem::Collision { published } if published[0] != published[1]));
    let message = error.to_string();
    for part in ["5 tensors", "expected [6], found nothing", "found I8", "language.extra.weight", "found [2] F32"] {
        assert!(message.contains(part), "no {part} in {message}");
    }
}

#[test]
fn a7_two_published_names_of_one_tensor() {
    let mut entries = published();
    entries.push(("model.visual.norm.weight", "F32", vec![4]));
    assert_eq!(refusal(select(&entries)), "TENSOR_COLLISION");
}

#[test]
fn a7_a_long_table_is_cut() {
    let (_model, checkpoint) = open(&published());
    let specs: Vec<_> = (0..500).map(|i| TensorSpec::required(format!("language.layers.{i}.w"), [4])).collect();
    let message = checkpoint.select(&NAMES, &specs).unwrap_err().to_string();
    assert!(
        message.contains("500 missing") && message.contains("and 492 more") && message.lines().count() < 25,
        "{message}"
    );
}

#[test]
fn only_an_element_type_in_the_way_is_unsupported_not_broken() {
    let mut entries = published();
    entries[0].1 = "F8_E4M3";
    assert_eq!(select(&entries).unwrap_err().class(), Class::Unsupported);
    entries.push(("model.layers.0.up.weight_scale", "F32", vec![1]));
    let error = select(&entries).unwrap_err();
    assert!(error.hint().unwrap().contains("already quantised"));
}

#[test]
fn computed_tables_may_be_there_or_not() {
    let mut entries = published();
    entries.push(("model.layers.0.self_attn.rotary_emb.inv_freq", "I64", vec![3]));
    assert_eq!(refusal(select(&entries)), "accepted");
    entries.push(("model.layers.0.self_attn.rotary_emb.inv_freq.extra", "F32", vec![3]));
    assert_eq!(refusal(select(&entries)), "TENSOR_UNEXPECTED");
}

#[test]
fn a11_every_planted_value_that_is_not_finite_is_found() {
    let sizes = [1usize, 2, 31, 1024, 300_000];
    for (dtype, bytes) in [("F32", 4), ("F16", 2), ("BF16", 2)] {
        let patterns: &[u32] = match dtype {
            "F32" => &[0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0x7f80_0001, 0xffff_ffff],
            "F16" => &[0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xffff],
            _ => &[0x7f80, 0xff80, 0x7fc0, 0x7f81, 0xffff],
        };
        for len in sizes {
            for (at, pattern) in [0, len / 2, len - 1].into_iter().zip(patterns.iter().cycle().skip(len % 5)) {
                let mut data = vec![0x11u8; len * bytes];
                data[at * bytes..(at + 1) * bytes].copy_from_slice(&pattern.to_le_bytes()[..bytes]);
                let clean = vec![0x11u8; 8 * bytes];
                let model = Model::of(whole(&[("a", dtype, &[8], clean), ("w", dtype, &[len], data)]));
                let specs = [TensorSpec::required("a", [8]), TensorSpec::required("w", [len])];
                let tensors = model.open().unwrap().select(&Naming::of(&[]), &specs).unwrap();
                let error = tensors.check_finite().unwrap_err();
                assert_eq!((error.code(), error.class()), ("WEIGHT_NOT_FINITE", Class::Numeric));
                let CheckpointError::NotFinite { tensors } = error else { panic!() };
                let seen: Vec<_> = tensors.iter().map(|t| (t.tensor.as_str(), t.count, t.first)).collect();
                assert_eq!(seen, [("w", 1, at)], "{dtype} {len} {pattern:#x}");
            }
        }
    }
}

#[test]
fn asking_for_what_was_not_asked_for_is_a_defect() {
    let tensors = select(&published()).unwrap();
    for name in ["visual.norm.bias", "model.embed_tokens.weight"] {
        let asked = catch_unwind(AssertUnwindSafe(|| tensors.matrix(name)));
        assert!(asked.is_err(), "{name}");
    }
    let twice = [specs(), specs()].concat();
    let (_model, checkpoint) = open(&published());
    assert!(catch_unwind(AssertUnwindSafe(|| checkpoint.select(&NAMES, &twice))).is_err());
    assert_eq!(specs()[6].presence, Presence::Optional);
}
