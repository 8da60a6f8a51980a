//! Law 1: pixels, ids, float logits and greedy tokens equal the reference's.

use mquant::input::{Body, Content, FrameRate, MediaKind};
use mquant::kernels::Rows;
use mquant::run::{Engine, Prompt, Sequence};

use super::{argmax, distance, engine, prepare};
use crate::golden::{Golden, GoldenFolder};

/// Bound on logits, in standard deviations: what a different order of float sums costs, with an ample margin, and small
/// enough that one pixel value off by a step, or another GELU, is noticed.
const SCORES: f64 = 1e-4;

/// Bound on features of sounds: ours are computed in f64, the reference's in f32.
const FEATURES: f32 = 1e-3;

/// What the names of cases with frame rates end with.
const FPS: &str = "-fps";
/// `temporal_patch_size` of the families that have such cases.
const FRAMES_PER_STEP: f64 = 2.0;

/// One case. Returns the distance of the logits.
///
/// # Panics
/// Where ours and the reference's differ.
pub fn equals_reference(folder: &GoldenFolder, case: &str) -> f64 {
    let loaded = folder.load();
    let engine = engine(&loaded, 1024);
    let prompt = prepare(&loaded, &folder.messages(case));
    let logits = engine.all_logits(&prompt).expect("logits");
    compare(&folder.golden(case), "", case, &prompt, &logits, &mut |n| greedy(&engine, &prompt, n))
}

/// Cases whose videos say how fast their frames follow one another; returns how many there are. Their messages and pixels are
/// those of the case without.
///
/// # Panics
/// Where ours and the reference's differ.
pub fn frame_rates_equal_reference(folder: &GoldenFolder) -> usize {
    let loaded = folder.load();
    let engine = engine(&loaded, 1024);
    let cases: Vec<String> =
        folder.cases().into_iter().filter(|case| folder.has_golden(&format!("{case}{FPS}"))).collect();
    for case in &cases {
        let mut messages = folder.messages(case);
        let name = format!("{case}{FPS}");
        let golden = folder.golden(&name);
        let mut seconds = golden.floats("second_per_grid_ts").into_iter();
        let parts = messages.iter_mut().flat_map(|message| match &mut message.body {
            Body::Parts(parts) => parts.as_mut_slice(),
            Body::Plain(_) => &mut [],
        });
        for part in parts {
            if let Content::Video(video) = part {
                let step = seconds.next().expect("a rate for every video");
                video.fps = FrameRate::new(FRAMES_PER_STEP / f64::from(step));
            }
        }
        let prompt = prepare(&loaded, &messages);
        let logits = engine.all_logits(&prompt).expect("logits");
        compare(&golden, "", &name, &prompt, &logits, &mut |n| greedy(&engine, &prompt, n));
        let unsaid = prepare(&loaded, &folder.messages(case));
        assert_ne!(prompt.positions, unsaid.positions, "{name}: the rate changes nothing");
    }
    cases.len()
}

/// The batch case, computed as one batch. Returns the largest distance.
///
/// # Panics
/// Where ours and the reference's differ.
pub fn batch_equals_reference(folder: &GoldenFolder) -> f64 {
    let loaded = folder.load();
    let engine = engine(&loaded, 1024);
    let prompts: Vec<Prompt> = folder.batch().iter().map(|m| prepare(&loaded, m)).collect();
    let golden = folder.golden("batch");
    let generated = greedy_batch(&engine, &prompts, golden.ints("generated.0").expect("generated tokens").len());
    let cases = prompts.iter().enumerate().map(|(i, prompt)| {
        let logits = engine.all_logits(prompt).expect("logits");
        compare(&golden, &format!(".{i}"), &format!("batch {i}"), prompt, &logits, &mut |_| generated[i].clone())
    });
    cases.fold(0.0, f64::max)
}

fn compare(
    golden: &Golden,
    suffix: &str,
    case: &str,
    prompt: &Prompt,
    logits: &Rows,
    generate: &mut dyn FnMut(usize) -> Vec<u32>,
) -> f64 {
    let ints = |name: &str| golden.ints(&format!("{name}{suffix}"));
    if suffix.is_empty() && !case.ends_with(FPS) {
        compare_pixels(golden, case, prompt);
        compare_features(golden, case, prompt);
    }
    assert_eq!(prompt.ids, ints("input_ids").expect("input_ids"), "{case}: token ids");
    let distance = distance(logits, &golden.rows(&format!("logits{suffix}")).expect("logits"));
    assert!(distance <= SCORES, "{case}: logits are {distance:e} standard deviations away");
    let tokens = ints("generated").expect("generated tokens");
    assert_eq!(generate(tokens.len()), tokens, "{case}: greedy tokens");
    distance
}

/// The batch golden holds no pixels: its media are those of other cases.
fn compare_pixels(golden: &Golden, case: &str, prompt: &Prompt) {
    for (kind, grids, pixels) in [
        (MediaKind::Image, "image_grid_thw", "pixel_values"),
        (MediaKind::Video, "video_grid_thw", "pixel_values_videos"),
    ] {
        let media: Vec<_> = prompt.media.iter().filter(|m| m.kind == kind).map(|m| &m.patches).collect();
        let ours: Vec<u32> = media.iter().flat_map(|p| [p.grid.t, p.grid.h, p.grid.w].map(|n| n as u32)).collect();
        assert_eq!(ours, golden.ints(grids).unwrap_or_default(), "{case}: {grids}");
        let ours: Vec<f32> = media.iter().flat_map(|p| p.rows.as_slice()).copied().collect();
        let theirs = golden.rows(pixels).map_or_else(Vec::new, Rows::into_vec);
        assert_eq!(ours.len(), theirs.len(), "{case}: {pixels}");
        let differing = ours.iter().zip(&theirs).filter(|(a, b)| a != b).count();
        assert_eq!(differing, 0, "{case}: values of {pixels} that differ, of {}", ours.len());
    }
}

/// Features of sounds, which the reference stores as 1 × mel bins × frames of all sounds one after the other.
fn compare_features(golden: &Golden, case: &str, prompt: &Prompt) {
    const NAME: &str = "input_features";
    let sounds: Vec<_> = prompt.media.iter().filter(|m| m.kind == MediaKind::Audio).map(|m| &m.patches.rows).collect();
    let Some(theirs) = golden.rows(NAME) else {
        assert!(sounds.is_empty(), "{case}: sounds without {NAME}");
        return;
    };
    let frames: Vec<&[f32]> = sounds.iter().flat_map(|rows| (0..rows.rows()).map(|i| rows.row(i))).collect();
    assert_eq!(frames.len(), theirs.features(), "{case}: frames of {NAME}");
    let mut largest = 0.0_f32;
    for (at, frame) in frames.iter().enumerate() {
        assert_eq!(frame.len(), theirs.rows(), "{case}: mel bins of {NAME}");
        let difference = |(bin, value): (usize, &f32)| (value - theirs.row(bin)[at]).abs();
        largest = frame.iter().enumerate().map(difference).fold(largest, f32::max);
    }
    assert!(largest <= FEATURES, "{case}: {NAME} differ by {largest:e}");
}

/// Greedy tokens, end tokens being tokens like any other.
pub(super) fn greedy(engine: &Engine, prompt: &Prompt, count: usize) -> Vec<u32> {
    greedy_batch(engine, std::slice::from_ref(prompt), count).remove(0)
}

pub(super) fn greedy_batch(engine: &Engine, prompts: &[Prompt], count: usize) -> Vec<Vec<u32>> {
    let mut sequences: Vec<Sequence> = prompts.iter().map(|_| engine.sequence()).collect();
    let mut sequences: Vec<&mut Sequence> = sequences.iter_mut().collect();
    let mut logits = engine.prefill_batch(&mut sequences, &prompts.iter().collect::<Vec<_>>()).expect("logits");
    let mut out = vec![Vec::new(); prompts.len()];
    for step in 0..count {
        let ids: Vec<u32> = (0..prompts.len()).map(|i| argmax(logits.row(i))).collect();
        out.iter_mut().zip(&ids).for_each(|(out, id)| out.push(*id));
        if step + 1 < count {
            logits = engine.decode(&mut sequences, &ids).expect("logits");
        }
    }
    out
}
