//! Law 4: rows may be computed in any order; positions, masks and caches follow the original index.

use std::collections::{BTreeMap, BTreeSet};

use mquant::bundle::{InputFormat, SiteQuant, WeightFormat};
use mquant::input::{Modality, ModalitySpans};
use mquant::kernels::{Bits, Cpu, CpuBackend, Rows};
use mquant::nn::{ForwardBatch, ForwardContext, SiteId, SiteKind, SiteObserver, SiteRows, Tower};
use mquant::quantize::IntFormat;
use mquant::run::{Engine, EngineOptions, LoadOptions, LoadedModel, Prompt, RowOrder, Sequence};

use super::golden::greedy_batch;
use super::{distance, prepare};
use crate::bundle::FloatModel;
use crate::golden::GoldenFolder;

/// Permuting the rows of a pass with their positions permutes what the decoder gives, and nothing else.
///
/// # Panics
/// Where it does not.
pub fn row_order_is_free(folder: &GoldenFolder, case: &str) {
    let loaded = folder.load();
    let decoder = &loaded.model.decoder;
    let prompt = prepare(&loaded, &folder.messages(case));
    let n = prompt.ids.len();
    let embedded = decoder.embedding.forward(&prompt.ids);
    let run = |order: &[u32]| {
        let picked: Vec<f32> = order.iter().flat_map(|i| embedded.row(*i as usize)).copied().collect();
        let positions: Vec<_> = order.iter().map(|i| prompt.positions[*i as usize]).collect();
        let pass = ForwardBatch {
            sequences: std::iter::once(0..n).collect(),
            order: order.to_vec(),
            spans: ModalitySpans::uniform(Modality::Text, n),
            rope: decoder.rope.table(&positions),
            ..ForwardBatch::default()
        };
        let backend = CpuBackend::new(Cpu::detect());
        let mut cache = decoder.new_cache();
        let mut cx = ForwardContext::new(&backend, &pass).caching(vec![&mut cache]);
        decoder.forward(Rows::from_vec(picked, embedded.features()), &mut cx)
    };
    let identity: Vec<u32> = (0..n as u32).collect();
    let straight = run(&identity);
    let media_first = modality_first(&prompt);
    let reversed: Vec<u32> = identity.iter().rev().copied().collect();
    for order in [media_first, reversed] {
        let permuted = run(&order);
        let mut back = Rows::zeros(n, straight.features());
        for (row, i) in order.iter().enumerate() {
            back.row_mut(*i as usize).copy_from_slice(permuted.row(row));
        }
        let distance = distance(&back, &straight);
        assert!(distance < 1e-5, "{case}: another row order is {distance:e} away");
    }
}

/// Integer weights everywhere, and in the decoder a static scale for each modality.
fn per_modality(site: SiteId) -> SiteQuant {
    let (bits, input) = match (site.tower(), site.kind) {
        (_, SiteKind::Head) => (Bits::Eight, InputFormat::PerToken),
        (Tower::Language, _) => (Bits::Four, InputFormat::PerModality),
        _ => (Bits::Eight, InputFormat::PerTensor),
    };
    let quant = SiteQuant::new(WeightFormat::Int(IntFormat::per_channel(bits)), input);
    if site.tower() != Tower::Language || site.block_index().is_none() {
        return quant;
    }
    // The input of `down` comes as codes from the product before it: no gains there.
    let others = [Modality::Vision, Modality::Audio];
    let gains = if site.kind == SiteKind::Down { BTreeSet::new() } else { others.into() };
    SiteQuant { gains, branches: BTreeMap::from(others.map(|modality| (modality, 5))), ..quant }
}

/// What a different place in a matrix of floats may cost: the product of few rows sums a row at its end in another order.
const FLOAT_CLOSE: f64 = 1e-5;

/// Modality-first order gives the bits of original order: logits after every row, keys and values, tokens; whole and in
/// chunks, alone and in batches, in first and later turns. Of the float model logits come close and tokens are the same.
///
/// # Panics
/// Where it does not.
pub fn modality_first_changes_no_bit(folder: &GoldenFolder) {
    let dir = tempfile::tempdir().expect("a folder for the bundle");
    let float = FloatModel::open(folder.dir());
    let bundle = dir.path().join("bundle");
    float.write(&bundle, &float.quantization(per_modality), 0.02);
    let quantised = LoadedModel::open(bundle.to_str().expect("a path in UTF-8"), &LoadOptions::in_process());
    let quantised = quantised.expect("a bundle");
    for (name, loaded) in [("float", folder.load()), ("quantised", quantised)] {
        let cases = folder.cases();
        let prompts: Vec<Prompt> = cases.iter().map(|case| prepare(&loaded, &folder.messages(case))).collect();
        for cpu in Cpu::levels().take(if name == "float" { 1 } else { usize::MAX }) {
            for chunk in [usize::MAX, 7] {
                let [original, media_first] = RowOrder::ALL.map(|row_order| {
                    let options = EngineOptions { threads: 2, chunk, cpu, row_order, ..EngineOptions::default() };
                    Engine::new(&loaded, options).expect("an engine")
                });
                let what = |case: &str| format!("{name}, {case}, chunks of {chunk}, {}", cpu.level());
                for (case, prompt) in cases.iter().zip(&prompts) {
                    let [ours, theirs] = [&media_first, &original].map(|engine| alone(engine, prompt));
                    ours.equals(&theirs, name, &what(case));
                }
                let [ours, theirs] = [&media_first, &original].map(|engine| together(engine, &prompts));
                ours.equals(&theirs, name, &what("batch"));
                let messages = folder.turns();
                let turn = messages.iter().position(|m| m.role == "assistant").expect("an assistant's turn");
                let first = prepare(&loaded, &messages[..turn]);
                let whole = prepare(&loaded, &messages);
                let [ours, theirs] = [&media_first, &original].map(|engine| continued(engine, &first, &whole));
                ours.equals(&theirs, name, &what("second turn"));
            }
        }
        rows_do_move(&loaded, &prompts);
        if name == "quantised" {
            unmoved_modalities_are_noticed(&loaded, &prompts);
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// What came of computing something.
struct Computed {
    logits: Rows,
    /// All that the sequences remember: the debug form of a float tells all its bits.
    remembered: String,
    tokens: Vec<Vec<u32>>,
}

impl Computed {
    fn equals(&self, other: &Self, model: &str, what: &str) {
        assert_eq!(self.tokens, other.tokens, "{what}: tokens in another row order");
        let distance = distance(&self.logits, &other.logits);
        if model == "float" {
            assert!(distance < FLOAT_CLOSE, "{what}: another row order is {distance:e} away");
            return;
        }
        let same = bits(self.logits.as_slice()) == bits(other.logits.as_slice());
        assert!(same, "{what}: logits in another row order are {distance:e} away, not the same bits");
        assert!(self.remembered == other.remembered, "{what}: keys and values in another row order have other bits");
    }
}

fn alone(engine: &Engine, prompt: &Prompt) -> Computed {
    let (mut logits, sequences) = engine.all_logits_batch(&[prompt], None).expect("logits");
    let tokens = greedy_batch(engine, std::slice::from_ref(prompt), 6);
    Computed { logits: logits.remove(0), remembered: format!("{sequences:?}"), tokens }
}

fn together(engine: &Engine, prompts: &[Prompt]) -> Computed {
    let mut sequences: Vec<Sequence> = prompts.iter().map(|_| engine.sequence()).collect();
    let mut all: Vec<&mut Sequence> = sequences.iter_mut().collect();
    let logits = engine.prefill_batch(&mut all, &prompts.iter().collect::<Vec<_>>()).expect("logits");
    Computed { logits, remembered: format!("{sequences:?}"), tokens: greedy_batch(engine, prompts, 6) }
}

fn continued(engine: &Engine, first: &Prompt, whole: &Prompt) -> Computed {
    let mut sequence = engine.sequence();
    let mut logits = engine.prefill(&mut sequence, first).expect("logits");
    let vocabulary = logits.len();
    logits.extend(engine.prefill(&mut sequence, whole).expect("logits"));
    Computed { logits: Rows::from_vec(logits, vocabulary), remembered: format!("{sequence:?}"), tokens: Vec::new() }
}

/// Notes the order and the modalities of rows that reach a decoder's block.
#[derive(Default)]
struct Seen {
    order: Vec<u32>,
    modalities: Vec<Modality>,
}

impl SiteObserver for Seen {
    fn observe(&mut self, site: SiteId, _: &Rows, rows: SiteRows<'_>) {
        if site == SiteId::block(Tower::Language, 0, SiteKind::Qkv) {
            self.order.extend(&rows.pass.order);
            self.modalities.extend(rows.spans.iter().flat_map(|(modality, rows)| rows.map(move |_| modality)));
        }
    }
}

/// In a pass over a whole prompt the rows of media come first, each with its own modality.
fn rows_do_move(loaded: &LoadedModel, prompts: &[Prompt]) {
    let options = EngineOptions { threads: 2, row_order: RowOrder::ModalityFirst, ..EngineOptions::default() };
    let engine = Engine::new(loaded, options).expect("an engine");
    let mut moved = 0;
    for prompt in prompts {
        let mut seen = Seen::default();
        engine.all_logits_batch(&[prompt], Some(&mut seen)).expect("logits");
        let expected = modality_first(prompt);
        assert_eq!(seen.order, expected, "original indices of the rows computed");
        let truth = expected.iter().map(|row| modality_of(prompt, *row));
        assert_eq!(seen.modalities, truth.collect::<Vec<_>>(), "modalities of the rows computed");
        moved += usize::from(!seen.order.is_sorted());
    }
    assert!(moved > 0, "no case has rows that move");
}

/// By its medium, not by the spans that are to be tested.
fn modality_of(prompt: &Prompt, row: u32) -> Modality {
    let medium = prompt.media.iter().find(|media| media.has_row(row as usize));
    medium.map_or(Modality::Text, |media| media.kind.modality())
}

/// Pictures and videos, then sounds, then text, each in its order.
fn modality_first(prompt: &Prompt) -> Vec<u32> {
    let of = |modality| (0..prompt.ids.len() as u32).filter(move |row| modality_of(prompt, *row) == modality);
    [Modality::Vision, Modality::Audio, Modality::Text].into_iter().flat_map(of).collect()
}

/// Negative control: rows that move without their modalities are quantised by the wrong scales.
fn unmoved_modalities_are_noticed(loaded: &LoadedModel, prompts: &[Prompt]) {
    let prompt =
        prompts.iter().find(|p| p.media.first().is_some_and(|m| m.extent().start > 0)).expect("text before a picture");
    let decoder = &loaded.model.decoder;
    let embedded = decoder.embedding.forward(&prompt.ids);
    let rows = 0..prompt.ids.len();
    let order: Vec<usize> = modality_first(prompt).into_iter().map(|row| row as usize).collect();
    let run = |order: &[usize], spans: &ModalitySpans| {
        let picked = order.iter().flat_map(|row| embedded.row(*row)).copied().collect();
        let positions: Vec<_> = order.iter().map(|row| prompt.positions[*row]).collect();
        let pass = ForwardBatch {
            sequences: std::iter::once(0..order.len()).collect(),
            order: order.iter().map(|row| *row as u32).collect(),
            spans: spans.clone(),
            rope: decoder.rope.table(&positions),
            ..ForwardBatch::default()
        };
        let backend = CpuBackend::new(Cpu::detect());
        let mut cache = decoder.new_cache();
        let mut cx = ForwardContext::new(&backend, &pass).caching(vec![&mut cache]);
        let computed = decoder.forward(Rows::from_vec(picked, embedded.features()), &mut cx);
        let mut back = vec![Vec::new(); order.len()];
        for (at, row) in order.iter().enumerate() {
            back[*row] = bits(computed.row(at));
        }
        back
    };
    let straight = run(&rows.collect::<Vec<_>>(), &prompt.spans);
    let mut moved = ModalitySpans::default();
    order.iter().for_each(|row| moved.push(modality_of(prompt, *row as u32), 1));
    assert!(run(&order, &moved) == straight, "rows, positions and modalities moved together");
    assert!(run(&order, &prompt.spans) != straight, "nobody notices that modalities did not move");
}
