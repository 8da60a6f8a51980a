//! A conversation as rows: token ids with placeholders repeated for every media row, positions, modalities, patches.

use std::collections::VecDeque;

use super::placed_media::{Medium, PlacedMedia, piece_of};
use super::read_media::{read_audio, read_image, read_video};
use super::{LoadedModel, RunError};
use crate::error::Result;
use crate::input::chat_template::AddGenerationPrompt;
use crate::input::messages::{Content, Message};
use crate::input::prompt::RenderedChat;
use crate::input::vision_processor::{Patches, ProcessorError};
use crate::input::{MediaKind, Modality, ModalitySpans};
use crate::models::{Expanded, MediaLayout, Piece};
use crate::nn::Position;

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
        check_heard(&*loaded.layout, messages)?;
        let mut chat = RenderedChat::new(&loaded.template, &loaded.tokenizer, messages, add)?;
        let mut media = Vec::new();
        for content in messages.iter().flat_map(Message::media) {
            match content {
                Content::Image(source) => media.push(Medium::from((MediaKind::Image, read_image(loaded, source)?))),
                Content::Video(video) => media.push(Medium {
                    kind: MediaKind::Video,
                    patches: read_video(loaded, video)?,
                    sound: video.audio.as_ref().map(|source| read_audio(loaded, source)).transpose()?,
                }),
                Content::Audio(source) => media.push(Medium::from((MediaKind::Audio, read_audio(loaded, source)?))),
                Content::Text(_) => {}
            }
        }
        let spelling = |id| loaded.tokenizer.token(id).unwrap_or_default();
        for kind in MediaKind::ALL {
            let Some(placeholder) = loaded.layout.placeholder(kind) else { continue };
            let own = media.iter().filter(|medium| medium.kind == kind);
            let written: Vec<Option<String>> =
                own.map(|medium| loaded.layout.written(kind, &medium.patches, &spelling)).collect();
            chat.replace(&spelling(placeholder), &written);
        }
        let ids = chat.encode(&loaded.template, &loaded.tokenizer)?;
        Ok(Self::arrange(&*loaded.layout, &ids, media)?)
    }

    /// Expands each placeholder in `ids` into what its medium becomes.
    ///
    /// # Errors
    /// If placeholders and media do not match in number, or no token is left.
    pub fn arrange(layout: &dyn MediaLayout, ids: &[u32], media: Vec<impl Into<Medium>>) -> Result<Self, RunError> {
        let media: Vec<Medium> = media.into_iter().map(Into::into).collect();
        for kind in MediaKind::ALL {
            let placeholder = layout.placeholder(kind);
            let found = ids.iter().filter(|id| Some(**id) == placeholder).count();
            let of = |medium: &Medium| layout.expand(placeholder.unwrap_or_default(), medium.piece()).len();
            let expected: usize = media.iter().filter(|medium| medium.kind == kind).map(of).sum();
            if found != expected {
                return Err(RunError::Placeholders { kind, placeholders: found, media: expected });
            }
        }
        if ids.is_empty() {
            return Err(RunError::Empty);
        }
        // Template order decides, so a template may name videos before images.
        let mut queues = MediaKind::ALL.map(|_| Vec::new());
        for medium in media.into_iter().rev() {
            let kind = MediaKind::ALL.iter().position(|kind| *kind == medium.kind).expect("one of all kinds");
            queues[kind].push(medium);
        }
        let mut prompt = Self {
            ids: Vec::new(),
            positions: Vec::new(),
            next_position: 0,
            spans: ModalitySpans::default(),
            media: Vec::new(),
        };
        let mut pieces = Vec::new();
        // What the next placeholders of each kind become, and the medium they belong to.
        let mut waiting = MediaKind::ALL.map(|_| VecDeque::new());
        for id in ids {
            let kind = MediaKind::ALL.iter().position(|kind| layout.placeholder(*kind) == Some(*id));
            let Some(kind) = kind else {
                prompt.push_text(&[*id], &mut pieces);
                continue;
            };
            if waiting[kind].is_empty()
                && let Some(medium) = queues[kind].pop()
            {
                if let Some(sound) = medium.sound {
                    prompt.push_sound_track(layout, medium.patches, sound, &mut pieces)?;
                    continue;
                }
                let (index, expanded) = (prompt.media.len(), layout.expand(*id, medium.piece()));
                waiting[kind].extend(expanded.into_iter().map(|expanded| (index, expanded)));
                prompt.media.push(PlacedMedia::new(medium.kind, medium.patches));
            }
            match waiting[kind].pop_front() {
                Some((medium, expanded)) => prompt.push_media(medium, expanded, &mut pieces),
                None => prompt.push_text(&[*id], &mut pieces),
            }
        }
        (prompt.positions, prompt.next_position) = layout.positions(&pieces);
        Ok(prompt)
    }

    fn push_text(&mut self, ids: &[u32], pieces: &mut Vec<Piece>) {
        self.ids.extend_from_slice(ids);
        self.spans.push(Modality::Text, ids.len());
        match pieces.last_mut() {
            Some(Piece::Text(tokens)) => *tokens += ids.len(),
            _ => pieces.push(Piece::Text(ids.len())),
        }
    }

    fn push_media(&mut self, medium: usize, expanded: Vec<Expanded>, pieces: &mut Vec<Piece>) {
        for expanded in expanded {
            match expanded {
                Expanded::Text(ids) => self.push_text(&ids, pieces),
                Expanded::Rows { id, count, media } => {
                    let start = self.ids.len();
                    self.media[medium].rows.push(start..start + count);
                    self.ids.extend(std::iter::repeat_n(id, count));
                    self.spans.push(media.kind.modality(), count);
                    pieces.push(Piece::Media(media));
                }
            }
        }
    }

    /// A video and its sound by turns.
    fn push_sound_track(
        &mut self,
        layout: &dyn MediaLayout,
        video: Patches,
        sound: Patches,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), RunError> {
        let [of_video, of_sound] = [piece_of(MediaKind::Video, &video), piece_of(MediaKind::Audio, &sound)];
        let videos = self.media.iter().filter(|media| media.kind == MediaKind::Video).count();
        let track = layout.sound_track(&of_video, &of_sound).ok_or(RunError::SoundTrack { video: videos + 1 })?;
        let first = self.media.len();
        self.media.extend([PlacedMedia::new(MediaKind::Video, video), PlacedMedia::new(MediaKind::Audio, sound)]);
        let [before, after] = track.marks;
        self.ids.push(before);
        self.spans.push(Modality::Text, 1);
        for (kind, count) in track.runs {
            let id = layout.placeholder(kind).expect("a layout that places sound inside videos reads both");
            let start = self.ids.len();
            self.media[first + usize::from(kind == MediaKind::Audio)].rows.push(start..start + count);
            self.ids.extend(std::iter::repeat_n(id, count));
            self.spans.push(kind.modality(), count);
        }
        self.ids.push(after);
        self.spans.push(Modality::Text, 1);
        pieces.push(Piece::SoundTrack { video: of_video, sound: of_sound });
        Ok(())
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
        self.media.iter().find(|media| media.has_row(row))
    }
}

/// Refuses sounds of a model that reads none, before a template is rendered or a file is opened.
fn check_heard(layout: &dyn MediaLayout, messages: &[Message]) -> Result<()> {
    let is_sound = |content: &Content| match content {
        Content::Video(video) => video.audio.is_some(),
        Content::Audio(_) => true,
        Content::Image(_) | Content::Text(_) => false,
    };
    let has_sound = messages.iter().flat_map(Message::media).any(is_sound);
    if has_sound && layout.placeholder(MediaKind::Audio).is_none() {
        return Err(ProcessorError::NoAudio.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mquant_kernels::Rows;

    use super::*;
    use crate::input::vision_processor::Grid;
    use crate::models::{EncoderBatch, MediaPiece};
    use crate::nn::Tower;

    /// A family that cuts pictures into slices of one patch row, with a mark after each.
    struct Slices;

    const PICTURE: u32 = 7;
    const SOUND: u32 = 9;
    const MARK: u32 = 8;

    impl MediaLayout for Slices {
        fn placeholder(&self, kind: MediaKind) -> Option<u32> {
            match kind {
                MediaKind::Image => Some(PICTURE),
                MediaKind::Video => None,
                MediaKind::Audio => Some(SOUND),
            }
        }

        fn tokens(&self, _: MediaKind, grid: Grid) -> usize {
            grid.patches()
        }

        fn expand(&self, placeholder: u32, media: MediaPiece) -> Vec<Vec<Expanded>> {
            let slice = MediaPiece { grid: Grid { t: 1, h: 1, w: media.grid.w }, ..media };
            let rows = Expanded::Rows { id: placeholder, count: media.grid.w, media: slice };
            let slices = (0..media.grid.h).flat_map(|_| [rows.clone(), Expanded::Text(vec![MARK])]).collect();
            if media.grid.t == 1 { vec![slices] } else { vec![vec![rows]; media.grid.t] }
        }

        fn positions(&self, pieces: &[Piece]) -> (Vec<Position>, u32) {
            let rows = pieces.iter().map(|piece| match piece {
                Piece::Text(tokens) => *tokens,
                Piece::Media(media) => self.tokens(media.kind, media.grid),
                Piece::SoundTrack { .. } => unreachable!("no sound"),
            });
            let rows = rows.sum::<usize>() as u32;
            ((0..rows).map(|row| [row; 3]).collect(), rows)
        }

        fn encoder_batch(&self, _: Tower, _: &[Grid]) -> EncoderBatch {
            unreachable!("nothing is computed")
        }
    }

    fn picture(h: usize, w: usize) -> (MediaKind, Patches) {
        let rows = Rows::zeros(h * w, 1);
        (MediaKind::Image, Patches { rows, grid: Grid { t: 1, h, w }, seconds_per_step: 0.0, times: Vec::new() })
    }

    #[test]
    fn a_placeholder_may_become_rows_and_text() {
        let prompt = Prompt::arrange(&Slices, &[1, PICTURE, 2, PICTURE], vec![picture(2, 3), picture(1, 1)]).unwrap();
        let p = PICTURE;
        assert_eq!(prompt.ids, [1, p, p, p, MARK, p, p, p, MARK, 2, p, MARK]);
        assert_eq!(prompt.positions.len(), prompt.ids.len());
        let [first, second] = &prompt.media[..] else { panic!("two pictures") };
        assert_eq!(first.rows, [1..4, 5..8]);
        assert_eq!((first.row_count(), first.extent()), (6, 1..8));
        assert!(!first.has_row(4) && first.has_row(5));
        assert_eq!(first.rows_in(2..7).collect::<Vec<_>>(), [(2, 1), (3, 2), (5, 3), (6, 4)]);
        assert_eq!(second.rows, std::slice::from_ref(&(10..11)));
        let text: usize = prompt.spans.iter().filter(|(m, _)| *m == Modality::Text).map(|(_, rows)| rows.len()).sum();
        assert_eq!(text, 5);
    }

    #[test]
    fn a_medium_may_have_several_placeholders() {
        let grid = Grid { t: 2, h: 1, w: 2 };
        let frames = Patches { rows: Rows::zeros(4, 1), grid, seconds_per_step: 0.0, times: Vec::new() };
        let media = vec![picture(1, 1), (MediaKind::Image, frames.clone())];
        let prompt = Prompt::arrange(&Slices, &[1, PICTURE, 2, PICTURE, 3, PICTURE, 4], media).unwrap();
        let p = PICTURE;
        assert_eq!(prompt.ids, [1, p, MARK, 2, p, p, 3, p, p, 4]);
        let [first, second] = &prompt.media[..] else { panic!("two media") };
        assert_eq!(first.rows, std::slice::from_ref(&(1..2)));
        assert_eq!(second.rows, [4..6, 7..9]);
        let refused = Prompt::arrange(&Slices, &[PICTURE], vec![(MediaKind::Image, frames)]).unwrap_err();
        assert!(matches!(refused, RunError::Placeholders { kind: MediaKind::Image, placeholders: 1, media: 2 }));
    }

    #[test]
    fn a_sound_track_that_cannot_be_placed_is_refused_by_the_number_of_its_video() {
        struct Hears;
        impl MediaLayout for Hears {
            fn placeholder(&self, kind: MediaKind) -> Option<u32> {
                (kind == MediaKind::Video).then_some(PICTURE)
            }

            fn tokens(&self, _: MediaKind, grid: Grid) -> usize {
                grid.patches()
            }

            fn positions(&self, _: &[Piece]) -> (Vec<Position>, u32) {
                unreachable!("refused before")
            }

            fn encoder_batch(&self, _: Tower, _: &[Grid]) -> EncoderBatch {
                unreachable!("nothing is computed")
            }
        }
        let [silent, sound] = [picture(1, 1).1, picture(1, 1).1];
        let video = |sound| Medium { kind: MediaKind::Video, patches: silent.clone(), sound };
        let refused = Prompt::arrange(&Hears, &[PICTURE, PICTURE], vec![video(None), video(Some(sound))]).unwrap_err();
        assert!(matches!(refused, RunError::SoundTrack { video: 2 }), "{refused}");
    }

    #[test]
    fn a_kind_that_the_model_does_not_read_is_refused() {
        let refused = Prompt::arrange(&Slices, &[1], vec![(MediaKind::Video, picture(1, 1).1)]).unwrap_err();
        assert!(matches!(refused, RunError::Placeholders { kind: MediaKind::Video, placeholders: 0, media: 1 }));
    }
}
