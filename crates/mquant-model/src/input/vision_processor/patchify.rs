//! Resized frames to normalised patch rows.

use std::borrow::Cow;

use mquant_kernels::Rows;

use super::config::Settings;
use super::error::ProcessorError;
use super::{Grid, Patches};
use crate::input::image::RgbImage;
use crate::input::resize::resize;

/// Patches of `frames`, the last one repeated until they fill whole groups of `temporal`; they are those at `indices` of a
/// video of `fps` frames a second.
pub(super) fn patches(
    settings: &Settings,
    frames: &[&RgbImage],
    indices: &[usize],
    fps: f32,
) -> Result<Patches, ProcessorError> {
    let first = frames.first().ok_or(ProcessorError::NoFrames)?;
    let expected = (first.width(), first.height());
    for (index, frame) in frames.iter().enumerate() {
        let found = (frame.width(), frame.height());
        if found != expected {
            return Err(ProcessorError::FrameSize { index, expected, found });
        }
    }
    let grid = settings.grid(frames.len(), expected.0, expected.1)?;
    let size = ((grid.w * settings.patch) as u32, (grid.h * settings.patch) as u32);
    let area = settings.patch * settings.patch;
    let mut rows = Rows::zeros(grid.patches(), 3 * settings.temporal * area);
    for (index, frame) in frames.iter().enumerate() {
        let frame = if expected == size { Cow::Borrowed(*frame) } else { Cow::Owned(resize(frame, size.0, size.1)) };
        let last = index + 1 == frames.len();
        let slots = index..if last { grid.t * settings.temporal } else { index + 1 };
        for slot in slots {
            write_frame(settings, grid, frame.pixels(), slot, &mut rows);
        }
    }
    let seconds = |slot: usize| indices[slot.min(indices.len() - 1)] as f64 / f64::from(fps);
    let time = |step: usize| (seconds(step * settings.temporal) + seconds((step + 1) * settings.temporal - 1)) / 2.0;
    let times = (0..grid.t).map(time).collect();
    Ok(Patches { rows, grid, seconds_per_step: settings.temporal as f32 / fps, times })
}

/// Writes the pixels of one frame into its `slot`th place of the rows.
fn write_frame(settings: &Settings, grid: Grid, pixels: &[u8], slot: usize, rows: &mut Rows) {
    let (patch, merge) = (settings.patch, settings.merge);
    let (group, step) = (slot / settings.temporal, slot % settings.temporal);
    let (pixels, _) = pixels.as_chunks::<3>();
    let stride = grid.w * patch;
    let area = patch * patch;
    for y in 0..grid.h {
        for x in 0..grid.w {
            let block = (y / merge) * (grid.w / merge) + x / merge;
            let row = group * grid.h * grid.w + (block * merge + y % merge) * merge + x % merge;
            let row = rows.row_mut(row);
            for py in 0..patch {
                let from = (y * patch + py) * stride + x * patch;
                let to = step * area + py * patch;
                for (px, pixel) in pixels[from..from + patch].iter().enumerate() {
                    for (channel, &v) in pixel.iter().enumerate() {
                        row[channel * settings.temporal * area + to + px] = settings.values[channel][usize::from(v)];
                    }
                }
            }
        }
    }
}
