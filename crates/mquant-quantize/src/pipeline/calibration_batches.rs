//! The samples on their way through the model: what enters the next unit, for all samples.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use mquant_kernels::{Backend, Cpu, Matrix, Rows, Threads};

use super::unit::Working;
use mquant_model::input::Modality;
use mquant_model::input::ModalitySpans;
use mquant_model::input::vision_processor::Patches;
use mquant_model::models::Model;
use mquant_model::nn::{
    CacheFormat, ForwardBatch, ForwardContext, KvCache, ObserverRef, Tower, reborrow, side_by_side,
};
use mquant_model::run::{LoadedModel, MediaBatch, MediaKey, MediaLimits, MediaRows, PlacedMedia, Prompt};

/// Rows of a batch at most, unless one sample has more: enough for products to be fast.
const ROWS_AT_ONCE: usize = 2048;

/// Some sequences that pass a unit together.
#[derive(Debug)]
pub(super) struct Batch {
    /// What enters the unit.
    pub(super) x: Rows,
    pub(super) pass: ForwardBatch,
    /// The sample of each sequence.
    pub(super) samples: Vec<usize>,
    /// What branches of the unit's tower gave so far.
    pub(super) branches: Vec<Rows>,
}

/// A prompt with the tokens of its answer.
#[derive(Debug)]
pub(super) struct CalibrationPrompt {
    /// Where the sample comes from.
    pub(super) source: String,
    pub(super) prompt: Prompt,
    /// Rows whose scores the answer depends on.
    pub(super) scored: Range<usize>,
}

/// Where and how samples are computed.
pub(super) struct Runner<'a> {
    pub(super) backend: &'a dyn Backend,
    /// The instructions of the backend.
    pub(super) cpu: Cpu,
    pub(super) threads: &'a Threads,
    /// For the shape of caches only.
    pub(super) model: &'a Model,
}

impl Runner<'_> {
    /// What leaves a unit for a batch, with perhaps someone watching.
    pub(super) fn run(&self, unit: &Working, batch: &Batch, cache: CacheFormat, mut tap: ObserverRef<'_>) -> Rows {
        let decoder = &self.model.decoder;
        let mut caches: Vec<KvCache> = batch.pass.sequences.iter().map(|_| decoder.cache_of(cache)).collect();
        self.threads.run(|| {
            let mut cx = ForwardContext::new(self.backend, &batch.pass)
                .caching(caches.iter_mut().collect())
                .watched(reborrow(&mut tap));
            unit.forward(batch.x.clone(), &mut cx)
        })
    }
}

/// Every medium of the samples once, as rows of its tower; and where its tokens will be.
pub(super) struct CalibrationMedia {
    towers: BTreeMap<Tower, TowerBatches>,
    /// Tower of each medium, batch in it, and rows once they are restored.
    places: HashMap<MediaKey, (Tower, usize, Range<usize>)>,
}

#[derive(Default)]
struct TowerBatches {
    batches: Vec<Batch>,
    /// How the tokens of each batch are put back in order.
    made: Vec<MediaBatch>,
}

impl CalibrationMedia {
    /// The prompts forget their patches: from here on they are rows of batches.
    pub(super) fn new(loaded: &LoadedModel, prompts: &mut [CalibrationPrompt]) -> Self {
        let mut seen = HashSet::new();
        let each = prompts.iter().enumerate();
        let media: Vec<(usize, &PlacedMedia)> = each
            .flat_map(|(sample, shown)| shown.prompt.media.iter().map(move |media| (sample, media)))
            .filter(|(_, media)| seen.insert(media.key))
            .collect();
        let limits = MediaLimits { rows: ROWS_AT_ONCE, cut: false, share: true };
        let (mut towers, mut places) = (BTreeMap::new(), HashMap::new());
        for tower in loaded.model.encoders.iter().map(|encoder| encoder.tower) {
            let own: Vec<(usize, &PlacedMedia)> =
                media.iter().filter(|(_, media)| media.kind.tower() == tower).copied().collect();
            let rows: Vec<_> = own.iter().map(|(_, media)| (media.kind, &*media.patches)).collect();
            let mut made = MediaBatch::of(&*loaded.layout, tower, &rows, limits);
            let mut batches = Vec::new();
            for batch in &mut made {
                let mut samples = Vec::new();
                for piece in &batch.pieces {
                    let (sample, media) = own[piece.medium];
                    places.insert(media.key, (tower, batches.len(), piece.tokens.clone()));
                    samples.extend(std::iter::repeat_n(sample, piece.sequences));
                }
                let x = std::mem::replace(&mut batch.x, Rows::zeros(0, 1));
                let pass = std::mem::take(&mut batch.pass);
                batches.push(Batch { x, pass, samples, branches: Vec::new() });
            }
            towers.insert(tower, TowerBatches { batches, made });
        }
        for media in prompts.iter_mut().flat_map(|shown| &mut shown.prompt.media) {
            let rows = Rows::zeros(0, 1);
            media.patches = Arc::new(Patches { rows, times: Vec::new(), ..*media.patches });
        }
        Self { towers, places }
    }

    /// The batches of a tower.
    pub(super) fn batches(&mut self, tower: Tower) -> &mut Vec<Batch> {
        &mut self.towers.entry(tower).or_default().batches
    }

    /// The rows that left the encoders take their order among the tokens; there are no batches to compute any more.
    fn restore(&mut self) -> BTreeMap<Tower, Vec<Rows>> {
        let restored = |TowerBatches { batches, made }: TowerBatches| {
            let rows = batches.into_iter().map(|batch| side_by_side(batch.x, &batch.branches));
            rows.zip(&made).map(|(rows, made)| made.restore(rows)).collect()
        };
        std::mem::take(&mut self.towers).into_iter().map(|(tower, batches)| (tower, restored(batches))).collect()
    }
}

/// The samples where they enter the decoder: rows of the table, and of media in the places of their tokens.
pub(super) fn embed(
    model: &Model,
    table: &Matrix,
    prompts: &[CalibrationPrompt],
    media: &mut CalibrationMedia,
) -> Vec<Batch> {
    let encoded = media.restore();
    let features = table.cols();
    let mut batches = Vec::new();
    let mut at = 0;
    while at < prompts.len() {
        let (mut end, mut rows) = (at, 0);
        while end < prompts.len() && (end == at || rows + prompts[end].prompt.ids.len() <= ROWS_AT_ONCE) {
            rows += prompts[end].prompt.ids.len();
            end += 1;
        }
        let (mut x, mut sequences) = (Rows::zeros(rows, features), Vec::new());
        let (mut order, mut positions, mut spans) = (Vec::new(), Vec::new(), ModalitySpans::default());
        let (mut first, mut levels) = (0, MediaRows::default());
        for shown in &prompts[at..end] {
            let prompt = &shown.prompt;
            let count = prompt.ids.len();
            for (i, id) in prompt.ids.iter().enumerate() {
                table.read_rows(*id as usize..*id as usize + 1, x.row_mut(first + i));
            }
            for placed in &prompt.media {
                let (tower, batch, rows) = &media.places[&placed.key];
                for (to, from) in placed.rows_in(0..count) {
                    levels.embed(&mut x, first + to, encoded[tower][*batch].row(rows.start + from));
                }
            }
            sequences.push(first..first + count);
            order.extend(0..count as u32);
            positions.extend_from_slice(&prompt.positions);
            spans.extend(&prompt.spans, 0..count);
            first += count;
        }
        let pass = ForwardBatch {
            sequences,
            order,
            spans,
            rope: model.decoder.rope.table(&positions),
            deepstack: levels.deepstack(|row| row),
            ..ForwardBatch::default()
        };
        batches.push(Batch { x, pass, samples: (at..end).collect(), branches: Vec::new() });
        at = end;
    }
    batches
}

/// The rows whose scores count, where they enter the head.
pub(super) fn scored(model: &Model, batches: &[Batch], prompts: &[CalibrationPrompt]) -> Vec<Batch> {
    let of = |batch: &Batch| {
        let features = batch.x.features();
        let (mut values, mut sequences, mut order) = (Vec::new(), Vec::new(), Vec::new());
        let mut first = 0;
        for (sequence, sample) in batch.pass.sequences.iter().zip(&batch.samples) {
            let rows = &prompts[*sample].scored;
            values.extend_from_slice(batch.x.range(sequence.start + rows.start..sequence.start + rows.end));
            sequences.push(first..first + rows.len());
            order.extend(rows.clone().map(|row| row as u32));
            first += rows.len();
        }
        let x = Rows::from_vec(values, features);
        let rows = x.rows();
        let pass = ForwardBatch {
            sequences,
            order,
            spans: ModalitySpans::uniform(Modality::Text, rows),
            rope: model.decoder.rope.table(&[]),
            ..ForwardBatch::default()
        };
        Batch { x, pass, samples: batch.samples.clone(), branches: Vec::new() }
    };
    batches.iter().map(of).collect()
}
