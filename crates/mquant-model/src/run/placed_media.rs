//! Media on their way into a prompt, and in their place there.

use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::input::MediaKind;
use crate::input::vision_processor::Patches;
use crate::models::MediaPiece;

/// What tells one medium from another: a hash of its patches and their arrangement.
pub type MediaKey = [u8; 32];

/// One image, video or sound and the rows it takes.
#[derive(Clone, Debug)]
pub struct PlacedMedia {
    /// Image, video or sound.
    pub kind: MediaKind,
    /// What its tower reads.
    pub patches: Arc<Patches>,
    /// Its rows in the prompt, in the order in which they leave the tower: one range, or several with text between them.
    pub rows: Vec<Range<usize>>,
    /// Equal for equal patches.
    pub key: MediaKey,
}

impl PlacedMedia {
    /// A medium that has no rows yet.
    pub(super) fn new(kind: MediaKind, patches: Patches) -> Self {
        let key = media_key(&patches);
        Self { kind, patches: Arc::new(patches), rows: Vec::new(), key }
    }

    /// Rows in the prompt.
    pub fn row_count(&self) -> usize {
        self.rows.iter().map(Range::len).sum()
    }

    /// The first row in the prompt, and the one after the last.
    pub fn extent(&self) -> Range<usize> {
        self.rows.first().map_or(0, |rows| rows.start)..self.rows.last().map_or(0, |rows| rows.end)
    }

    /// Whether a row of the prompt is one of its.
    pub fn has_row(&self, row: usize) -> bool {
        self.rows.iter().any(|rows| rows.contains(&row))
    }

    /// Rows of the prompt among `rows`, each with its row of the tower.
    pub fn rows_in(&self, rows: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
        let mut first = 0;
        let each = self.rows.iter().flat_map(move |own| {
            let of_tower = first;
            first += own.len();
            own.clone().enumerate().map(move |(i, row)| (row, of_tower + i))
        });
        each.filter(move |(row, _)| rows.contains(row))
    }
}

/// A medium on its way into a prompt.
#[derive(Clone, Debug)]
pub struct Medium {
    /// What it is.
    pub kind: MediaKind,
    /// What its tower reads.
    pub patches: Patches,
    /// The sound of a video.
    pub sound: Option<Patches>,
}

impl Medium {
    pub(super) fn piece(&self) -> MediaPiece {
        piece_of(self.kind, &self.patches)
    }
}

impl From<(MediaKind, Patches)> for Medium {
    fn from((kind, patches): (MediaKind, Patches)) -> Self {
        Self { kind, patches, sound: None }
    }
}

/// What a layout is told of a medium.
pub(super) fn piece_of(kind: MediaKind, patches: &Patches) -> MediaPiece {
    MediaPiece { kind, grid: patches.grid, seconds_per_step: patches.seconds_per_step }
}

fn media_key(patches: &Patches) -> MediaKey {
    let mut hash = Sha256::new();
    for side in [patches.grid.t, patches.grid.h, patches.grid.w] {
        hash.update((side as u64).to_le_bytes());
    }
    hash.update(patches.seconds_per_step.to_le_bytes());
    hash.update(bytemuck::cast_slice(patches.rows.as_slice()));
    hash.finalize().into()
}
