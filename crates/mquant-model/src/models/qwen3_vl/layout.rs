//! Placeholders, time stamps, positions and rows of the table of positions.

use super::super::merged_patches::frame_positions;
use super::super::{EncoderBatch, Expanded, MediaLayout, MediaPiece, Piece, qwen2};
use super::config::Config;
use crate::input::vision_processor::{Grid, Patches};
use crate::input::{MediaKind, Modality, ModalitySpans};
use crate::nn::{ForwardBatch, Position, Rope, Tower};

/// What arranging media needs of the configuration.
#[derive(Debug)]
pub(super) struct Qwen3VlLayout {
    merge: usize,
    /// Positions on a side of the table.
    side: usize,
    media: qwen2::MediaTokens,
    /// The tokens around a frame of a video.
    frame: [u32; 2],
    rope: Rope,
}

impl Qwen3VlLayout {
    pub(super) fn new(config: &Config) -> Self {
        let v = &config.vision;
        Self {
            merge: v.spatial_merge_size,
            side: v.table_side(),
            media: config.media,
            frame: config.frame,
            rope: Rope::planar(v.head_dim(), v.rope_theta),
        }
    }

    /// The table, square, stretched over `count` patches of a side: the two entries around each patch, and the weight of the
    /// second. The corners of the table lie on those of the picture.
    fn stretched(&self, count: usize) -> Vec<(u32, u32, f32)> {
        let last = self.side - 1;
        let at = |i: usize| if count == 1 { 0.0 } else { i as f32 * last as f32 / (count - 1) as f32 };
        let around = |at: f32| {
            let first = (at as usize).min(last);
            (first as u32, (first + 1).min(last) as u32, at - first as f32)
        };
        (0..count).map(|i| around(at(i))).collect()
    }

    /// Bilinear interpolation of the table for the patches of one frame, in their order.
    fn table_rows(&self, grid: Grid, positions: &[Position]) -> Vec<[(u32, f32); 4]> {
        let (rows, columns) = (self.stretched(grid.h), self.stretched(grid.w));
        let side = self.side as u32;
        let of = |[_, y, x]: &Position| {
            let ((top, bottom, down), (left, right, over)) = (rows[*y as usize], columns[*x as usize]);
            [
                (top * side + left, (1.0 - down) * (1.0 - over)),
                (top * side + right, (1.0 - down) * over),
                (bottom * side + left, down * (1.0 - over)),
                (bottom * side + right, down * over),
            ]
        };
        positions.iter().map(of).collect()
    }
}

impl MediaLayout for Qwen3VlLayout {
    fn placeholder(&self, kind: MediaKind) -> Option<u32> {
        self.media.placeholder(kind)
    }

    /// `<0.5 seconds>` and a placeholder between the tokens of a frame, for each grid step of a video.
    fn written(&self, kind: MediaKind, patches: &Patches, spelling: &dyn Fn(u32) -> String) -> Option<String> {
        if kind != MediaKind::Video {
            return None;
        }
        let [start, end] = self.frame.map(spelling);
        let placeholder = spelling(self.media.video);
        let step = |seconds: &f64| format!("<{seconds:.1} seconds>{start}{placeholder}{end}");
        Some(patches.times.iter().map(step).collect())
    }

    /// A video has a placeholder for each grid step.
    fn expand(&self, placeholder: u32, media: MediaPiece) -> Vec<Vec<Expanded>> {
        let step = MediaPiece { grid: Grid { t: 1, ..media.grid }, ..media };
        let count = self.tokens(step.kind, step.grid);
        vec![vec![Expanded::Rows { id: placeholder, count, media: step }]; media.grid.t]
    }

    fn tokens(&self, _: MediaKind, grid: Grid) -> usize {
        grid.patches() / (self.merge * self.merge)
    }

    fn positions(&self, pieces: &[Piece]) -> (Vec<Position>, u32) {
        qwen2::positions(pieces, self.merge, |_, step| step as u32)
    }

    fn encoder_batch(&self, _: Tower, grids: &[Grid]) -> EncoderBatch {
        let (mut positions, mut table_rows): (Vec<Position>, Vec<_>) = (Vec::new(), Vec::new());
        let mut sequences = Vec::new();
        for grid in grids {
            let frame = frame_positions(*grid, self.merge);
            let of_table = self.table_rows(*grid, &frame);
            for _ in 0..grid.t {
                let start = positions.len();
                positions.extend_from_slice(&frame);
                table_rows.extend_from_slice(&of_table);
                sequences.push(start..positions.len());
            }
        }
        let pass = ForwardBatch {
            order: sequences.iter().flat_map(|s| 0..s.len() as u32).collect(),
            spans: ModalitySpans::uniform(Modality::Vision, positions.len()),
            rope: self.rope.table(&positions),
            sequences,
            table_rows,
            ..ForwardBatch::default()
        };
        EncoderBatch { pass, sequences: grids.iter().map(|grid| grid.t).collect(), order: Vec::new() }
    }
}
