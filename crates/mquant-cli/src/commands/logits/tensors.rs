//! The tensors of the file, by the reference implementation's names.

use std::path::Path;

use mquant::checkpoint::{SafetensorsWriter, StoredDtype, TensorShape, WriteError};
use mquant::input::MediaKind;
use mquant::kernels::Rows;
use mquant::run::Prompt;

use super::TensorRow;

/// Values gathered before they are written.
const AT_ONCE: usize = 1 << 16;

/// A tensor to be written.
#[derive(Debug)]
pub(super) struct Tensor<'a> {
    name: String,
    shape: Vec<usize>,
    values: Values<'a>,
}

#[derive(Debug)]
enum Values<'a> {
    Whole(Vec<i32>),
    /// Pieces in order.
    Real(Vec<&'a [f32]>),
    /// Put into another order.
    Moved(Vec<f32>),
}

impl Tensor<'_> {
    pub(super) fn row(&self) -> TensorRow {
        TensorRow { name: self.name.clone(), dtype: self.dtype().name(), shape: self.shape.clone() }
    }

    fn dtype(&self) -> StoredDtype {
        match self.values {
            Values::Whole(_) => StoredDtype::I32,
            Values::Real(_) | Values::Moved(_) => StoredDtype::F32,
        }
    }
}

/// The tensors of one conversation, its media among them.
pub(super) fn of_one<'a>(prompt: &'a Prompt, logits: &'a Rows, generated: &[u32]) -> Vec<Tensor<'a>> {
    let mut tensors = of_text("", prompt, logits, generated);
    tensors.extend(of_media(prompt, MediaKind::Image, "pixel_values", "image_grid_thw"));
    tensors.extend(of_media(prompt, MediaKind::Video, "pixel_values_videos", "video_grid_thw"));
    tensors.extend(of_sounds(prompt));
    tensors
}

/// The tensors of several conversations, without media.
pub(super) fn of_batch<'a>(prompts: &'a [Prompt], logits: &'a [Rows], generated: &[Vec<u32>]) -> Vec<Tensor<'a>> {
    let all = prompts.iter().zip(logits).zip(generated).enumerate();
    all.flat_map(|(i, ((prompt, logits), generated))| of_text(&format!(".{i}"), prompt, logits, generated)).collect()
}

fn of_text<'a>(suffix: &str, prompt: &'a Prompt, logits: &'a Rows, generated: &[u32]) -> Vec<Tensor<'a>> {
    let mut tensors = vec![
        Tensor {
            name: format!("input_ids{suffix}"),
            shape: vec![prompt.ids.len()],
            values: Values::Whole(whole(&prompt.ids)),
        },
        Tensor {
            name: format!("logits{suffix}"),
            shape: vec![logits.rows(), logits.features()],
            values: Values::Real(vec![logits.as_slice()]),
        },
    ];
    if !generated.is_empty() {
        let values = Values::Whole(whole(generated));
        tensors.push(Tensor { name: format!("generated{suffix}"), shape: vec![generated.len()], values });
    }
    tensors
}

fn of_media<'a>(prompt: &'a Prompt, kind: MediaKind, pixels: &str, grids: &str) -> Vec<Tensor<'a>> {
    let media: Vec<_> = prompt.media.iter().filter(|medium| medium.kind == kind).map(|m| &m.patches).collect();
    let Some(first) = media.first() else { return Vec::new() };
    let patches = media.iter().map(|patches| patches.rows.rows()).sum();
    let grid = media.iter().flat_map(|p| [p.grid.t, p.grid.h, p.grid.w]).map(|side| side as i32).collect();
    vec![
        Tensor {
            name: pixels.to_owned(),
            shape: vec![patches, first.rows.features()],
            values: Values::Real(media.iter().map(|patches| patches.rows.as_slice()).collect()),
        },
        Tensor { name: grids.to_owned(), shape: vec![media.len(), 3], values: Values::Whole(grid) },
    ]
}

/// Features of all sounds as the reference stores those of one: 1 × mel bins × frames; several follow one another in time.
fn of_sounds(prompt: &Prompt) -> Option<Tensor<'static>> {
    let sounds: Vec<&Rows> =
        prompt.media.iter().filter(|medium| medium.kind == MediaKind::Audio).map(|m| &m.patches.rows).collect();
    let bins = sounds.first()?.features();
    let frames = sounds.iter().map(|rows| rows.rows()).sum();
    let of_bin = |bin: usize| {
        let frames = sounds.iter().flat_map(|rows| rows.as_slice().chunks_exact(bins));
        frames.map(move |frame| frame[bin]).collect::<Vec<f32>>()
    };
    let values = (0..bins).flat_map(of_bin).collect();
    Some(Tensor { name: "input_features".to_owned(), shape: vec![1, bins, frames], values: Values::Moved(values) })
}

/// Token ids as the reference stores them; every vocabulary is far below 2³¹.
fn whole(ids: &[u32]) -> Vec<i32> {
    ids.iter().map(|id| *id as i32).collect()
}

/// Writes the file whole or not at all; returns its length in bytes.
pub(super) fn write(path: &Path, tensors: &[Tensor<'_>]) -> Result<u64, WriteError> {
    let shapes: Vec<TensorShape> = tensors
        .iter()
        .map(|tensor| TensorShape { name: tensor.name.clone(), dtype: tensor.dtype(), shape: tensor.shape.clone() })
        .collect();
    let mut writer = SafetensorsWriter::create(path, &shapes)?;
    for tensor in tensors {
        let real = match &tensor.values {
            Values::Whole(values) => {
                writer.write(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())?;
                continue;
            }
            Values::Real(pieces) => pieces.as_slice(),
            Values::Moved(values) => &[values.as_slice()],
        };
        for part in real.iter().flat_map(|piece| piece.chunks(AT_ONCE)) {
            writer.write(&part.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())?;
        }
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mquant::input::ModalitySpans;
    use mquant::input::vision_processor::{Grid, Patches};
    use mquant::run::PlacedMedia;

    use super::*;

    #[test]
    fn features_of_sounds_lie_bin_by_bin() {
        let sound = |kind, values: &[f32]| {
            let rows = Rows::from_vec(values.to_vec(), 2);
            let grid = Grid { t: rows.rows(), h: 1, w: 1 };
            let patches = Arc::new(Patches { rows, grid, seconds_per_step: 0.01, times: Vec::new() });
            PlacedMedia { kind, patches, rows: Vec::new(), key: [0; 32] }
        };
        let (audio, image) = (MediaKind::Audio, MediaKind::Image);
        let media = vec![sound(audio, &[1.0, 10.0, 2.0, 20.0]), sound(image, &[9.0, 9.0]), sound(audio, &[3.0, 30.0])];
        let none = Prompt {
            ids: Vec::new(),
            positions: Vec::new(),
            next_position: 0,
            spans: ModalitySpans::default(),
            media: Vec::new(),
        };
        assert!(of_sounds(&none).is_none());
        let tensor = of_sounds(&Prompt { media, ..none }).unwrap();
        assert_eq!((tensor.name.as_str(), tensor.shape.as_slice()), ("input_features", &[1, 2, 3][..]));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("out.safetensors");
        write(&file, &[tensor]).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        let expected: Vec<u8> = [1.0_f32, 2.0, 3.0, 10.0, 20.0, 30.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert!(bytes.ends_with(&expected));
    }
}
