//! Images, videos and sounds through their encoder: each once, small ones together.

use std::collections::HashMap;
use std::time::Instant;

use mquant_kernels::Rows;

use super::step::{Chunk, Input, StepItem};
use super::{Engine, StepStats};
use crate::input::MediaKind;
use crate::input::vision_processor::Patches;
use crate::nn::{ForwardContext, ObserverRef, Tower, reborrow};
use crate::run::PlacedMedia;
use crate::run::{MediaBatch, MediaLimits};

/// Rows that an encoder takes at once.
const ROWS_AT_ONCE: usize = 4096;

impl Engine {
    /// Media through their encoders, with an optional observer of the sites, which is shown one medium at a time: tokens ×
    /// decoder features of each.
    ///
    /// # Panics
    /// If the model has no tower that reads such media.
    pub fn encode(&self, media: &[&PlacedMedia], observer: ObserverRef<'_>) -> Vec<Rows> {
        self.encode_measured(media, observer).0
    }

    /// [`encode`](Self::encode), with the number of media and the time in each tower.
    fn encode_measured(&self, media: &[&PlacedMedia], mut observer: ObserverRef<'_>) -> (Vec<Rows>, StepStats) {
        let mut stats = StepStats { media: media.len(), ..StepStats::default() };
        let mut encoded: Vec<Option<Rows>> = media.iter().map(|_| None).collect();
        for tower in Tower::ALL {
            let started = Instant::now();
            let own: Vec<usize> = (0..media.len()).filter(|i| media[*i].kind.tower() == tower).collect();
            if own.is_empty() {
                continue;
            }
            let patches: Vec<_> = own.iter().map(|i| (media[*i].kind, &*media[*i].patches)).collect();
            let rows = self.encode_in(tower, &patches, reborrow(&mut observer));
            own.into_iter().zip(rows).for_each(|(i, rows)| encoded[i] = Some(rows));
            match tower {
                Tower::Vision => stats.vision += started.elapsed(),
                Tower::Audio => stats.audio += started.elapsed(),
                Tower::Language => {}
            }
        }
        (encoded.into_iter().map(|rows| rows.expect("every medium has a tower")).collect(), stats)
    }

    fn encode_in(&self, tower: Tower, patches: &[(MediaKind, &Patches)], mut observer: ObserverRef<'_>) -> Vec<Rows> {
        let encoder = self.model.encoder(tower).expect("a model has the towers of the media that it reads");
        let limits = MediaLimits { rows: ROWS_AT_ONCE, cut: true, share: observer.is_none() };
        let mut encoded: Vec<Option<Rows>> = patches.iter().map(|_| None).collect();
        for mut batch in MediaBatch::of(&*self.layout, tower, patches, limits) {
            let x = std::mem::replace(&mut batch.x, Rows::zeros(0, 1));
            let observer = reborrow(&mut observer);
            let rows = self.threads.run(|| {
                let mut cx = ForwardContext::new(&*self.backend, &batch.pass).watched(observer);
                encoder.forward(x, &mut cx)
            });
            let rows = batch.restore(rows);
            for piece in &batch.pieces {
                let own = Rows::from_vec(rows.range(piece.tokens.clone()).to_vec(), rows.features());
                match &mut encoded[piece.medium] {
                    Some(first) => first.append(&own),
                    none => *none = Some(own),
                }
            }
        }
        encoded.into_iter().map(|rows| rows.expect("a grid has at least one frame")).collect()
    }

    /// Gives each sequence the features of the media whose rows its chunk reaches, and takes those of media that its prompt
    /// does not have. A medium that several prompts share is encoded once. Returns how many were encoded, and the
    /// time in each tower.
    pub(super) fn encode_missing(
        &self,
        items: &mut [StepItem<'_>],
        chunks: &[(usize, Chunk)],
        observer: ObserverRef<'_>,
    ) -> StepStats {
        let reached = |(i, chunk): &(usize, Chunk), media: &PlacedMedia, items: &[StepItem<'_>]| {
            media.rows_in(chunk.from..chunk.to).next().is_some() && items[*i].sequence.features_of(&media.key).is_none()
        };
        let mut missing: Vec<&PlacedMedia> = Vec::new();
        for of @ (i, _) in chunks {
            let Input::Prompt(prompt) = items[*i].input else { continue };
            items[*i].sequence.features.retain(|(key, _)| prompt.media.iter().any(|media| media.key == *key));
            for media in prompt.media.iter().filter(|media| reached(of, media, items)) {
                if missing.iter().all(|other| other.key != media.key) {
                    missing.push(media);
                }
            }
        }
        if missing.is_empty() {
            return StepStats::default();
        }
        let (encoded, stats) = self.encode_measured(&missing, observer);
        let features: HashMap<_, _> = missing.iter().map(|media| media.key).zip(encoded).collect();
        for of @ (i, _) in chunks {
            let Input::Prompt(prompt) = items[*i].input else { continue };
            for media in &prompt.media {
                if reached(of, media, items) {
                    items[*i].sequence.features.push((media.key, features[&media.key].clone()));
                }
            }
        }
        stats
    }
}
