//! One step of several sequences: chunks of prompts and single tokens in the same pass.

use std::time::Instant;

use mquant_kernels::Rows;

use super::{Engine, StepStats, check_finite, check_stream};
use crate::nn::{ForwardBatch, ForwardContext, Modality, ModalitySpans, ObserverRef, Position, reborrow};
use crate::run::packed_batch::{MediaRows, PackedBatch, SequenceChunk};
use crate::run::{Prompt, RunError, Sequence};

/// What a sequence computes next.
#[derive(Clone, Copy, Debug)]
pub enum Input<P> {
    /// What it does not remember of a prompt, as far as a step has room.
    Prompt(P),
    /// One token.
    Token(u32),
}

/// A sequence and what it computes in a step.
#[derive(Debug)]
pub struct StepItem<'a> {
    /// The sequence.
    pub sequence: &'a mut Sequence,
    /// What it computes.
    pub input: Input<&'a Prompt>,
}

/// What a step made of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum Stepped {
    /// Rows of its prompt are left for another step.
    Prefilling,
    /// Logits of the token that follows, one for each entry of the vocabulary.
    Logits(Vec<f32>),
}

/// The rows of an item that a step computes: `from` rows of the sequence stay, those up to `to` are computed.
pub(super) struct Chunk {
    pub(super) from: usize,
    pub(super) to: usize,
    positions: Vec<Position>,
    spans: ModalitySpans,
}

/// A chunk where it enters the decoder.
struct Embedded {
    x: Rows,
    media: MediaRows,
}

impl Engine {
    /// One step of every sequence, all in one pass: a token, or as many rows of a prompt as the engine's chunk has room for
    /// beside the others. One result for each item, in order: a sequence that fails takes no other with it. Media whose rows
    /// are reached pass their tower first.
    ///
    /// After a panic that a caller catches, every sequence is as it was before the step.
    ///
    /// # Errors
    /// For each sequence: [`RunError::Context`] if it does not fit the context (it stays as it was);
    /// [`RunError::ActivationsNotFinite`] or [`RunError::NotFinite`] if its activations or logits are not finite (its rows cannot
    /// be used).
    pub fn step(&self, items: &mut [StepItem<'_>]) -> (Vec<Result<Stepped, RunError>>, StepStats) {
        let (mut hidden, mut stats) = self.hidden(items, None);
        let started = Instant::now();
        for (item, rows) in items.iter().zip(&mut hidden) {
            if let Ok(Some(computed)) = rows
                && let Err(e) = check_stream(computed, item.sequence.len())
            {
                *rows = Err(e);
            }
        }
        let ended = |item: &StepItem<'_>| match item.input {
            Input::Prompt(prompt) => item.sequence.len() == prompt.ids.len(),
            Input::Token(_) => true,
        };
        let last: Vec<&[f32]> = items
            .iter()
            .zip(&hidden)
            .filter(|(item, _)| ended(item))
            .filter_map(|(_, rows)| rows.as_ref().ok()?.as_ref())
            .map(|rows| rows.row(rows.rows() - 1))
            .collect();
        let logits = (!last.is_empty()).then(|| self.logits(&Rows::from_vec(last.concat(), last[0].len()), None));
        let mut row = 0;
        let stepped = items.iter().zip(hidden).map(|(item, rows)| {
            if rows?.is_none() || !ended(item) {
                return Ok(Stepped::Prefilling);
            }
            let own = logits.as_ref().expect("a row has ended").row(row);
            row += 1;
            check_finite(own, item.sequence.len())?;
            Ok(Stepped::Logits(own.to_vec()))
        });
        let stepped = stepped.collect();
        stats.decoder += started.elapsed();
        (stepped, stats)
    }

    /// [`step`](Self::step) up to the head: of each item the stream after the last block of the rows computed, in original
    /// order; None where the step had no room for it.
    pub(super) fn hidden(
        &self,
        items: &mut [StepItem<'_>],
        mut observer: ObserverRef<'_>,
    ) -> (Vec<Result<Option<Rows>, RunError>>, StepStats) {
        let started = Instant::now();
        let mut results: Vec<Result<Option<Rows>, RunError>> = Vec::with_capacity(items.len());
        // Tokens first: a long prompt does not stop sequences that decode.
        let tokens = items.iter().filter(|item| matches!(item.input, Input::Token(_))).count();
        let mut room = self.chunk.saturating_sub(tokens).max(1);
        let mut chunks = Vec::new();
        for (i, item) in items.iter_mut().enumerate() {
            let chunk = self.chunk(item, room);
            if let (Ok(Some(chunk)), Input::Prompt(_)) = (&chunk, item.input) {
                room -= chunk.to - chunk.from;
            }
            results.push(chunk.map(|chunk| {
                chunks.extend(chunk.map(|chunk| (i, chunk)));
                None
            }));
        }
        let mut stats = self.encode_missing(items, &chunks, reborrow(&mut observer));
        stats.rows = chunks.iter().map(|(_, chunk)| chunk.to - chunk.from).sum();
        let hidden = self.pass(items, &chunks, observer);
        for ((i, chunk), hidden) in chunks.iter().zip(hidden) {
            // Only now: a sequence never counts rows that a panic kept from being computed. What these left in its cache lies
            // beyond the counted rows, where nothing reads before it is written again.
            match items[*i].input {
                Input::Prompt(prompt) => items[*i].sequence.extend(prompt, chunk.to),
                Input::Token(id) => items[*i].sequence.push(id),
            }
            results[*i] = Ok(Some(hidden));
        }
        stats.decoder = started.elapsed() - stats.vision - stats.audio;
        (results, stats)
    }

    /// What an item computes when prompts have `room` for so many rows.
    fn chunk(&self, item: &mut StepItem<'_>, room: usize) -> Result<Option<Chunk>, RunError> {
        let sequence = &mut *item.sequence;
        match item.input {
            Input::Prompt(prompt) => {
                self.check_fits(prompt.ids.len(), prompt.ids.len())?;
                let from = sequence.keep_common(prompt);
                let to = from + room.min(prompt.ids.len() - from);
                if from == to {
                    return Ok(None);
                }
                sequence.cache.reserve(prompt.ids.len() - from);
                let mut spans = ModalitySpans::default();
                spans.extend(&prompt.spans, from..to);
                Ok(Some(Chunk { from, to, positions: prompt.positions[from..to].to_vec(), spans }))
            }
            Input::Token(_) => {
                let from = sequence.len();
                self.check_fits(from + 1, from)?;
                let positions = vec![sequence.next_position()];
                Ok(Some(Chunk { from, to: from + 1, positions, spans: ModalitySpans::uniform(Modality::Text, 1) }))
            }
        }
    }

    /// One pass over chunks: of each the stream after the last block.
    fn pass(&self, items: &mut [StepItem<'_>], chunks: &[(usize, Chunk)], mut observer: ObserverRef<'_>) -> Vec<Rows> {
        if chunks.is_empty() {
            return Vec::new();
        }
        let mut of_item = chunks.iter().peekable();
        let mut works = Vec::with_capacity(chunks.len());
        for (i, item) in items.iter_mut().enumerate() {
            if let Some((_, chunk)) = of_item.next_if(|(of, _)| *of == i) {
                let Embedded { x, media } = self.embed(item, chunk);
                let Chunk { from, positions, spans, .. } = chunk;
                works.push(SequenceChunk {
                    cache: &mut item.sequence.cache,
                    start: *from,
                    x,
                    positions,
                    spans: spans.clone(),
                    media,
                });
            }
        }
        let features = self.model.decoder.embedding.0.cols();
        let PackedBatch { x, positions, spans, order, sequences, caches, places, deepstack } =
            PackedBatch::of(works, self.row_order, features);
        let rope = self.model.decoder.rope.table(&positions);
        let pass = ForwardBatch { sequences, order, spans, rope, deepstack, ..ForwardBatch::default() };
        let hidden = self.threads.run(|| {
            let mut cx = ForwardContext::new(&*self.backend, &pass).caching(caches).watched(reborrow(&mut observer));
            self.model.decoder.forward(x, &mut cx)
        });
        let hidden = places.restore(hidden);
        pass.sequences.iter().map(|rows| Rows::from_vec(hidden.range(rows.clone()).to_vec(), features)).collect()
    }

    /// The beginning of the stream: token embeddings, and media features where placeholders stand.
    fn embed(&self, item: &StepItem<'_>, chunk: &Chunk) -> Embedded {
        let Chunk { from, to, .. } = *chunk;
        let prompt = match item.input {
            Input::Token(id) => {
                return Embedded { x: self.model.decoder.embedding.forward(&[id]), media: MediaRows::default() };
            }
            Input::Prompt(prompt) => prompt,
        };
        let mut x = self.model.decoder.embedding.forward(&prompt.ids[from..to]);
        let mut media = MediaRows::default();
        for placed in &prompt.media {
            for (row, of_tower) in placed.rows_in(from..to) {
                let features = item.sequence.features_of(&placed.key).expect("encoded before its rows are embedded");
                media.embed(&mut x, row - from, features.row(of_tower));
            }
        }
        Embedded { x, media }
    }
}
