//! What a site of a bundle computes, against its equation in f64 on the tensors as they are stored.

use std::collections::BTreeMap;

use mquant::bundle::PackedCache;
use mquant::input::{Modality, ModalitySpans};
use mquant::kernels::{Cpu, CpuBackend, Hadamard, Rows, SiteInput, quantize_scalar};
use mquant::nn::{
    ColumnSplit, ForwardBatch, ForwardContext, InputQuant, Site, SiteId, SiteKind, SiteObserver, SiteRows, Tower,
};
use mquant_testkit::sites::site;

use crate::bundle::folder::{Bundle, Stored};

const ROWS: usize = 9;

/// The rows that a site's linears read, as a watcher sees them.
#[derive(Default)]
struct Seen(Vec<Rows>);

impl SiteObserver for Seen {
    fn observe(&mut self, _: SiteId, x: &Rows, _: SiteRows<'_>) {
        self.0.push(x.clone());
    }
}

fn floats(tensors: &BTreeMap<String, Stored>, name: &str) -> Vec<f64> {
    let bytes = &tensors[name].2;
    bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
}

/// Codes of a weight in 4 or 8 bits, outputs × inputs.
fn codes(tensors: &BTreeMap<String, Stored>, base: &str, (rows, cols): (usize, usize)) -> Vec<f64> {
    if let Some((_, _, bytes)) = tensors.get(&format!("{base}.weight")) {
        return bytes.iter().map(|b| f64::from(*b as i8)).collect();
    }
    let (_, shape, bytes) = &tensors[&format!("{base}.weight_packed")];
    assert_eq!(shape, &[rows, cols.div_ceil(8)]);
    let nibble = |at: usize| {
        let word = at / cols * cols.div_ceil(8) + at % cols / 8;
        let word = u32::from_le_bytes(bytes[4 * word..][..4].try_into().unwrap());
        f64::from(word >> (4 * (at % cols % 8)) & 15) - 8.0
    };
    (0..rows * cols).map(nibble).collect()
}

/// The scale of each row: static ones are for text in the first four rows, for vision in the others.
fn scales(input: &InputQuant, largest: impl Fn(usize) -> f32) -> Vec<f32> {
    let scale = |i: usize| match input {
        InputQuant::Float => panic!("a quantised input"),
        InputQuant::PerTensor(scale) => *scale,
        InputQuant::PerModality(scales) => {
            if i < 4 {
                scales.text
            } else {
                scales.vision
            }
        }
        InputQuant::PerToken => (largest(i) / 127.0).max(1e-8),
        InputQuant::PerTokenSix => (largest(i) / 31.0).max(1e-8),
    };
    (0..ROWS).map(scale).collect()
}

/// Codes of some channels of rows, times their scales.
fn rounded(x: &Rows, channels: &[usize], input: &InputQuant) -> Vec<Vec<f64>> {
    let largest = |i: usize| channels.iter().fold(0f32, |most, c| most.max(x.row(i)[*c].abs()));
    let scales = scales(input, largest);
    let row = |i: usize| {
        let code = |c: &usize| quantize_scalar(x.row(i)[*c], 1.0 / scales[i], -127.0, 127.0);
        channels.iter().map(|c| f64::from(code(c)) * f64::from(scales[i])).collect()
    };
    (0..ROWS).map(row).collect()
}

/// `width`: features of a row before it is filled up.
fn check(bundle: &Bundle, site: &Site<1>, base: &str, width: usize) {
    let tensors = bundle.tensors();
    let [linear] = &site.linears;
    let (outputs, inputs) = (linear.weight.rows(), linear.weight.cols());
    let values =
        (0..ROWS * width).map(|i| (i * 7919 % 10_007) as f32 * 8e-4 - 4.0 + (i % width == 2) as u8 as f32 * 30.0);
    let x = Rows::from_vec(values.collect(), width);
    let backend = CpuBackend::new(Cpu::detect());
    let mut spans = ModalitySpans::uniform(Modality::Text, 4);
    spans.push(Modality::Vision, 5);
    let pass = ForwardBatch {
        sequences: std::iter::once(0..ROWS).collect(),
        order: (0..ROWS as u32).collect(),
        spans,
        ..ForwardBatch::default()
    };
    let mut seen = Seen::default();
    let watched = site.one(SiteInput::Rows(&x), &mut ForwardContext::new(&backend, &pass).watched(Some(&mut seen)));
    let y = site.one(SiteInput::Rows(&x), &mut ForwardContext::new(&backend, &pass));
    assert_eq!(y, watched, "{base}: a watcher changes nothing");

    // The watcher sees all channels, rotated.
    let [read] = &seen.0[..] else { panic!("{base}: seen {} times", seen.0.len()) };
    for i in 0..ROWS {
        let mut want: Vec<f64> = x.row(i).iter().map(|v| f64::from(*v)).collect();
        want.resize(inputs, 0.0);
        if let Some(rotation) = &site.rotation {
            rotation.rotate_row_f64(Cpu::detect(), &mut want);
        }
        assert!(read.row(i).iter().zip(&want).all(|(a, b)| (f64::from(*a) - b).abs() < 2e-5), "{base}: row {i}");
    }

    let ColumnSplit { channels, input } = site.split.as_ref().unwrap();
    let side: Vec<usize> = channels.iter().map(|c| *c as usize).collect();
    let main: Vec<usize> = (0..inputs).filter(|c| !side.contains(c)).collect();
    let (of_main, of_side) = (rounded(read, &main, &site.input), rounded(read, &side, input));
    let (w, scale) = (codes(&tensors, base, (outputs, inputs)), floats(&tensors, &format!("{base}.weight_scale")));
    let groups = scale.len() / outputs;
    let group = if groups == 1 { inputs } else { inputs.div_ceil(groups).next_power_of_two() };
    let side_w: Vec<f64> = tensors[&format!("{base}.side_weight")].2.iter().map(|b| f64::from(*b as i8)).collect();
    let side_scale = floats(&tensors, &format!("{base}.side_scale"));
    let bias = tensors.contains_key(&format!("{base}.bias")).then(|| floats(&tensors, &format!("{base}.bias")));
    let mut largest_side = 0f64;
    for i in 0..ROWS {
        for j in 0..outputs {
            let weight = |c: &usize| w[j * inputs + c] * scale[j * groups + c / group];
            let main: f64 = main.iter().zip(&of_main[i]).map(|(c, x)| x * weight(c)).sum();
            let side: f64 =
                of_side[i].iter().enumerate().map(|(k, x)| x * side_w[j * side.len() + k] * side_scale[j]).sum();
            let want = main + bias.as_ref().map_or(0.0, |bias| bias[j]) + side;
            let got = f64::from(y.row(i)[j]);
            assert!((got - want).abs() < 2e-5 * want.abs().max(1.0), "{base}: {got} not {want} at {i}, {j}");
            largest_side = largest_side.max(side.abs());
        }
    }
    assert!(largest_side > 0.1, "{base}: side products are at most {largest_side}");
}

#[test]
fn sites_with_splits_follow_their_equation() {
    let bundle = Bundle::transformed("qwen2_vl");
    let model = bundle.open(PackedCache::Disabled).unwrap().model;
    let of = |tower, block, kind| site::<1>(&model, SiteId::block(tower, block, kind));
    let block = of(Tower::Language, 1, SiteKind::Down);
    assert_eq!(block.linears[0].weight.cols(), Hadamard::padded(321).unwrap().features());
    check(&bundle, &block, "model.layers.1.mlp.down_proj", 320);
    check(&bundle, &of(Tower::Vision, 0, SiteKind::Down), "visual.blocks.0.mlp.fc2", 384);
    check(&bundle, &of(Tower::Vision, 1, SiteKind::Down), "visual.blocks.1.mlp.fc2", 384);
    check(&bundle, &of(Tower::Vision, 1, SiteKind::Out), "visual.blocks.1.attn.proj", 96);
    check(&bundle, &site(&model, SiteId::projector(Tower::Vision, SiteKind::Down)), "visual.merger.mlp.2", 384);
}
