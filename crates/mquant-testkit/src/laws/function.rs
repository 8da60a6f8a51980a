//! Transforms leave the function as it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use mquant::kernels::{Cpu, Rows};
use mquant::models::Model;
use mquant::nn::{Part, SiteId, SiteKind, SiteObserver, SiteRows, Tower};
use mquant::run::LoadedModel;
use mquant::transform::{
    FuseNorms, HadamardFallback, ReadChanges, RotateHeads, RotateOnline, RotateStream, RotationKind, SeenChannels,
    Smooth, SmoothModalities, SmoothingVectors, Streams, Transform, TransformError,
};

use super::{distance, engine, prepare};
use crate::golden::GoldenFolder;

/// Logits may move by this many standard deviations.
const BOUND: f64 = 1e-4;

/// Each transform, and all together, leave the logits as they are; left out for a single part, each moves them.
///
/// # Panics
/// Where they do not.
pub fn transforms_preserve_the_function(folder: &GoldenFolder, case: &str) {
    let mut loaded = folder.load();
    let prompt = prepare(&loaded, &folder.messages(case));
    let mut seen = Seen::default();
    let (before, _) = engine(&loaded, 1024).all_logits_batch(&[&prompt], Some(&mut seen)).expect("logits");
    let original = loaded.model.clone();
    for (name, steps) in combinations(&loaded) {
        for skipped in std::iter::once(None).chain((0..Model::clone(&original).parts().len()).map(Some)) {
            let mut model = Model::clone(&original);
            let touched = apply(&mut model, &steps, &seen.0, skipped);
            loaded.model = Arc::new(model);
            let after = engine(&loaded, 1024).all_logits(&prompt).expect("logits");
            let moved = distance(&after, &before[0]);
            match skipped {
                None => assert!(moved <= BOUND, "{case}: {name} moved the logits by {moved:e} standard deviations"),
                // Where every change lies inside a part, leaving it out changes nothing.
                Some(part) if steps.iter().any(|step| step.streams.iter().any(|s| touched.contains(s))) => {
                    assert!(moved > 1e-3, "{case}: nobody notices that part {part} was left out of {name}");
                }
                Some(_) => {}
            }
        }
    }
}

struct Step {
    transform: Box<dyn Transform>,
    /// The streams where what is done to one part is taken back in another.
    streams: Vec<Tower>,
}

fn within(transform: impl Transform + 'static) -> Step {
    Step { transform: Box::new(transform), streams: Vec::new() }
}

fn across(streams: &[Tower], transform: impl Transform + 'static) -> Step {
    Step { transform: Box::new(transform), streams: streams.to_vec() }
}

/// Every transform by itself where it can be, and the combinations that recipes use.
fn combinations(loaded: &LoadedModel) -> Vec<(&'static str, Vec<Step>)> {
    let mut model = Model::clone(&loaded.model);
    let streams = Streams::of(&mut model).expect("streams");
    let sites: BTreeSet<SiteId> = model.parts().iter_mut().flat_map(|part| part.sites()).map(|site| site.id).collect();
    let of_kind = |kinds: &[SiteKind]| -> BTreeSet<SiteId> {
        let matches = |id: &SiteId| id.block_index().is_some() && kinds.contains(&id.kind);
        sites.iter().copied().filter(matches).collect()
    };
    let encoders: Vec<Tower> = loaded.model.encoders.iter().map(|encoder| encoder.tower).collect();
    let towers: Vec<Tower> = encoders.iter().copied().chain([Tower::Language]).collect();
    let fuse = || within(FuseNorms::new(&streams, towers.iter().copied()).expect("all streams"));
    let rotate = |towers: &[Tower], kind, seed| {
        across(towers, RotateStream::new(&streams, towers.iter().copied(), kind, seed).expect("rotations"))
    };
    let heads = || within(RotateHeads::new(towers.iter().copied(), 7));
    let online = |otherwise| within(RotateOnline::new(of_kind(&[SiteKind::Down]), otherwise));
    let every = [SiteKind::Qkv, SiteKind::Out, SiteKind::Up, SiteKind::Down];
    let text_vectors = |sites: &BTreeSet<SiteId>| {
        let of_decoder = sites.iter().copied().filter(|site| site.tower() == Tower::Language).collect();
        TextVectors(SmoothModalities::new(of_decoder, 0.5, SmoothingVectors::PerModality))
    };
    let (hadamard, ones) = (RotationKind::Hadamard, RotationKind::OnesPreserving);
    vec![
        ("fuse_norms", vec![within(FuseNorms::new(&streams, [Tower::Language]).expect("a stream"))]),
        ("fuse_norms of both", vec![fuse()]),
        ("rotate_stream", vec![fuse(), rotate(&towers, hadamard, 1)]),
        ("rotate_stream that keeps ones", vec![rotate(&encoders, ones, 2)]),
        (
            "both kinds",
            vec![
                within(FuseNorms::new(&streams, [Tower::Language]).expect("a stream")),
                rotate(&encoders, ones, 2),
                rotate(&[Tower::Language], hadamard, 2),
            ],
        ),
        ("rotate_heads", vec![heads()]),
        ("rotate_online", vec![online(HadamardFallback::Pad)]),
        ("rotate_online in blocks", vec![online(HadamardFallback::Blocks)]),
        ("smooth", vec![within(Smooth::new(of_kind(&[SiteKind::Qkv, SiteKind::Out, SiteKind::Up]), 0.5))]),
        ("smooth_modalities", vec![within(text_vectors(&of_kind(&every)))]),
        (
            "smooth_modalities, rotated",
            vec![fuse(), rotate(&towers, hadamard, 4), heads(), within(text_vectors(&of_kind(&every)))],
        ),
        ("all of MQuant", vec![fuse(), rotate(&towers, hadamard, 3), heads(), online(HadamardFallback::Pad)]),
    ]
}

/// Smoothing by modality as far as floats know it: the vectors of text are folded. What is left for the rows of other
/// modalities belongs to integer sites.
struct TextVectors(SmoothModalities);

impl Transform for TextVectors {
    fn apply(&self, _: Cpu, part: &mut dyn Part, seen: &SeenChannels) -> Result<ReadChanges, TransformError> {
        let vectors = self.0.initial(part, seen)?;
        Ok(self.0.fold(part, &vectors)?.0)
    }
}

/// Applies the steps to all parts but perhaps one; says which streams that one reads or writes.
fn apply(model: &mut Model, steps: &[Step], seen: &SeenChannels, skipped: Option<usize>) -> BTreeSet<Tower> {
    let mut touched = BTreeSet::new();
    for (index, part) in model.parts().into_iter().enumerate() {
        if skipped == Some(index) {
            touched.extend(part.readers().iter().map(|reader| reader.stream.0));
            touched.extend(part.writers().iter().map(|writer| writer.stream.0));
            continue;
        }
        for step in steps {
            step.transform.apply(Cpu::detect(), part, seen).expect("a step for every model of the family");
        }
    }
    touched
}

/// Notes the largest magnitude of every channel in the rows of each modality.
#[derive(Default)]
struct Seen(SeenChannels);

impl SiteObserver for Seen {
    fn observe(&mut self, site: SiteId, x: &Rows, rows: SiteRows<'_>) {
        for (modality, range) in rows.spans.iter() {
            let channels = self.0.entry(site).or_default().entry(modality).or_insert_with(|| vec![0.0; x.features()]);
            for row in range {
                channels.iter_mut().zip(x.row(row)).for_each(|(most, v)| *most = most.max(v.abs()));
            }
        }
    }
}
