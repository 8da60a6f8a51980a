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
}

impl Tensor<'_> {
    pub(super) fn row(&self) -> TensorRow {
        TensorRow { name: self.name.clone(), dtype: self.dtype().name(), shape: self.shape.clone() }
    }

    fn dtype(&self) -> StoredDtype {
        match self.values {
            Values::Whole(_) => StoredDtype::I32,
            Values::Real(_) => StoredDtype::F32,
        }
    }
}

/// The tensors of one conversation, its media among them.
pub(super) fn of_one<'a>(prompt: &'a Prompt, logits: &'a Rows, generated: &[u32]) -> Vec<Tensor<'a>> {
    let mut tensors = of_text("", prompt, logits, generated);
    tensors.extend(of_media(prompt, MediaKind::Image, "pixel_values", "image_grid_thw"));
    tensors.extend(of_media(prompt, MediaKind::Video, "pixel_values_videos", "video_grid_thw"));
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
        match &tensor.values {
            Values::Whole(values) => writer.write(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())?,
            Values::Real(pieces) => {
                for part in pieces.iter().flat_map(|piece| piece.chunks(AT_ONCE)) {
                    writer.write(&part.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())?;
                }
            }
        }
    }
    writer.finish()
}
