//! Readers, writers and pairs tell the truth about `forward`: changing all of them together changes nothing.
//!
//! Every residual stream is permuted (its writers' outputs, its readers' inputs and norms), and every pair is scaled by
//! random factors. A reader, writer or pair that is missing, or one too many, changes the logits. Permutations are the
//! rotations that LayerNorm and RMSNorm both let pass without further surgery.

use std::collections::HashMap;
use std::sync::Arc;

use mquant::kernels::{Matrix, Rows};
use mquant::models::Model;
use mquant::nn::{Linear, NormKind, Output, Part, SiteId, SiteObserver, SiteRows, Stream, Weight};

use super::{distance, engine, prepare};
use crate::golden::GoldenFolder;

/// A small counter-based generator: tests need no more.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut p: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            p.swap(i, (self.next() % (i as u64 + 1)) as usize);
        }
        p
    }

    fn scale(&mut self) -> f32 {
        0.5 + (self.next() % 1024) as f32 / 512.0
    }
}

/// Logits stay when every stream is permuted and every pair scaled; they move when one reader is left out.
///
/// # Panics
/// Where they do not.
pub fn wiring_tells_the_truth(folder: &GoldenFolder, case: &str) {
    let mut loaded = folder.load();
    let prompt = prepare(&loaded, &folder.messages(case));
    let before = engine(&loaded, 1024).all_logits(&prompt).expect("logits");
    let original = loaded.model.clone();

    let mut model = Model::clone(&original);
    rewire(&mut model, None);
    loaded.model = Arc::new(model);
    let after = engine(&loaded, 1024).all_logits(&prompt).expect("logits");
    let moved = distance(&after, &before);
    assert!(moved < 1e-4, "{case}: rewiring moved the logits by {moved:e} standard deviations");

    // Negative control: each part's readers left out in turn must be noticed.
    let parts = Model::clone(&original).parts().len();
    for skipped in 0..parts {
        let mut model = Model::clone(&original);
        if model.parts()[skipped].readers().is_empty() {
            continue;
        }
        rewire(&mut model, Some(skipped));
        loaded.model = Arc::new(model);
        let after = engine(&loaded, 1024).all_logits(&prompt).expect("logits");
        assert!(
            distance(&after, &before) > 1e-2,
            "{case}: nobody notices that part {skipped} does not read its stream"
        );
    }
}

/// Notes each site and the features it reads, in the order they are first visited.
#[derive(Default)]
struct Visits(Vec<(SiteId, usize)>);

impl SiteObserver for Visits {
    fn observe(&mut self, site: SiteId, x: &Rows, rows: SiteRows<'_>) {
        assert_eq!(rows.spans.rows(), x.rows(), "{site}: rows, and rows whose modality is known");
        if !self.0.iter().any(|(seen, _)| *seen == site) {
            self.0.push((site, x.features()));
        }
    }
}

/// The sites that the parts list are those that a pass visits, in that order, each with the inputs of its linears.
///
/// # Panics
/// Where they are not.
pub fn sites_are_visited(folder: &GoldenFolder, case: &str) {
    let loaded = folder.load();
    let prompt = prepare(&loaded, &folder.messages(case));
    let mut visits = Visits::default();
    engine(&loaded, 1024).all_logits_batch(&[&prompt], Some(&mut visits)).expect("logits");
    let mut model = Model::clone(&loaded.model);
    let mut listed = Vec::new();
    for part in model.parts() {
        for site in part.sites() {
            let inputs = site.linears[0].weight.cols();
            assert!(site.linears.iter().all(|l| l.weight.cols() == inputs), "{}: linears of other inputs", site.id);
            listed.push((site.id, inputs));
        }
    }
    assert_eq!(visits.0, listed, "{case}: sites visited and sites listed");
}

fn rewire(model: &mut Model, skipped: Option<usize>) {
    let mut noise = Noise(7);
    let mut permutations: HashMap<Stream, Vec<usize>> = HashMap::new();
    for (index, part) in model.parts().into_iter().enumerate() {
        scale_pairs(part, &mut noise);
        for writer in part.writers() {
            let width = writer.output.features();
            let permutation = permutations.entry(writer.stream).or_insert_with(|| noise.permutation(width));
            match writer.output {
                Output::Linear(linear) => permute_outputs(linear, permutation),
                Output::Table(table) => permute_columns(table, permutation),
                Output::Map { map, features } => {
                    permute_outputs(map.get_or_insert_with(|| Linear::identity(features)), permutation);
                }
            }
        }
        if skipped == Some(index) {
            continue;
        }
        for reader in part.readers() {
            let norm = reader.site.norm.as_mut().expect("a reader of a stream has a norm");
            let permutation = permutations.entry(reader.stream).or_insert_with(|| noise.permutation(norm.gain.len()));
            let width = permutation.len();
            let inputs = reader.site.linears[0].weight.cols();
            let wide: Vec<usize> =
                (0..inputs / width).flat_map(|r| permutation.iter().map(move |p| r * width + p)).collect();
            norm.gain = pick(&norm.gain, &wide[..norm.gain.len()]);
            if let NormKind::Layer { bias } = &mut norm.kind {
                *bias = pick(bias, &wide[..bias.len()]);
            }
            reader.site.linears.iter_mut().for_each(|linear| permute_columns(float(linear), &wide));
        }
    }
}

fn scale_pairs(part: &mut dyn Part, noise: &mut Noise) {
    for pair in part.pairs() {
        let scales: Vec<f32> = (0..pair.producer.weight.rows()).map(|_| noise.scale()).collect();
        let inputs = pair.consumer.linears[0].weight.cols();
        let source: Vec<usize> = (0..inputs).map(|i| pair.source(i)).collect();
        let cols = pair.producer.weight.cols();
        for (row, s) in float(pair.producer).make_mut().chunks_exact_mut(cols).zip(&scales) {
            row.iter_mut().for_each(|w| *w *= s);
        }
        if let Some(bias) = &mut pair.producer.bias {
            bias.iter_mut().zip(&scales).for_each(|(b, s)| *b *= s);
        }
        for linear in pair.consumer.linears.iter_mut() {
            for row in float(linear).make_mut().chunks_exact_mut(inputs) {
                row.iter_mut().zip(&source).for_each(|(w, from)| *w /= scales[*from]);
            }
        }
    }
}

fn pick(values: &[f32], from: &[usize]) -> Vec<f32> {
    from.iter().map(|i| values[*i]).collect()
}

fn float(linear: &mut Linear) -> &mut Matrix {
    linear.weight.float_mut().expect("a float model")
}

fn permute_columns(weight: &mut Matrix, from: &[usize]) {
    let cols = weight.cols();
    for row in weight.make_mut().chunks_exact_mut(cols) {
        let picked = pick(row, from);
        row.copy_from_slice(&picked);
    }
}

fn permute_outputs(linear: &mut Linear, from: &[usize]) {
    let (rows, cols) = (linear.weight.rows(), linear.weight.cols());
    let old = float(linear).to_f32();
    let new = from.iter().flat_map(|i| &old[i * cols..(i + 1) * cols]).copied().collect();
    linear.weight = Weight::Float(Matrix::from_f32(new, rows, cols));
    linear.bias = linear.bias.as_ref().map(|b| pick(b, from));
}
