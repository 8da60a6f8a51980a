//! A conversation as rows: token ids with placeholders repeated for every media row, positions, modalities, patches.

use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{LoadedModel, RunError};
use crate::error::Result;
use crate::input::chat_template::AddGenerationPrompt;
use crate::input::image::{self, RgbImage};
use crate::input::messages::{Content, MediaSource, Message};
use crate::input::prompt::encode_chat;
use crate::input::video;
use crate::input::vision_processor::Patches;
use crate::input::{Modality, ModalitySpans};
use crate::models::{MediaKind, MediaPiece, Piece};
use crate::nn::Position;

/// What tells one medium from another: a hash of its patches and their arrangement.
pub type MediaKey = [u8; 32];

/// One image or video and the rows it takes.
#[derive(Clone, Debug)]
pub struct PlacedMedia {
    /// Image or video.
    pub kind: MediaKind,
    /// What the vision tower reads.
    pub patches: Arc<Patches>,
    /// Its rows in the prompt.
    pub rows: Range<usize>,
    /// Equal for equal patches.
    pub key: MediaKey,
}

/// A conversation, ready to be computed.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// One id a row; media rows hold their placeholder.
    pub ids: Vec<u32>,
    /// One position a row.
    pub positions: Vec<Position>,
    /// Position of the row that would follow.
    pub next_position: u32,
    /// Modality of each row.
    pub spans: ModalitySpans,
    /// In row order.
    pub media: Vec<PlacedMedia>,
}

impl Prompt {
    pub(super) fn prepare(loaded: &LoadedModel, messages: &[Message], add: AddGenerationPrompt) -> Result<Self> {
        let ids = encode_chat(&loaded.template, &loaded.tokenizer, messages, add)?;
        let mut media = Vec::new();
        for content in messages.iter().flat_map(Message::media) {
            match content {
                Content::Image(source) => media.push((MediaKind::Image, read_image(loaded, source)?)),
                Content::Video(source) => media.push((MediaKind::Video, read_video(loaded, source)?)),
                Content::Text(_) => {}
            }
        }
        Ok(Self::arrange(loaded, &ids, media)?)
    }

    /// Repeats each placeholder in `ids` for the rows of its medium.
    ///
    /// # Errors
    /// If placeholders and media do not match in number, or no token is left.
    pub fn arrange(loaded: &LoadedModel, ids: &[u32], media: Vec<(MediaKind, Patches)>) -> Result<Self, RunError> {
        let layout = &*loaded.layout;
        for kind in [MediaKind::Image, MediaKind::Video] {
            let placeholders = ids.iter().filter(|id| **id == layout.placeholder(kind)).count();
            let given = media.iter().filter(|(k, _)| *k == kind).count();
            if placeholders != given {
                return Err(RunError::Placeholders { kind, placeholders, media: given });
            }
        }
        if ids.is_empty() {
            return Err(RunError::Empty);
        }
        // Template order decides, so a template may name videos before images.
        let mut queues = [MediaKind::Image, MediaKind::Video].map(|kind| (kind, Vec::new()));
        for (kind, patches) in media.into_iter().rev() {
            queues.iter_mut().filter(|(k, _)| *k == kind).for_each(|(_, queue)| queue.push(patches.clone()));
        }
        let mut prompt = Self {
            ids: Vec::new(),
            positions: Vec::new(),
            next_position: 0,
            spans: ModalitySpans::default(),
            media: Vec::new(),
        };
        let mut pieces = Vec::new();
        for id in ids {
            let queue = queues.iter_mut().find(|(kind, _)| layout.placeholder(*kind) == *id);
            let Some((kind, patches)) = queue.and_then(|(kind, queue)| Some((*kind, queue.pop()?))) else {
                prompt.ids.push(*id);
                prompt.spans.push(Modality::Text, 1);
                match pieces.last_mut() {
                    Some(Piece::Text(n)) => *n += 1,
                    _ => pieces.push(Piece::Text(1)),
                }
                continue;
            };
            let (start, count) = (prompt.ids.len(), layout.tokens(patches.grid));
            prompt.ids.extend(std::iter::repeat_n(*id, count));
            prompt.spans.push(Modality::Vision, count);
            pieces.push(Piece::Media(MediaPiece { grid: patches.grid, seconds_per_step: patches.seconds_per_step }));
            let key = media_key(&patches);
            prompt.media.push(PlacedMedia { kind, patches: Arc::new(patches), rows: start..start + count, key });
        }
        (prompt.positions, prompt.next_position) = layout.positions(&pieces);
        Ok(prompt)
    }

    /// Adds tokens of text at the end, such as an answer.
    pub fn extend_text(&mut self, ids: &[u32]) {
        self.ids.extend_from_slice(ids);
        self.spans.push(Modality::Text, ids.len());
        for _ in ids {
            self.positions.push([self.next_position; 3]);
            self.next_position += 1;
        }
    }

    /// The medium a row belongs to.
    pub(super) fn media_of(&self, row: usize) -> Option<&PlacedMedia> {
        self.media.iter().find(|m| m.rows.contains(&row))
    }
}

fn read_image(loaded: &LoadedModel, source: &MediaSource) -> Result<Patches> {
    let image: RgbImage = match source {
        MediaSource::Path(path) => image::open(path, &loaded.image_limits)?,
        MediaSource::Bytes(bytes) => image::decode(bytes, &loaded.image_limits)?,
    };
    Ok(loaded.processor.image(&image)?)
}

fn read_video(loaded: &LoadedModel, source: &MediaSource) -> Result<Patches> {
    let frames = match source {
        MediaSource::Path(path) => video::open(path, &loaded.video_limits)?,
        MediaSource::Bytes(bytes) => video::decode(bytes, &loaded.video_limits)?,
    };
    Ok(loaded.processor.video(&frames)?)
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
