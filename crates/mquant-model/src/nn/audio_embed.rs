//! The first layer of an audio encoder: two convolutions over time.

use std::ops::Range;

use mquant_kernels::{Activation, RowPrologue, Rows, SiteInput};

use super::part::{Layer, Output, Part, SiteMut, Stream, Writer};
use super::{ForwardContext, Linear, Modality, ModalitySpans, PartId, Site};

/// Frames that a convolution reads for one row.
const KERNEL: usize = 3;

/// x = map(f(conv2(f(conv1 frames))) + positions), chunk by chunk: what lies beyond the ends of a chunk is zero, the second
/// convolution takes every other frame, and positions (sines, then cosines) count from the beginning of the chunk.
#[derive(Clone, Debug)]
pub struct AudioEmbed {
    /// Which stream it begins.
    pub stream: Stream,
    /// Over frames of mel values.
    pub conv1: Site<1>,
    /// Over what the first gives.
    pub conv2: Site<1>,
    /// Behind each.
    pub activation: Activation,
    /// What transforms of the stream have made of the identity: no linear writes it.
    pub map: Option<Linear>,
}

impl Layer for AudioEmbed {
    /// Frames × mel values in, rows × stream features out: ⌈frames / 2⌉ of each chunk.
    fn forward(&self, x: Rows, cx: &mut ForwardContext<'_>) -> Rows {
        let chunks = &cx.pass.frames;
        let spans = ModalitySpans::uniform(Modality::Audio, x.rows());
        let x = unrolled(&x, chunks, 1);
        let x = cx.on_rows(spans, |cx| self.conv1.one(SiteInput::Rows(&x), cx));
        let x = unrolled(&self.activated(&x, cx), chunks, 2);
        let x = self.conv2.one(SiteInput::Rows(&x), cx);
        let mut x = self.activated(&x, cx);
        let longest = chunks.iter().map(|chunk| chunk.len().div_ceil(2)).max().unwrap_or(0);
        let positions = positions(longest, x.features());
        let places = chunks.iter().flat_map(|chunk| 0..chunk.len().div_ceil(2));
        for (row, place) in places.enumerate() {
            x.row_mut(row).iter_mut().zip(positions.row(place)).for_each(|(x, position)| *x += position);
        }
        match self.map.as_ref().and_then(|map| map.weight.float()) {
            Some(map) => cx.backend.linear(&x, map, None),
            None => x,
        }
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl AudioEmbed {
    fn activated(&self, x: &Rows, cx: &ForwardContext<'_>) -> Rows {
        cx.backend.row_prologue(SiteInput::Activated(self.activation, x), RowPrologue::default())
    }
}

impl Part for AudioEmbed {
    fn id(&self) -> PartId {
        self.conv1.id.part
    }

    fn sites(&mut self) -> Vec<SiteMut<'_>> {
        vec![SiteMut::of(&mut self.conv1), SiteMut::of(&mut self.conv2)]
    }

    fn writers(&mut self) -> Vec<Writer<'_>> {
        let features = self.conv2.linears[0].weight.rows();
        vec![Writer { stream: self.stream, output: Output::Map { map: &mut self.map, features } }]
    }
}

/// What a convolution of stride `stride` reads for each of its rows (im2col): of every channel the frame before, the frame and
/// the one after, as the published weights have them.
fn unrolled(x: &Rows, chunks: &[Range<usize>], stride: usize) -> Rows {
    let channels = x.features();
    let rows: usize = chunks.iter().map(|chunk| chunk.len().div_ceil(stride)).sum();
    let mut out = Rows::zeros(rows, channels * KERNEL);
    let mut row = 0;
    for chunk in chunks {
        for centre in chunk.clone().step_by(stride) {
            let to = out.row_mut(row);
            for at in 0..KERNEL {
                if let Some(frame) = (centre + at).checked_sub(1).filter(|frame| chunk.contains(frame)) {
                    x.row(frame).iter().enumerate().for_each(|(channel, v)| to[channel * KERNEL + at] = *v);
                }
            }
            row += 1;
        }
    }
    out
}

/// Places × features: sin(place / 10000^(i / (n − 1))) in the first half of the features and cos in the second, i of n.
fn positions(places: usize, features: usize) -> Rows {
    let half = features / 2;
    let step = (10_000f64.ln() / (half as f64 - 1.0)) as f32;
    let frequencies: Vec<f32> = (0..half).map(|i| (-step * i as f32).exp()).collect();
    let mut table = Rows::zeros(places, features);
    for place in 0..places {
        let (sines, cosines) = table.row_mut(place).split_at_mut(half);
        for ((s, c), frequency) in sines.iter_mut().zip(cosines).zip(&frequencies) {
            let angle = place as f32 * frequency;
            (*s, *c) = (angle.sin(), angle.cos());
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_beyond_a_chunk_are_zero() {
        let x = Rows::from_vec((1..=10).map(|v| v as f32).collect(), 2);
        let one = unrolled(&x, &[0..3, 3..5], 1);
        assert_eq!(one.row(0), [0.0, 1.0, 3.0, 0.0, 2.0, 4.0]);
        assert_eq!(one.row(1), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        assert_eq!(one.row(2), [3.0, 5.0, 0.0, 4.0, 6.0, 0.0]);
        assert_eq!(one.row(3), [0.0, 7.0, 9.0, 0.0, 8.0, 10.0]);
        let two = unrolled(&x, &[0..3, 3..5], 2);
        assert_eq!(two.rows(), 3);
        assert_eq!(two.row(1), one.row(2));
        assert_eq!(two.row(2), one.row(3));
    }

    #[test]
    fn positions_are_sines_then_cosines() {
        let table = positions(3, 4);
        let want = [2f32.sin(), 2e-4f32.sin(), 2f32.cos(), 2e-4f32.cos()];
        table.row(2).iter().zip(want).for_each(|(x, want)| assert!((x - want).abs() < 1e-6, "{x} {want}"));
    }
}
