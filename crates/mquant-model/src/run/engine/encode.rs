//! Images and videos through their encoder: each once, small ones together.

use std::collections::HashMap;

use mquant_kernels::Rows;

use super::Engine;
use crate::input::vision_processor::Patches;
use crate::nn::{Cx, Tower, Watcher, again};
use crate::run::prompt::PlacedMedia;
use crate::run::{MediaBatch, MediaLimits, Prompt, Sequence};

/// Patches that an encoder takes at once.
const PATCHES_AT_ONCE: usize = 4096;

impl Engine {
    /// Media through their encoder, with perhaps someone watching its sites, who is shown one medium at a time: tokens ×
    /// decoder features of each.
    ///
    /// # Panics
    /// If the model has no vision tower.
    pub fn encode(&self, media: &[&PlacedMedia], mut tap: Watcher<'_>) -> Vec<Rows> {
        let patches: Vec<&Patches> = media.iter().map(|media| &*media.patches).collect();
        let limits = MediaLimits { patches: PATCHES_AT_ONCE, cut_frames: true, share: tap.is_none() };
        let mut encoded: Vec<Option<Rows>> = media.iter().map(|_| None).collect();
        let encoder = self.model.encoder(Tower::Vision).expect("a model that reads images has a vision tower");
        for mut batch in MediaBatch::of(&*self.layout, &patches, limits) {
            let x = std::mem::replace(&mut batch.x, Rows::zeros(0, 1));
            let tap = again(&mut tap);
            let rows = self.threads.run(|| {
                let mut cx = Cx::new(&*self.backend, &batch.pass).watched(tap);
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

    /// Gives each sequence the features of every medium that has rows at or after its row of `from`, and takes those of media
    /// that its prompt does not have. A medium that several prompts share is encoded once. Returns how many were encoded.
    pub(super) fn encode_missing(
        &self,
        sequences: &mut [&mut Sequence],
        prompts: &[&Prompt],
        from: &[usize],
        tap: Watcher<'_>,
    ) -> usize {
        let mut missing: Vec<&PlacedMedia> = Vec::new();
        for ((sequence, prompt), row) in sequences.iter_mut().zip(prompts).zip(from) {
            sequence.features.retain(|(key, _)| prompt.media.iter().any(|m| m.key == *key));
            for media in prompt.media.iter().filter(|m| m.rows.end > *row && sequence.features_of(&m.key).is_none()) {
                if missing.iter().all(|other| other.key != media.key) {
                    missing.push(media);
                }
            }
        }
        if missing.is_empty() {
            return 0;
        }
        let features: HashMap<_, _> = missing.iter().map(|media| media.key).zip(self.encode(&missing, tap)).collect();
        for ((sequence, prompt), row) in sequences.iter_mut().zip(prompts).zip(from) {
            for media in prompt.media.iter().filter(|m| m.rows.end > *row) {
                if let Some(rows) = features.get(&media.key).filter(|_| sequence.features_of(&media.key).is_none()) {
                    sequence.features.push((media.key, rows.clone()));
                }
            }
        }
        missing.len()
    }
}
