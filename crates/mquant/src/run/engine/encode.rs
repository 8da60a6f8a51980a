//! Images and videos through their tower: each once, small ones together.

use std::collections::HashMap;

use mquant_kernels::Rows;

use super::Engine;
use crate::input::vision_processor::Grid;
use crate::nn::{Cx, Watcher, again};
use crate::run::prompt::PlacedMedia;
use crate::run::{Prompt, Sequence};

/// Patches a vision pass takes at once, in whole frames; what leaves the tower does not depend on it.
const PATCHES_AT_ONCE: usize = 4096;

impl Engine {
    /// An image or video through its tower, with perhaps someone watching its sites: tokens × decoder features.
    pub fn encode(&self, media: &PlacedMedia, mut tap: Watcher<'_>) -> Rows {
        let Grid { t, h, w } = media.patches.grid;
        let frames_at_once = (PATCHES_AT_ONCE / (h * w)).max(1);
        let mut out: Option<Rows> = None;
        for from in (0..t).step_by(frames_at_once) {
            let frames = frames_at_once.min(t - from);
            let patches = media.patches.rows.range(from * h * w..(from + frames) * h * w).to_vec();
            let patches = Rows::from_vec(patches, media.patches.rows.features());
            let pass = self.layout.vision_pass(&[Grid { t: frames, h, w }]);
            let tap = again(&mut tap);
            let rows = self.threads.run(|| {
                let mut cx = Cx::new(&*self.backend, &pass).watched(tap);
                self.model.vision.forward(&patches, &mut cx)
            });
            match &mut out {
                Some(out) => out.append(&rows),
                None => out = Some(rows),
            }
        }
        out.expect("a grid has at least one frame")
    }

    /// Sees to it that each sequence has the features of every medium that has rows at or after its row of `from`, and of no
    /// medium that its prompt has not. Media that several prompts share pass their tower once, small ones together. Returns
    /// how many passed.
    pub(super) fn encode_missing(
        &self,
        sequences: &mut [&mut Sequence],
        prompts: &[&Prompt],
        from: &[usize],
        mut tap: Watcher<'_>,
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
        let mut features = HashMap::new();
        let mut rest = &missing[..];
        while let Some(first) = rest.first() {
            let mut patches = first.patches.rows.rows();
            // Who watches is shown one medium at a time.
            let fits = |media: &&&PlacedMedia| {
                patches += media.patches.rows.rows();
                tap.is_none() && patches <= PATCHES_AT_ONCE
            };
            let (together, after) = rest.split_at(1 + rest[1..].iter().take_while(fits).count());
            match together {
                [media] => {
                    features.insert(media.key, self.encode(media, again(&mut tap)));
                }
                several => features.extend(several.iter().map(|media| media.key).zip(self.encode_together(several))),
            }
            rest = after;
        }
        for ((sequence, prompt), row) in sequences.iter_mut().zip(prompts).zip(from) {
            for media in prompt.media.iter().filter(|m| m.rows.end > *row) {
                if let Some(rows) = features.get(&media.key).filter(|_| sequence.features_of(&media.key).is_none()) {
                    sequence.features.push((media.key, rows.clone()));
                }
            }
        }
        missing.len()
    }

    /// Several small media through their tower in one pass.
    fn encode_together(&self, media: &[&PlacedMedia]) -> Vec<Rows> {
        let features = media[0].patches.rows.features();
        let patches: Vec<f32> = media.iter().flat_map(|media| media.patches.rows.as_slice()).copied().collect();
        let grids: Vec<Grid> = media.iter().map(|media| media.patches.grid).collect();
        let pass = self.layout.vision_pass(&grids);
        let rows = self.threads.run(|| {
            let mut cx = Cx::new(&*self.backend, &pass);
            self.model.vision.forward(&Rows::from_vec(patches, features), &mut cx)
        });
        let mut at = 0;
        let mut part = |grid: &Grid| {
            let tokens = self.layout.tokens(*grid);
            at += tokens;
            Rows::from_vec(rows.range(at - tokens..at).to_vec(), rows.features())
        };
        grids.iter().map(&mut part).collect()
    }
}
