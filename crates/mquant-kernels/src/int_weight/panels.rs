//! Integer weights as the kernels read them.
//!
//! A panel holds 64 outputs. Its inputs go in steps of four: `[step][output][4]` bytes for 8 bits. For 4 bits two outputs
//! share a byte: `[step][half][16][4]`, outputs 0–15 of a half in the low nibbles and 16–31 in the high ones. Bytes are
//! the codes plus an offset (8 or 128), which the kernels take back through the sums of the activation rows: the byte
//! products of the instruction set multiply an unsigned by a signed operand. Inputs beyond the last and outputs beyond
//! the last have code 0. One layout serves every kernel.

use std::sync::Arc;

use rayon::prelude::*;

use super::{Bits, IntWeight, PackError};
use crate::data::Bytes;

/// Outputs of a panel.
pub(crate) const PANEL: usize = 64;
/// Inputs of a step.
pub(crate) const STEP: usize = 4;

/// A weight in panels. Cloning shares them.
#[derive(Clone, Debug)]
pub struct PackedWeight {
    bits: Bits,
    rows: usize,
    cols: usize,
    group: Option<usize>,
    panels: Bytes,
    /// groups × padded outputs: the scales of one group of inputs lie together.
    scales: Arc<Vec<f32>>,
}

impl PackedWeight {
    /// Number of the layout of panels; another number, another layout.
    pub const LAYOUT: u32 = 1;

    /// Lays canonical codes out in panels.
    ///
    /// # Errors
    /// If [`IntWeight::check`] finds something wrong.
    pub fn pack(weight: &IntWeight) -> Result<Self, PackError> {
        weight.check()?;
        let len = Self::panel_bytes(weight.bits, weight.rows, weight.cols);
        let mut panels = Aligned::zeros(len);
        let one = panel_len(weight.bits, weight.cols);
        panels.bytes_mut().par_chunks_mut(one).enumerate().for_each(|(panel, out)| match weight.bits {
            Bits::Eight => pack_eight(weight, panel * PANEL, out),
            Bits::Four => pack_four(weight, panel * PANEL, out),
        });
        Ok(Self::assemble(weight, Bytes::new(Arc::new(panels))))
    }

    /// Takes panels that [`pack`](Self::pack) once made of the same weight, and its scales.
    ///
    /// # Errors
    /// If shape, scales or the length of the panels do not fit. Codes are not compared.
    pub fn from_panels(weight: &IntWeight, panels: Bytes) -> Result<Self, PackError> {
        weight.check()?;
        let expected = Self::panel_bytes(weight.bits, weight.rows, weight.cols);
        let found = panels.as_ref().len();
        if expected != found {
            return Err(PackError::Codes { expected, found });
        }
        Ok(Self::assemble(weight, panels))
    }

    fn assemble(weight: &IntWeight, panels: Bytes) -> Self {
        let (groups, padded) = (weight.groups(), weight.rows.next_multiple_of(PANEL));
        let mut scales = vec![0f32; groups * padded];
        for (output, of) in weight.scales.chunks_exact(groups).enumerate() {
            of.iter().enumerate().for_each(|(group, s)| scales[group * padded + output] = *s);
        }
        let IntWeight { bits, rows, cols, group, .. } = *weight;
        Self { bits, rows, cols, group, panels, scales: Arc::new(scales) }
    }

    /// Bytes of the panels of such a weight.
    pub fn panel_bytes(bits: Bits, rows: usize, cols: usize) -> usize {
        rows.div_ceil(PANEL) * panel_len(bits, cols)
    }

    /// Number of outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bits of a code.
    pub fn bits(&self) -> Bits {
        self.bits
    }

    /// Inputs that share a scale; None where all of an output do.
    pub fn group(&self) -> Option<usize> {
        self.group
    }

    /// Bytes of panels and scales.
    pub fn byte_len(&self) -> usize {
        self.panels.as_ref().len() + self.scales.len() * size_of::<f32>()
    }

    /// The panels, as a cache file keeps them.
    pub fn panels(&self) -> &[u8] {
        self.panels.as_ref()
    }

    /// Panel `i`.
    pub(crate) fn panel(&self, i: usize) -> &[u8] {
        let len = panel_len(self.bits, self.cols);
        &self.panels.as_ref()[i * len..(i + 1) * len]
    }

    /// Scales of the outputs of panel `i` for one group of inputs.
    pub(crate) fn panel_scales(&self, i: usize, group: usize) -> &[f32; PANEL] {
        let padded = self.rows.next_multiple_of(PANEL);
        let at = group * padded + i * PANEL;
        self.scales[at..at + PANEL].first_chunk().expect("a panel's scales")
    }

    /// w[row][from..from + out.len()] in f32.
    pub fn read_row(&self, row: usize, from: usize, out: &mut [f32]) {
        let (panel, output) = (self.panel(row / PANEL), row % PANEL);
        let (at, shift, mask) = place(self.bits, output);
        let offset = self.bits.offset();
        let mut col = from;
        let mut rest = out;
        while !rest.is_empty() {
            let (group, end) = self.group.map_or((0, usize::MAX), |group| (col / group, (col / group + 1) * group));
            let scale = self.panel_scales(row / PANEL, group)[output];
            let (same_scale, after) = rest.split_at_mut((end - col).min(rest.len()));
            for (col, out) in (col..).zip(&mut *same_scale) {
                let byte = panel[col / STEP * step_len(self.bits) + at + col % STEP];
                *out = (i32::from(byte >> shift & mask) - offset) as f32 * scale;
            }
            col += same_scale.len();
            rest = after;
        }
    }
}

/// Bytes of one panel.
pub(crate) fn panel_len(bits: Bits, cols: usize) -> usize {
    cols.div_ceil(STEP) * step_len(bits)
}

/// Bytes of one step of a panel.
pub(crate) fn step_len(bits: Bits) -> usize {
    PANEL * STEP * bits.count() as usize / 8
}

/// A code read back from its panel.
pub(crate) fn code(bits: Bits, panel: &[u8], output: usize, input: usize) -> i8 {
    let (at, shift, mask) = place(bits, output);
    let byte = panel[input / STEP * step_len(bits) + at + input % STEP];
    (i32::from(byte >> shift & mask) - bits.offset()) as i8
}

/// Where the codes of an output lie: first byte of a step, bits to shift the byte, mask.
fn place(bits: Bits, output: usize) -> (usize, u32, u8) {
    match bits {
        Bits::Eight => (output * STEP, 0, 0xff),
        Bits::Four => (output / 32 * 64 + output % 16 * STEP, if output % 32 < 16 { 0 } else { 4 }, 0x0f),
    }
}

fn pack_eight(weight: &IntWeight, first: usize, panel: &mut [u8]) {
    panel.fill(Bits::Eight.offset() as u8);
    let codes = weight.codes.as_ref();
    for output in 0..PANEL.min(weight.rows - first) {
        let row = &codes[(first + output) * weight.cols..][..weight.cols];
        for (step, four) in row.chunks(STEP).enumerate() {
            let at = (step * PANEL + output) * STEP;
            for (to, code) in panel[at..at + STEP].iter_mut().zip(four) {
                *to = code ^ 0x80;
            }
        }
    }
}

fn pack_four(weight: &IntWeight, first: usize, panel: &mut [u8]) {
    panel.fill(0x88);
    let codes = weight.codes.as_ref();
    let row_bytes = weight.cols.div_ceil(8) * 4;
    for output in 0..PANEL.min(weight.rows - first) {
        let row = &codes[(first + output) * row_bytes..][..weight.cols.div_ceil(2)];
        let (at, high) = (output / 32 * 64 + output % 16 * STEP, output % 32 >= 16);
        for (step, two) in row.chunks(2).enumerate() {
            let to = &mut panel[step * step_len(Bits::Four) + at..][..STEP];
            for (i, byte) in two.iter().enumerate() {
                let odd_is_there = step * STEP + 2 * i + 1 < weight.cols;
                let pair = [byte & 15, if odd_is_there { byte >> 4 } else { 8 }];
                for (to, nibble) in to[2 * i..].iter_mut().zip(pair) {
                    *to = if high { *to & 0x0f | nibble << 4 } else { *to & 0xf0 | nibble };
                }
            }
        }
    }
}

/// Bytes that begin at a cache line.
struct Aligned(Vec<Line>, usize);

#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Aligned {
    fn zeros(len: usize) -> Self {
        Self(vec![Line([0; 64]); len.div_ceil(64)], len)
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.1;
        &mut bytemuck::cast_slice_mut(&mut self.0)[..len]
    }
}

impl AsRef<[u8]> for Aligned {
    fn as_ref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.0)[..self.1]
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::weight;
    use super::*;

    #[test]
    fn panels_give_every_code_back_and_pad_with_nothing() {
        for bits in [Bits::Four, Bits::Eight] {
            for (rows, cols) in [(1, 1), (63, 5), (64, 8), (65, 9), (130, 34), (33, 7)] {
                let w = weight(bits, rows, cols, None);
                let packed = PackedWeight::pack(&w).unwrap();
                for output in 0..rows.next_multiple_of(PANEL) {
                    for input in 0..cols.next_multiple_of(STEP) {
                        let want = if output < rows && input < cols { w.code(output, input) } else { 0 };
                        let got = code(bits, packed.panel(output / PANEL), output % PANEL, input);
                        assert_eq!(got, want, "{bits} bits, {rows} × {cols}, output {output}, input {input}");
                    }
                }
                let again = PackedWeight::from_panels(&w, Bytes::new(Arc::new(packed.panels().to_vec()))).unwrap();
                assert_eq!(again.panels(), packed.panels());
            }
        }
    }

    #[test]
    fn a_range_of_outputs_has_their_codes_and_scales() {
        for (bits, group) in [(Bits::Four, Some(32)), (Bits::Eight, None)] {
            let w = weight(bits, 9, 70, group);
            let part = w.row_range(3..7);
            part.check().unwrap();
            for (row, col) in [(0, 0), (2, 69), (3, 33)] {
                assert_eq!(part.code(row, col), w.code(row + 3, col));
            }
            assert_eq!(part.scales, w.scales[3 * w.groups()..7 * w.groups()]);
        }
    }

    #[test]
    fn rows_are_read_with_the_scales_of_their_groups() {
        let w = weight(Bits::Four, 70, 100, Some(32));
        let packed = PackedWeight::pack(&w).unwrap();
        let mut row = vec![0.0; 60];
        packed.read_row(67, 30, &mut row);
        for (i, v) in row.iter().enumerate() {
            let col = 30 + i;
            assert_eq!(*v, f32::from(w.code(67, col)) * w.scales[67 * 4 + col / 32]);
        }
    }
}
